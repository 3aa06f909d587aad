#include "services/catalog/access/access_rows.h"

#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::catalog {
namespace {

template <typename List>
void FromLines(const std::string& text, List* out) {
  for (const absl::string_view one : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    out->Add(std::string(one));
  }
}

std::string FromHex(const std::string& text) {
  std::string out;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    out.push_back(static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1])));
  }
  return out;
}

}  // namespace

absl::Status ReadText(const db::Row& row, std::string_view column, std::string* out) {
  METAMCP_ASSIGN_OR_RETURN(*out, row.Get<std::string>(column));
  return absl::OkStatus();
}

absl::StatusOr<StoredKey> ReadKey(const db::Row& row) {
  StoredKey out;
  access::v1::Key& key = out.key;
  METAMCP_RETURN_IF_ERROR(ReadText(row, "id", key.mutable_id()));
  METAMCP_RETURN_IF_ERROR(ReadText(row, "name", key.mutable_name()));
  METAMCP_RETURN_IF_ERROR(ReadText(row, "prefix", key.mutable_prefix()));
  METAMCP_RETURN_IF_ERROR(ReadText(row, "owner", key.mutable_owner()));
  METAMCP_RETURN_IF_ERROR(ReadText(row, "created_by", key.mutable_created_by()));
  std::string text;
  METAMCP_RETURN_IF_ERROR(ReadText(row, "roles", &text));
  FromLines(text, key.mutable_roles());
  METAMCP_RETURN_IF_ERROR(ReadText(row, "scopes", &text));
  FromLines(text, key.mutable_scopes());
  METAMCP_RETURN_IF_ERROR(ReadText(row, "teams", &text));
  FromLines(text, key.mutable_teams());
  METAMCP_ASSIGN_OR_RETURN(const int64_t created, row.Get<int64_t>("created_us"));
  METAMCP_ASSIGN_OR_RETURN(const int64_t expires, row.Get<int64_t>("expires_us"));
  METAMCP_ASSIGN_OR_RETURN(const int64_t revoked, row.Get<int64_t>("revoked_us"));
  METAMCP_ASSIGN_OR_RETURN(const int64_t rotated, row.Get<int64_t>("rotated_us"));
  METAMCP_ASSIGN_OR_RETURN(const int64_t used, row.Get<int64_t>("last_used_us"));
  METAMCP_ASSIGN_OR_RETURN(const int64_t until, row.Get<int64_t>("old_until_us"));
  key.set_created_us(created);
  key.set_expires_us(expires);
  key.set_revoked_us(revoked);
  key.set_rotated_us(rotated);
  key.set_last_used_us(used);
  METAMCP_RETURN_IF_ERROR(ReadText(row, "mac_kid", out.mac.mutable_kid()));
  METAMCP_RETURN_IF_ERROR(ReadText(row, "mac", &text));
  out.mac.set_mac(FromHex(text));
  METAMCP_RETURN_IF_ERROR(ReadText(row, "old_kid", out.old.mutable_kid()));
  METAMCP_RETURN_IF_ERROR(ReadText(row, "old_mac", &text));
  out.old.set_mac(FromHex(text));
  out.old.set_until_us(until);
  return out;
}

absl::StatusOr<access::v1::User> ReadUser(const db::Row& row) {
  access::v1::User user;
  METAMCP_RETURN_IF_ERROR(ReadText(row, "subject", user.mutable_subject()));
  METAMCP_RETURN_IF_ERROR(ReadText(row, "display_name", user.mutable_display_name()));
  METAMCP_RETURN_IF_ERROR(ReadText(row, "issuer", user.mutable_issuer()));
  std::string roles;
  METAMCP_RETURN_IF_ERROR(ReadText(row, "roles", &roles));
  FromLines(roles, user.mutable_roles());
  METAMCP_ASSIGN_OR_RETURN(const bool disabled, row.Get<bool>("disabled"));
  METAMCP_ASSIGN_OR_RETURN(const int64_t first, row.Get<int64_t>("first_seen_us"));
  METAMCP_ASSIGN_OR_RETURN(const int64_t last, row.Get<int64_t>("last_seen_us"));
  user.set_disabled(disabled);
  user.set_first_seen_us(first);
  user.set_last_seen_us(last);
  return user;
}

absl::Status Missing(std::string_view what, std::string_view name) {
  return MakeError("NOT_FOUND", "catalog", StrCat("there is no ", what, " \"", name, "\""));
}

}  // namespace metamcp::catalog
