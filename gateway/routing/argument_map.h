#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/json/splice.h"
#include "metamcp/catalog/v1/catalog.pb.h"

namespace metamcp::gateway {

// Turns the arguments that a client sent to an exposed tool or prompt into those of its upstream:
// renamed back, coerced, defaults added, fixed values set. `rules` are by original name; `raw` is
// a JSON object or empty. Errors: INVALID_PARAMS for an argument that is hidden or fixed, for a
// text that cannot be coerced, and where two arguments meet in one name.
absl::StatusOr<std::string> MapArguments(
    const std::map<std::string, catalog::v1::ArgumentOverride>& rules, std::string_view raw);

// Sets in `splicer` the argument and context of a completion/complete request (whose members are
// `params`) as the upstream names them. Errors: INVALID_PARAMS as above.
absl::Status MapCompletion(const std::map<std::string, catalog::v1::ArgumentOverride>& rules,
                           const json::ObjectView& params, json::Splicer& splicer);

}  // namespace metamcp::gateway
