// Claims to principal.
#include <algorithm>
#include <string_view>

#include "common/auth/jwt/verifier.h"
#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::jwt {
namespace {

constexpr std::string_view kRoles[] = {"admin", "operator", "developer", "viewer", "auditor"};
constexpr size_t kSubjectBytesMax = 256;
constexpr size_t kNameBytesMax = 200;
constexpr size_t kTeamsMax = 200;
constexpr size_t kScopesMax = 200;
constexpr int64_t kMicros = 1'000'000;

absl::Status Bad(std::string_view why) {
  return MakeError("AUTH_INVALID", "gateway", StrCat("the token ", why));
}

bool IsPlain(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

bool IsTenant(std::string_view text) {
  return !text.empty() && text.size() <= 63 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

// As much of `text` as is shown, whole characters only.
std::string Shown(std::string text) {
  if (!IsPlain(text)) return "";
  if (text.size() <= kNameBytesMax) return text;
  size_t end = kNameBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

std::vector<std::string> RolesOf(const IssuerOptions& issuer, std::string_view payload) {
  std::vector<std::string> out;
  for (const std::string& said : ClaimStrings(payload, issuer.roles_claim)) {
    std::string role = said;
    if (!issuer.role_map.empty()) {
      const auto mapped = issuer.role_map.find(said);
      if (mapped == issuer.role_map.end()) continue;
      role = mapped->second;
    }
    const bool known = std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles);
    if (known && std::find(out.begin(), out.end(), role) == out.end()) out.push_back(role);
  }
  if (out.empty() && !issuer.default_role.empty()) out.push_back(issuer.default_role);
  return out;
}

std::vector<std::string> Cut(std::vector<std::string> list, size_t most) {
  if (list.size() > most) list.resize(most);
  return list;
}

}  // namespace

absl::StatusOr<Principal> PrincipalOf(const IssuerOptions& issuer, const Claims& claims,
                                      std::string_view payload) {
  const std::string subject = ClaimText(payload, issuer.subject_claim);
  if (subject.empty() || subject.size() > kSubjectBytesMax || !IsPlain(subject)) {
    return Bad(StrCat("names nobody in ", issuer.subject_claim));
  }
  Principal out;
  out.tenant = issuer.tenant;
  if (!issuer.tenant_claim.empty()) {
    out.tenant = ClaimText(payload, issuer.tenant_claim);
    if (!IsTenant(out.tenant)) return Bad(StrCat("names no tenant in ", issuer.tenant_claim));
  }
  out.subject = issuer.name.empty() ? subject : StrCat(issuer.name, ":", subject);
  out.method = issuer.name.empty() ? "jwt" : StrCat("jwt:", issuer.name);
  out.client = Shown(ClaimText(payload, "azp"));
  if (out.client.empty()) out.client = Shown(ClaimText(payload, "client_id"));
  if (out.client.empty()) out.client = Shown(ClaimText(payload, "appid"));
  // A token that a client got for itself (RFC 9068, section 2.2).
  if (!out.client.empty() && out.client == subject) out.kind = "service";
  out.roles = RolesOf(issuer, payload);
  out.teams = Cut(ClaimStrings(payload, issuer.teams_claim), kTeamsMax);
  if (!issuer.scopes_claim.empty()) {
    out.scopes = ClaimStrings(payload, issuer.scopes_claim);
  } else {
    out.scopes = ClaimStrings(payload, "scope");
    if (out.scopes.empty()) out.scopes = ClaimStrings(payload, "scp");
  }
  out.scopes = Cut(std::move(out.scopes), kScopesMax);
  out.display_name = Shown(ClaimText(payload, issuer.name_claim));
  out.issuer = claims.issuer;
  out.expires_us = claims.expires_s * kMicros;
  return out;
}

}  // namespace metamcp::jwt
