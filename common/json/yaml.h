#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "absl/status/statusor.h"

namespace metamcp::json {

// Reads a text that is JSON or YAML. YAML keeps to what JSON can say: no anchors, aliases or tags;
// plain scalars are typed as YAML 1.2's core schema does. Errors: INVALID_ARGUMENT with line and
// column.
absl::StatusOr<nlohmann::ordered_json> ParseJsonOrYaml(std::string_view text, int depth_max);

}  // namespace metamcp::json
