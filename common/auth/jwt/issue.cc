#include "common/auth/jwt/issue.h"

#include <openssl/hmac.h>

#include "common/base/check.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::jwt {
namespace {

// What is macked otherwise is never this text.
constexpr std::string_view kRingLabel = "jwt HS256";

std::string Array(const std::vector<std::string>& texts) {
  std::vector<std::string> quoted;
  for (const std::string& text : texts) quoted.push_back(json::JsonQuote(text));
  return json::JoinArray(quoted);
}

std::string Joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += StrCat(out.empty() ? "" : " ", text);
  return out;
}

}  // namespace

std::string RingSecret(const KeyRing& ring, std::string_view kid) {
  return ring.Mac(SealPurpose::kToken, kRingLabel, kid);
}

std::string IssueToken(const NewToken& token, std::string_view secret, std::string_view kid) {
  json::ObjectWriter header;
  header.AddString("alg", "HS256").AddString("typ", "JWT");
  if (!kid.empty()) header.AddString("kid", kid);
  json::ObjectWriter payload;
  payload.AddString("iss", token.issuer).AddString("aud", token.audience);
  payload.AddString("sub", token.subject).AddString("jti", NewUuidV7());
  payload.AddInt("iat", token.issued_at_s).AddInt("exp", token.expires_s);
  if (!token.name.empty()) payload.AddString("name", token.name);
  if (!token.roles.empty()) payload.Add("roles", Array(token.roles));
  if (!token.teams.empty()) payload.Add("teams", Array(token.teams));
  if (!token.scopes.empty()) payload.AddString("scope", Joined(token.scopes));
  const std::string text = StrCat(Base64UrlEncode(std::move(header).Build()), ".",
                                  Base64UrlEncode(std::move(payload).Build()));
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  METAMCP_CHECK(HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                     reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac,
                     &size) != nullptr);
  return StrCat(text, ".",
                Base64UrlEncode(std::string_view(reinterpret_cast<const char*>(mac), size)));
}

}  // namespace metamcp::jwt
