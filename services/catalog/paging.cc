#include "services/catalog/paging.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/key_ring.h"
#include "common/base/strings.h"

namespace metamcp::catalog {
namespace {

std::string Tag(std::string_view filter) { return Sha256(filter).substr(0, 8); }

absl::Status Bad() {
  return MakeError("ARGUMENT_INVALID", "catalog",
                   "pageToken is not one that this list returned; start without it");
}

}  // namespace

absl::StatusOr<size_t> PageSize(int32_t asked) {
  if (asked < 0) return MakeError("ARGUMENT_INVALID", "catalog", "pageSize is negative");
  return static_cast<size_t>(asked == 0 ? kPageDefault : std::min(asked, kPageMax));
}

std::string MakePageToken(std::string_view filter, const std::vector<std::string>& key) {
  std::string plain = Tag(filter);
  for (const std::string& part : key) {
    plain += part;
    plain += '\0';  // no key holds one
  }
  return Base64UrlEncode(plain);
}

absl::StatusOr<std::vector<std::string>> ReadPageToken(std::string_view filter,
                                                       const std::string& token, size_t parts) {
  std::vector<std::string> key;
  if (token.empty()) return key;
  const auto plain = Base64UrlDecode(token);
  const std::string tag = Tag(filter);
  if (!plain || !plain->starts_with(tag)) return Bad();
  size_t at = tag.size();
  while (at < plain->size()) {
    const size_t end = plain->find('\0', at);
    if (end == std::string::npos) return Bad();
    key.push_back(plain->substr(at, end - at));
    at = end + 1;
  }
  if (key.size() != parts) return Bad();
  return key;
}

}  // namespace metamcp::catalog
