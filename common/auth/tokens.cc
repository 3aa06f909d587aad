#include "common/auth/tokens.h"

#include <algorithm>

#include "common/auth/challenge.h"
#include "common/auth/jwt/issue.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::auth {
namespace {

constexpr size_t kDescriptionMax = 200;

Place PlaceOf(const Credentials& credentials) {
  Place place;
  place.host = credentials.host;
  place.tls = credentials.tls;
  return place;
}

// What may stand in a quoted parameter (RFC 6750, section 3).
std::string Quotable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kDescriptionMax)) {
    const bool good = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
    out.push_back(good ? c : '\'');
  }
  return out;
}

std::string Joined(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& one : list) out += StrCat(out.empty() ? "" : " ", one);
  return out;
}

std::string Array(const std::vector<std::string>& list) {
  std::vector<std::string> quoted;
  for (const std::string& one : list) quoted.push_back(json::JsonQuote(one));
  return json::JoinArray(quoted);
}

bool Shows(const Credentials& credentials) {
  return !credentials.authorization.empty() || !credentials.api_key.empty();
}

}  // namespace

Tokens::Tokens(boost::asio::any_io_executor executor, TaskGroup& tasks, http::HttpClient& http,
               const KeyRing& ring, ResourceNames names)
    : executor_(std::move(executor)),
      tasks_(tasks),
      http_(http),
      ring_(ring),
      names_(std::move(names)) {}

Tokens::~Tokens() {
  for (const auto& source : sources_) source->Stop();
}

void Tokens::SetOptions(TokenOptions options) {
  for (const auto& source : sources_) source->Stop();
  sources_.clear();
  options_ = std::move(options);
  std::vector<jwt::IssuerOptions> issuers = {options_.own};
  issuers.insert(issuers.end(), options_.issuers.begin(), options_.issuers.end());
  jwt::TokenVerifier::Options verifier;
  verifier.skew_s = options_.skew_s;
  verifier_ = std::make_unique<jwt::TokenVerifier>(std::move(issuers), std::move(verifier));
  kids_.clear();
  SetOwnKeys();
  for (size_t i = 0; i < options_.sources.size(); ++i) {
    auto on_keys = [this, i](std::shared_ptr<const jwt::KeySet> keys) {
      verifier_->SetKeys(i + 1, std::move(keys));
    };
    auto source =
        std::make_shared<jwt::KeySource>(executor_, http_, options_.sources[i], std::move(on_keys));
    tasks_.Spawn("issuer-keys", jwt::KeySource::Run(source));
    sources_.push_back(std::move(source));
  }
}

// Returns whether the ring has other keys than before.
bool Tokens::SetOwnKeys() {
  std::vector<std::string> kids = ring_.Kids();
  if (kids == kids_) return false;
  kids_ = std::move(kids);
  jwt::KeySet keys;
  if (!options_.own_secret.empty()) {
    keys.push_back(jwt::VerifyKey::FromSecret(options_.own_secret, ""));
  }
  for (const std::string& kid : kids_) {
    keys.push_back(jwt::VerifyKey::FromSecret(jwt::RingSecret(ring_, kid), kid));
  }
  verifier_->SetKeys(0, std::make_shared<const jwt::KeySet>(std::move(keys)));
  return true;
}

absl::StatusOr<std::shared_ptr<const Principal>> Tokens::Verify(std::string_view token,
                                                                const Credentials& credentials) {
  SetOwnKeys();
  METAMCP_ASSIGN_OR_RETURN(const auto verified, verifier_->Verify(token));
  if (verified->everywhere) return verified->principal;
  const Place place = PlaceOf(credentials);
  for (const std::string& audience : verified->audiences) {
    if (names_.Fits(audience, place, credentials.virtual_server)) return verified->principal;
  }
  return MakeError("AUTH_INVALID", "gateway", "the token is for another audience");
}

Awaitable<bool> Tokens::FetchKeys() {
  const auto wanted = verifier_->TakeWanted();
  if (!wanted || *wanted == 0) co_return false;
  const std::shared_ptr<jwt::KeySource> source = sources_[*wanted - 1];
  auto asking = jwt::KeySource::Ask(source);
  co_return co_await std::move(asking);
}

absl::Status Tokens::CheckScopes(const Principal& principal, const Credentials& credentials) const {
  if (principal.issuer.empty() && principal.scopes.empty()) return absl::OkStatus();
  const auto needed = options_.scopes.find(std::string(credentials.virtual_server));
  if (needed == options_.scopes.end()) return absl::OkStatus();
  for (const std::string& scope : needed->second) {
    if (std::find(principal.scopes.begin(), principal.scopes.end(), scope) !=
        principal.scopes.end()) {
      continue;
    }
    return MakeError("INSUFFICIENT_SCOPE", "gateway", StrCat("this server needs the scope ", scope),
                     {{"scope", scope}});
  }
  return absl::OkStatus();
}

std::string Tokens::ServerScopes(const Credentials& credentials) const {
  const auto needed = options_.scopes.find(std::string(credentials.virtual_server));
  return needed == options_.scopes.end() ? "" : Joined(needed->second);
}

std::string Tokens::Parameters(const Credentials& credentials, std::string_view error,
                               std::string_view description, std::string_view scopes) const {
  std::string out = "Bearer realm=\"meta-mcp\"";
  if (!error.empty()) {
    out += StrCat(", error=\"", error, "\", error_description=\"", Quotable(description), "\"");
  }
  if (!scopes.empty()) out += StrCat(", scope=\"", Quotable(scopes), "\"");
  if (!options_.issuers.empty() && !credentials.virtual_server.empty()) {
    const std::string url = names_.MetadataUrl(PlaceOf(credentials), credentials.path);
    if (!url.empty()) out += StrCat(", resource_metadata=\"", Quotable(url), "\"");
  }
  return out;
}

std::string Tokens::Challenge(const Credentials& credentials, const absl::Status& why) const {
  const std::string_view message = Sv(why.message());
  const std::string scopes = ServerScopes(credentials);
  if (absl::IsPermissionDenied(why)) {
    return Parameters(credentials, "insufficient_scope", message, scopes);
  }
  return Parameters(credentials, Shows(credentials) ? "invalid_token" : "", message, scopes);
}

std::string Tokens::StepUp(const Credentials& credentials, std::string_view scopes) const {
  std::string all = ServerScopes(credentials);
  all += StrCat(all.empty() ? "" : " ", scopes);
  return Parameters(credentials, "insufficient_scope", "the call needs further scopes", all);
}

std::string Tokens::Metadata(const Credentials& credentials) const {
  const std::string base = names_.Base(PlaceOf(credentials));
  if (options_.issuers.empty() || base.empty()) return "";
  std::vector<std::string> servers;
  for (const jwt::IssuerOptions& one : options_.issuers) servers.push_back(one.issuer);
  json::ObjectWriter out;
  out.AddString("resource", StrCat(base, credentials.path));
  out.Add("authorization_servers", Array(servers));
  const auto scopes = options_.scopes.find(std::string(credentials.virtual_server));
  if (scopes != options_.scopes.end()) out.Add("scopes_supported", Array(scopes->second));
  out.Add("bearer_methods_supported", R"(["header"])");
  out.AddString("resource_name", StrCat("Meta-MCP: ", credentials.virtual_server));
  return std::move(out).Build();
}

}  // namespace metamcp::auth
