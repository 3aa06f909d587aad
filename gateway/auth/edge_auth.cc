#include "gateway/auth/edge_auth.h"

#include <cstdlib>

#include <algorithm>

#include "absl/strings/str_split.h"
#include "common/auth/challenge.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/strings.h"
#include "common/http/url.h"
#include "gateway/app_options.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {
namespace {

std::vector<std::string> Words(const std::string& text) {
  return absl::StrSplit(text, ' ', absl::SkipEmpty());
}

jwt::IssuerOptions OwnIssuer(const config::JwtConfig& config) {
  jwt::IssuerOptions own;
  own.issuer = config.issuer;
  own.audiences = {config.audience};
  own.algorithms = {"HS256"};
  own.teams_claim = "teams";
  return own;
}

jwt::IssuerOptions IssuerOf(const std::string& name, const config::IssuerConfig& config) {
  jwt::IssuerOptions out;
  out.name = name;
  out.issuer = config.issuer;
  out.audiences = config.audiences;
  out.algorithms = config.algorithms;
  out.default_role = config.default_role;
  out.subject_claim = config.subject_claim;
  out.name_claim = config.name_claim;
  out.roles_claim = config.roles_claim;
  out.teams_claim = config.teams_claim;
  out.scopes_claim = config.scopes_claim;
  out.role_map = config.role_map;
  return out;
}

jwt::KeySourceOptions SourceOf(const std::string& name, const config::IssuerConfig& config) {
  jwt::KeySourceOptions out;
  out.name = name;
  out.issuer = config.issuer;
  out.jwks_url = config.jwks_url;
  out.jwks_file = config.jwks_file;
  out.ca_file = config.tls.ca;
  out.allow_tls12 = config.tls.min == "1.2";
  return out;
}

auth::TokenOptions TokensOf(const config::AuthConfig& config) {
  auth::TokenOptions out;
  out.own = OwnIssuer(config.jwt);
  out.own_secret = config.jwt.secret;
  out.skew_s = config.clock_skew_s;
  for (const auto& [name, issuer] : config.issuers) {
    out.issuers.push_back(IssuerOf(name, issuer));
    out.sources.push_back(SourceOf(name, issuer));
  }
  for (const auto& [server, scopes] : config.scopes) out.scopes[server] = Words(scopes);
  return out;
}

auth::ResourceNames NamesOf(const config::Config& config, bool loopback_bind,
                            const EdgePaths& paths) {
  auth::ResourceNames::Options options;
  options.public_url = config.gateway.public_url;
  options.loopback_bind = loopback_bind;
  options.allowed_hosts = config.gateway.allowed_hosts;
  options.sse_path = paths.sse_path;
  return auth::ResourceNames(std::move(options));
}

std::unique_ptr<http::HttpClient> MakeClient(boost::asio::any_io_executor executor) {
  http::HttpClientOptions options;
  options.environment = [](const char* name) { return static_cast<const char*>(::getenv(name)); };
  return http::NewHttpClient(std::move(executor), std::move(options));
}

}  // namespace

std::vector<auth::StaticKey> KeysOf(const config::Config& config) {
  std::vector<auth::StaticKey> keys;
  for (const auto& key : config.auth.keys) {
    keys.push_back({key.name, key.key, key.tenant, key.roles});
  }
  return keys;
}

absl::Status CheckReach(const config::Config& config, const std::string& host,
                        std::string_view setting, std::string_view listen) {
  const config::AuthConfig& auth = config.auth;
  const bool asks = !auth.keys.empty() || !auth.jwt.secret.empty() || !auth.issuers.empty() ||
                    !auth.anonymous_loopback ||
                    (!auth.certificates.empty() && !config.gateway.tls.client_ca.empty());
  if (asks || IsLoopbackHost(host)) return absl::OkStatus();
  return MakeError("CONFIG_INVALID", "gateway",
                   StrCat(setting, " ", listen,
                          " can be reached from other machines but nobody needs a key: add "
                          "auth.keys, auth.issuers, auth.jwt.secret or auth.certificates, set "
                          "auth.anonymousLoopback "
                          "to false, or listen on 127.0.0.1"));
}

