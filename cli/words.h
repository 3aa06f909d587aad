#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace metamcp::cli {

// Splits a line into words as shells do: blanks separate, '...' and "..." keep together, \ takes
// the next character. Nothing is expanded. Errors: ARGUMENT_INVALID for an open quote.
absl::StatusOr<std::vector<std::string>> SplitWords(std::string_view line);

}  // namespace metamcp::cli
