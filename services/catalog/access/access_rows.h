#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/str_join.h"
#include "common/db/database.h"
#include "services/catalog/access/access_store.h"

// Rows of the access tables, for access_store.cc and access_people.cc.
namespace metamcp::catalog {

inline constexpr int64_t kAccessRowsMax = 10'000;
inline constexpr std::string_view kKeyColumns =
    "id, name, prefix, owner, roles, scopes, teams, created_us, created_by, expires_us, "
    "revoked_us, rotated_us, last_used_us, mac_kid, mac, old_kid, old_mac, old_until_us";
inline constexpr std::string_view kUserColumns =
    "subject, display_name, issuer, roles, disabled, first_seen_us, last_seen_us";

// Names of roles, scopes and teams hold no line breaks (access_service.cc).
template <typename List>
std::string Lines(const List& list) {
  return absl::StrJoin(list, "\n");
}

absl::Status ReadText(const db::Row& row, std::string_view column, std::string* out);
absl::StatusOr<StoredKey> ReadKey(const db::Row& row);
absl::StatusOr<access::v1::User> ReadUser(const db::Row& row);

// NOT_FOUND.
absl::Status Missing(std::string_view what, std::string_view name);

}  // namespace metamcp::catalog
