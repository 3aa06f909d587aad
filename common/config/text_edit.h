#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config/json_tree.h"

// Changes to a JSON text that leave every other byte alone: comments, order, formatting.
namespace metamcp::config {

// Returns `text` with the member at `path` set to `value`; missing objects on the way are added at
// the end. An empty text counts as {}. `file` is named in errors.
// Errors: CONFIG_INVALID when the text does not parse or something on the way is no object.
absl::StatusOr<std::string> SetMember(std::string_view text, const std::string& file,
                                      const std::vector<std::string>& path, const JsonNode& value);

// Returns `text` without the member at `path`, its comma, and a comment behind it on its line.
// Errors: NOT_FOUND; CONFIG_INVALID as above.
absl::StatusOr<std::string> RemoveMember(std::string_view text, const std::string& file,
                                         const std::vector<std::string>& path);

}  // namespace metamcp::config
