#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace metamcp::catalog {

inline constexpr int kPageDefault = 100;
inline constexpr int kPageMax = 1000;

// Errors: INVALID_ARGUMENT for a negative size. Larger ones are cut to the maximum.
absl::StatusOr<size_t> PageSize(int32_t asked);

// Opaque page tokens: the key of the last element, and what the list was filtered by, so that a
// token is refused for another list. Lists change between pages; a key that is gone is no error.
std::string MakePageToken(std::string_view filter, const std::vector<std::string>& key);
// An empty token is the beginning: an empty key. Errors: INVALID_ARGUMENT for anything that
// MakePageToken did not make for `filter` with `parts` parts.
absl::StatusOr<std::vector<std::string>> ReadPageToken(std::string_view filter,
                                                       const std::string& token, size_t parts);

}  // namespace metamcp::catalog
