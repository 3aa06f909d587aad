#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace metamcp::cli {

// A time as people write it, "90s", "15m", "3h", "7d" ago or a date with or without time in UTC, in
// microseconds since the epoch, as text; empty for empty. Errors: of usage.
absl::StatusOr<std::string> MomentUs(const std::string& text);

}  // namespace metamcp::cli