EdgeAuth::EdgeAuth(boost::asio::any_io_executor executor, const config::Config& config,
                   const KeyRing& keys, bool loopback_bind, EdgePaths paths, TaskGroup& tasks)
    : paths_(std::move(paths)),
      http_(MakeClient(executor)),
      tokens_(executor, tasks, *http_, keys, NamesOf(config, loopback_bind, paths_)) {
  config_.clock_skew_s = -1;  // differs from every configuration
  SetConfig(config);
}

bool EdgeAuth::SetConfig(const config::Config& config) {
  const config::AuthConfig& now = config.auth;
  tool_scopes_.clear();
  for (const auto& [glob, scopes] : now.tool_scopes) tool_scopes_.emplace_back(glob, Words(scopes));
  const bool same = now.jwt == config_.jwt && now.issuers == config_.issuers &&
                    now.scopes == config_.scopes && now.clock_skew_s == config_.clock_skew_s;
  config_ = now;
  if (!same) tokens_.SetOptions(TokensOf(now));
  return !same;
}

void EdgeAuth::SetListenUrl(const std::string& url) {
  const auto parsed = http::ParseUrl(url);
  if (parsed.ok()) listen_host_ = parsed->authority();
}

bool EdgeAuth::Owns(std::string_view path) {
  return path.substr(0, auth::kMetadataPath.size()) == auth::kMetadataPath;
}

Awaitable<void> EdgeAuth::Handle(const http::HttpRequest& request, http::HttpResponder& responder,
                                 const CatalogMirror& mirror) {
  std::string path = request.path.substr(auth::kMetadataPath.size());
  if (path.empty() || path == "/") path = "/mcp";
  const auto route = MatchEdge(path, paths_);
  std::string body;
  // Whoever may use it: nobody has said yet who asks.
  const auto view = route ? mirror.snapshot()->Find(std::string(route->virtual_server)) : nullptr;
  if (view != nullptr && view->active() && route->kind != EdgeKind::kMessages) {
    auth::Credentials credentials = CredentialsOf(request, route->virtual_server);
    credentials.path = path;
    body = tokens_.Metadata(credentials);
  }
  http::HttpResponse response(200, "application/json", std::move(body));
  if (request.method != "GET" && request.method != "HEAD") {
    response = http::HttpResponse(405);
    response.headers.Set("Allow", "GET, HEAD");
  } else if (response.body.empty()) {
    response = http::HttpResponse(404, "application/json",
                                  R"({"error":"no protected resource is known there"})");
  } else {
    response.headers.Set("Cache-Control", "max-age=300");
  }
  // Public, and read by clients in browsers.
  response.headers.Set("Access-Control-Allow-Origin", "*");
  (void)co_await responder.Send(std::move(response));
}

absl::Status EdgeAuth::Before(const StageCall& call) {
  const Principal* who = call.ctx.principal.get();
  if (tool_scopes_.empty() || who == nullptr || call.entry == nullptr) return absl::OkStatus();
  if (who->issuer.empty() && who->scopes.empty()) return absl::OkStatus();
  if (call.spec.method != "tools/call") return absl::OkStatus();
  std::string missing;
  for (const auto& [glob, scopes] : tool_scopes_) {
    if (!GlobMatch(glob, call.entry->qualified_name)) continue;
    for (const std::string& scope : scopes) {
      const bool has =
          std::find(who->scopes.begin(), who->scopes.end(), scope) != who->scopes.end();
      if (!has) missing += StrCat(missing.empty() ? "" : " ", scope);
    }
  }
  if (missing.empty()) return absl::OkStatus();
  const std::string& server = call.spec.view->name();
  const std::string path = server == "default" ? "/mcp" : StrCat("/servers/", server, "/mcp");
  auth::Credentials credentials;
  credentials.host = listen_host_;
  credentials.path = path;
  credentials.virtual_server = server;
  return auth::WithChallenge(
      MakeError("INSUFFICIENT_SCOPE", "gateway", StrCat(call.name, " needs the scope ", missing),
                {{"scope", missing}}),
      tokens_.StepUp(credentials, missing));
}

}  // namespace metamcp::gateway
