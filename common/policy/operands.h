#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/policy/expression.h"

namespace metamcp::policy {

// The steps of "args.a.b[0].c[*]"; none for "args". Nothing where the text is no such path.
std::optional<std::vector<PathStep>> ParseArgumentPath(std::string_view text);

// Makes the operands of a comparison what its attribute needs: numbers, days, minutes, folders.
// Returns "message; mend" of what is wrong, or "".
std::string CheckOperands(Node& node, bool many, const std::string& zone);

}  // namespace metamcp::policy
