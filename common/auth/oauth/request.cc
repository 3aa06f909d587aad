#include "common/auth/oauth/request.h"

#include <algorithm>

#include "absl/strings/str_split.h"
#include "common/auth/oauth/challenge.h"
#include "common/auth/oauth/jwt.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/key_ring.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/http_types.h"
#include "common/http/url.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::oauth {
namespace {

constexpr std::string_view kClientName = "Meta-MCP";
constexpr size_t kTokenBytesMax = 16u << 10;
// Longer lifetimes are cut, so that adding them to a time cannot overflow.
constexpr int64_t kLifetimeMax = int64_t{10} * 365 * 86400;
constexpr int64_t kAssertionLifetime = 60;

absl::Status Refused(std::string_view why) { return MakeError("UPSTREAM_AUTH", "connector", why); }

std::vector<std::string> Words(std::string_view text) {
  return absl::StrSplit(Av(text), ' ', absl::SkipEmpty());
}

bool Contains(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::string Join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += StrCat(out.empty() ? "" : " ", word);
  return out;
}

std::string QuotedList(const std::vector<std::string>& words) {
  std::vector<std::string> quoted;
  for (const std::string& word : words) quoted.push_back(json::JsonQuote(word));
  return json::JoinArray(quoted);
}

bool IsNative(std::string_view redirect_uri) {
  const auto url = http::ParseUrl(redirect_uri);
  return url.ok() && http::IsLoopbackHost(url->host);
}

// Whether a token may stand behind "Bearer ": printable ASCII without spaces.
bool IsBearerToken(std::string_view token) {
  return !token.empty() && token.size() <= kTokenBytesMax &&
         std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

std::string EncodeForm(const Form& form) {
  std::string out;
  for (const auto& [name, value] : form) {
    out +=
        StrCat(out.empty() ? "" : "&", http::PercentEncode(name), "=", http::PercentEncode(value));
  }
  return out;
}

std::string WithQuery(std::string_view endpoint, const Form& form) {
  const char* separator = endpoint.find('?') == std::string_view::npos ? "?" : "&";
  return StrCat(endpoint, separator, EncodeForm(form));
}

std::string CodeChallenge(std::string_view verifier) { return Base64UrlEncode(Sha256(verifier)); }

Pkce MakePkce() {
  Pkce out;
  out.verifier = Base64UrlEncode(RandomBytes(32));
  out.challenge = CodeChallenge(out.verifier);
  return out;
}

std::string UnionScopes(std::string_view a, std::string_view b) {
  std::vector<std::string> out;
  for (const std::string_view part : {a, b}) {
    for (std::string& word : Words(part)) {
      if (!Contains(out, word)) out.push_back(std::move(word));
    }
  }
  return Join(out);
}

bool HasScopes(std::string_view have, std::string_view want) {
  const auto held = Words(have);
  const auto wanted = Words(want);
  return std::all_of(wanted.begin(), wanted.end(),
                     [&held](const std::string& word) { return Contains(held, word); });
}

std::string InitialScopes(std::string_view configured, std::string_view challenge,
                          const ResourceMetadata& resource, const ServerMetadata& server,
                          bool refreshable) {
  std::string out = UnionScopes(configured, "");
  if (out.empty()) out = UnionScopes(challenge, "");
  if (out.empty()) out = UnionScopes(Join(resource.scopes_supported), "");
  if (refreshable && Contains(server.scopes_supported, "offline_access")) {
    out = UnionScopes(out, "offline_access");
  }
  return out;
}

absl::Status CheckPkce(const ServerMetadata& server) {
  if (Contains(server.code_challenge_methods, "S256")) return absl::OkStatus();
  return Refused(StrCat("the authorization server ", server.issuer,
                        " does not say that it supports PKCE with S256, which MCP requires"));
}

std::string AuthorizationUrl(const ServerMetadata& server, const AuthorizationRequest& request) {
  Form form = {{"response_type", "code"},
               {"client_id", request.client_id},
               {"redirect_uri", request.redirect_uri},
               {"code_challenge", request.challenge},
               {"code_challenge_method", "S256"},
               {"state", request.state}};
  if (!request.resource.empty()) form.emplace_back("resource", request.resource);
  if (!request.scope.empty()) form.emplace_back("scope", request.scope);
  // OpenID Connect Core, section 11: without the prompt there is no refresh token.
  if (HasScopes(request.scope, "offline_access")) form.emplace_back("prompt", "consent");
  return WithQuery(server.authorization_endpoint, form);
}

absl::Status CheckCallback(const Callback& callback, const ServerMetadata& server) {
  if (callback.has_iss && callback.iss != server.issuer) {
    // What else it says is somebody else's and not repeated.
    return Refused("the answer came from another authorization server than the one that was asked");
  }
  if (!callback.has_iss && server.iss_parameter) {
    return Refused("the answer does not name its authorization server, although that promised to");
  }
  if (!callback.error.empty()) {
    return Refused(StrCat("the authorization server refused: ", PlainText(callback.error, 80),
                          callback.error_description.empty() ? "" : ": ",
                          PlainText(callback.error_description)));
  }
  if (callback.code.empty()) return Refused("the answer has neither a code nor an error");
  return absl::OkStatus();
}

std::string RegistrationBody(std::string_view redirect_uri, const ServerMetadata& server,
                             std::string_view scope) {
  std::string method = "client_secret_basic";
  if (!server.token_auth_methods.empty()) {
    for (const std::string_view each : {"none", "client_secret_post", "client_secret_basic"}) {
      if (Contains(server.token_auth_methods, each)) method = std::string(each);
    }
  }
  std::vector<std::string> grants = {"authorization_code"};
  if (server.grant_types.empty() || Contains(server.grant_types, "refresh_token")) {
    grants.push_back("refresh_token");
  }
  json::ObjectWriter out;
  out.AddString("client_name", kClientName);
  out.Add("redirect_uris", QuotedList({std::string(redirect_uri)}));
  out.Add("grant_types", QuotedList(grants));
  out.Add("response_types", QuotedList({"code"}));
  out.AddString("token_endpoint_auth_method", method);
  out.AddString("application_type", IsNative(redirect_uri) ? "native" : "web");
  // Servers refuse scopes that they do not list; those of resources often are not.
  std::vector<std::string> known;
  for (std::string& word : Words(scope)) {
    if (Contains(server.scopes_supported, word)) known.push_back(std::move(word));
  }
  const std::string asked = server.scopes_supported.empty() ? std::string(scope) : Join(known);
  if (!asked.empty()) out.AddString("scope", asked);
  return std::move(out).Build();
}

absl::StatusOr<ClientIdentity> ParseRegistration(std::string_view text) {
  const auto view = json::ScanObject(text);
  if (!view.ok()) return Refused("the answer to the registration is not a JSON object");
  ClientIdentity out;
  out.id = view->String("client_id").value_or("");
  out.secret = view->String("client_secret").value_or("");
  out.auth_method = view->String("token_endpoint_auth_method").value_or("");
  if (out.id.empty()) return Refused("the answer to the registration has no client_id");
  if (out.id.size() > kTokenBytesMax || out.secret.size() > kTokenBytesMax) {
    return Refused("the answer to the registration is too large");
  }
  if (!out.secret.empty()) {
    const int64_t expires = json::RawInt64(view->Raw("client_secret_expires_at")).value_or(0);
    if (expires > 0 && expires < INT64_MAX / 1'000'000) out.secret_expires_us = expires * 1'000'000;
  }
  return out;
}

std::string ClientMetadataDocument(std::string_view url, std::string_view redirect_uri) {
  json::ObjectWriter out;
  out.AddString("client_id", url);
  out.AddString("client_name", kClientName);
  out.Add("redirect_uris", QuotedList({std::string(redirect_uri)}));
  out.Add("grant_types", QuotedList({"authorization_code", "refresh_token"}));
  out.Add("response_types", QuotedList({"code"}));
  out.AddString("token_endpoint_auth_method", "none");
  out.AddString("application_type", IsNative(redirect_uri) ? "native" : "web");
  return std::move(out).Build();
}

absl::StatusOr<std::string> ChooseAuthMethod(const ClientIdentity& client,
                                             const ServerMetadata& server) {
  const auto have = [&client](std::string_view method) {
    if (method == "none") return true;
    if (method == "private_key_jwt") return !client.private_key.empty();
    return !client.secret.empty() &&
           (method == "client_secret_basic" || method == "client_secret_post");
  };
  if (!client.auth_method.empty() && have(client.auth_method)) return client.auth_method;
  const bool listed = !server.token_auth_methods.empty();
  // The strongest that we have and the server takes. Where it lists nothing it takes basic (RFC
  // 8414, section 2), and a client without credentials has only one way.
  for (const std::string_view method :
       {"private_key_jwt", "client_secret_basic", "client_secret_post"}) {
    if (have(method) && (!listed || Contains(server.token_auth_methods, method))) {
      return std::string(method);
    }
  }
  const bool bare = client.secret.empty() && client.private_key.empty();
  if (bare || Contains(server.token_auth_methods, "none")) return std::string("none");
  return Refused(StrCat("the authorization server takes clients by ",
                        PlainText(Join(server.token_auth_methods)),
                        " only, for which nothing is configured"));
}

absl::Status AddClientAuth(const ClientIdentity& client, const ServerMetadata& server,
                           int64_t now_us, Form* form, std::string* authorization) {
  METAMCP_ASSIGN_OR_RETURN(const std::string method, ChooseAuthMethod(client, server));
  if (method == "client_secret_basic") {
    *authorization = StrCat("Basic ", Base64Encode(StrCat(http::PercentEncode(client.id), ":",
                                                          http::PercentEncode(client.secret))));
    return absl::OkStatus();
  }
  form->emplace_back("client_id", client.id);
  if (method == "client_secret_post") form->emplace_back("client_secret", client.secret);
  if (method != "private_key_jwt") return absl::OkStatus();
  const int64_t now = now_us / 1'000'000;
  json::ObjectWriter claims;
  claims.AddString("iss", client.id);
  claims.AddString("sub", client.id);
  // The issuer, not the endpoint: an assertion for one server must not be usable at another.
  claims.AddString("aud", server.issuer);
  claims.AddString("jti", NewUuidV7());
  claims.AddInt("iat", now);
  claims.AddInt("exp", now + kAssertionLifetime);
  METAMCP_ASSIGN_OR_RETURN(
      std::string assertion,
      SignJwt(std::move(claims).Build(), client.private_key, client.algorithm, client.key_id));
  form->emplace_back("client_assertion_type",
                     "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
  form->emplace_back("client_assertion", std::move(assertion));
  return absl::OkStatus();
}

absl::StatusOr<TokenSet> ParseToken(std::string_view text, int64_t now_us) {
  const auto view = json::ScanObject(text);
  if (!view.ok()) return Refused("the token endpoint's answer is not a JSON object");
  TokenSet out;
  out.access_token = view->String("access_token").value_or("");
  if (!IsBearerToken(out.access_token)) {
    return Refused("the token endpoint gave no access token that can be sent");
  }
  if (!http::EqualsNoCase(view->String("token_type").value_or(""), "Bearer")) {
    return Refused("the token endpoint gave another type of token than Bearer");
  }
  out.refresh_token = view->String("refresh_token").value_or("");
  if (out.refresh_token.size() > kTokenBytesMax) out.refresh_token.clear();
  out.scope = UnionScopes(view->String("scope").value_or(""), "");
  // Some servers write the number as a string.
  const auto number = json::RawInt64(view->Raw("expires_in"));
  const auto quoted = json::RawInt64(view->String("expires_in").value_or(""));
  const int64_t lifetime = number.value_or(quoted.value_or(0));
  if (lifetime > 0) out.expires_us = now_us + std::min(lifetime, kLifetimeMax) * 1'000'000;
  return out;
}

absl::StatusOr<std::string> ParseExchangedToken(std::string_view text, std::string_view type) {
  const auto view = json::ScanObject(text);
  if (!view.ok()) return Refused("the identity provider's answer is not a JSON object");
  if (view->String("issued_token_type").value_or("") != type) {
    return Refused("the identity provider gave another type of token than was asked for");
  }
  std::string token = view->String("access_token").value_or("");
  if (!IsBearerToken(token)) return Refused("the identity provider gave no token");
  return token;
}

TokenError ParseTokenError(std::string_view text) {
  TokenError out;
  const auto view = json::ScanObject(text);
  if (!view.ok()) return out;
  out.code = PlainText(view->String("error").value_or(""), 80);
  out.description = PlainText(view->String("error_description").value_or(""));
  return out;
}

}  // namespace metamcp::oauth
