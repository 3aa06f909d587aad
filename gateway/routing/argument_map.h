#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "metamcp/catalog/v1/catalog.pb.h"

namespace metamcp::gateway {

// Turns the arguments that a client sent to an exposed tool into those of the upstream's tool:
// renamed back, coerced, defaults added, fixed values set. `rules` are by original name; `raw` is
// a JSON object or empty. Errors: INVALID_PARAMS for an argument that is hidden or fixed, for a
// text that cannot be coerced, and where two arguments meet in one name.
absl::StatusOr<std::string> MapArguments(
    const std::map<std::string, catalog::v1::ArgumentOverride>& rules, std::string_view raw);

}  // namespace metamcp::gateway
