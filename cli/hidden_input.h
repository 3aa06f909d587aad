#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cli/context.h"

namespace metamcp::cli {

// One secret text: asked for on the terminal without an echo, else all of standard input without
// the line break at its end. Errors: ARGUMENT_INVALID with `hint` where there is none.
absl::StatusOr<std::string> ReadHidden(CommandContext& ctx, std::string_view question,
                                       std::string_view hint);

}  // namespace metamcp::cli
