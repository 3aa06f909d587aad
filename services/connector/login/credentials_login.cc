// How a user logs in: where the browser is sent, and what becomes of its answer.

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "services/connector/login/credentials.h"

namespace metamcp::connector {
namespace {

constexpr std::chrono::seconds kLoginTime(60);

CallContext LoginContext() {
  return CallContext(nullptr, std::chrono::steady_clock::now() + kLoginTime);
}

bool Offers(const oauth::ServerMetadata& server, std::string_view grant) {
  if (server.grant_types.empty()) return true;
  for (const std::string& each : server.grant_types) {
    if (each == grant) return true;
  }
  return false;
}

}  // namespace

// Registered by hand, then our metadata document, then registered by ourselves, in the order of MCP
// 2026-07-28, authorization, "Client Registration Approaches".
Awaitable<absl::StatusOr<oauth::ClientIdentity>> Credentials::Identify(AccountPtr account,
                                                                       oauth::ServerMetadata server,
                                                                       std::string redirect_uri,
                                                                       std::string scope) {
  if (!settings_.auth.client.id.empty()) {
    auto checking = CheckIssuer(account, server);
    const absl::Status ours = co_await std::move(checking);
    if (!ours.ok()) co_return ours;
    co_return settings_.auth.client;
  }
  oauth::ClientIdentity client;
  if (server.client_id_metadata_document && !core_.client_metadata_url.empty()) {
    client.id = core_.client_metadata_url;
    client.auth_method = "none";
    co_return client;
  }
  auto loading = core_.vault.LoadClient(settings_.tenant, server.issuer, redirect_uri);
  auto known = co_await std::move(loading);
  if (!known.ok()) co_return known.status();
  if (known->has_value()) co_return **known;
  if (server.registration_endpoint.empty()) {
    co_return MakeError(
        "UPSTREAM_AUTH", settings_.domain,
        StrCat("the authorization server ", server.issuer,
               " registers no clients by itself: register one there with the redirect URI ",
               redirect_uri, " and set auth.clientId",
               server.client_id_metadata_document
                   ? "; or give the gateway an https gateway.publicUrl, whose metadata document it "
                     "takes"
                   : ""));
  }
  const CallContext ctx = LoginContext();
  oauth::Fetcher fetcher = MakeFetcher();
  auto registering = fetcher.Register(ctx, server, redirect_uri, std::move(scope));
  auto registered = co_await std::move(registering);
  if (!registered.ok()) co_return registered.status();
  auto saving = core_.vault.SaveClient(settings_.tenant, server.issuer, redirect_uri, *registered);
  (co_await std::move(saving)).IgnoreError();  // it is registered once more then
  co_return registered;
}

Awaitable<absl::StatusOr<Credentials::Begun>> Credentials::BeginLogin(std::string owner,
                                                                      std::string redirect_uri,
                                                                      std::string binding) {
  const auto self = shared_from_this();
  if (settings_.auth.grant == "none" || settings_.auth.machine()) {
    co_return MakeError("ARGUMENT_INVALID", settings_.domain,
                        StrCat(settings_.slug, " is not logged in to by a user (auth.grant ",
                               settings_.auth.grant, ")"));
  }
  const AccountPtr account = Get(owner);
  auto finding = Find(account, true);
  auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  oauth::ServerMetadata& server = found->server;
  METAMCP_CO_RETURN_IF_ERROR(oauth::CheckPkce(server));
  if (server.authorization_endpoint.empty()) {
    co_return MakeError("UPSTREAM_AUTH", settings_.domain,
                        StrCat("the authorization server ", server.issuer,
                               " has no authorization endpoint for users"));
  }
  const oauth::Fetcher fetcher = MakeFetcher();
  METAMCP_CO_RETURN_IF_ERROR(
      fetcher.Check("the authorization endpoint", server.authorization_endpoint));
  oauth::AuthorizationRequest request;
  request.redirect_uri = redirect_uri;
  request.resource = found->resource.resource;
  request.scope = account->step_up;
  if (request.scope.empty()) {
    request.scope = oauth::InitialScopes(settings_.auth.scopes, account->challenge.scope,
                                         found->resource, server, Offers(server, "refresh_token"));
  }
  auto identifying = Identify(account, server, redirect_uri, request.scope);
  auto client = co_await std::move(identifying);
  if (!client.ok()) co_return client.status();
  const oauth::Pkce pkce = oauth::MakePkce();
  PendingLogin login;
  login.credentials = weak_from_this();
  login.owner = owner;
  login.binding = std::move(binding);
  login.verifier = pkce.verifier;
  login.redirect_uri = redirect_uri;
  login.resource = request.resource;
  login.scope = request.scope;
  login.server = server;
  login.client = *client;
  login.configured_client = !settings_.auth.client.id.empty();
  request.client_id = client->id;
  request.challenge = pkce.challenge;
  request.state = core_.pending.Add(std::move(login));
  Begun out;
  out.authorization_url = oauth::AuthorizationUrl(server, request);
  out.issuer = server.issuer;
  co_return out;
}

Awaitable<absl::Status> Credentials::FinishLogin(PendingLogin login, oauth::Callback callback) {
  const auto self = shared_from_this();
  const AccountPtr account = Get(login.owner);
  absl::Status status = oauth::CheckCallback(callback, login.server);
  absl::StatusOr<oauth::TokenSet> tokens = oauth::TokenSet();
  if (status.ok()) {
    oauth::Form form = {{"grant_type", "authorization_code"},
                        {"code", callback.code},
                        {"redirect_uri", login.redirect_uri},
                        {"code_verifier", login.verifier}};
    if (!login.resource.empty()) form.emplace_back("resource", login.resource);
    const CallContext ctx = LoginContext();
    oauth::Fetcher fetcher = MakeFetcher();
    auto asking = fetcher.Token(ctx, login.server, login.client, std::move(form));
    tokens = co_await std::move(asking);
    status = tokens.status();
  }
  const auto info = GetErrorInfo(status);
  if (info && info->metadata.count("oauth_error") > 0 && !login.configured_client &&
      info->metadata.at("oauth_error") == "invalid_client") {
    // The registration is gone; the next login makes a new one.
    auto forgetting =
        core_.vault.RemoveClient(settings_.tenant, login.server.issuer, login.redirect_uri);
    (co_await std::move(forgetting)).IgnoreError();
  }
  if (!status.ok()) {
    ++account->failed_logins;
    account->changed.WakeAll();
    Log(LogLevel::kWarning, "login.failed",
        {{"upstream", settings_.slug}, {"error", std::string(status.message())}});
    co_return Annotate(status, StrCat("logging in to ", settings_.slug, ": "));
  }
  // A renewal that is under way belongs to the login before this one.
  auto waiting = WaitIdle(account, Clock::now() + kLoginTime);
  (co_await std::move(waiting)).IgnoreError();
  Grant grant;
  grant.resource = login.resource;
  grant.server = login.server;
  grant.client = login.client;
  grant.configured_client = login.configured_client;
  grant.redirect_uri = login.redirect_uri;
  grant.scope = login.scope;
  auto keeping = Keep(account, std::move(grant), *std::move(tokens));
  co_await std::move(keeping);
  account->loaded = true;
  account->step_up.clear();
  account->login_us = NowMicros();
  account->changed.WakeAll();
  Log(LogLevel::kInfo, "login.done",
      {{"upstream", settings_.slug}, {"issuer", login.server.issuer}});
  if (on_change_) on_change_(login.owner);
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Credentials::Logout(std::string owner) {
  const auto self = shared_from_this();
  const AccountPtr account = Get(owner);
  auto waiting = WaitIdle(account, Clock::now() + kLoginTime);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(waiting));
  if (!account->loaded) {
    auto loading = LoadStored(account);
    METAMCP_CO_RETURN_IF_ERROR(co_await std::move(loading));
  }
  const std::optional<Grant> before = account->grant;
  account->grant.reset();
  account->step_up.clear();
  auto removing = core_.vault.RemoveGrants(account->holder, "");
  const absl::Status removed = co_await std::move(removing);
  if (before) {
    const CallContext ctx = LoginContext();
    oauth::Fetcher fetcher = MakeFetcher();
    const std::string& refresh = before->tokens.refresh_token;
    std::string token = refresh.empty() ? before->tokens.access_token : refresh;
    auto revoking = fetcher.Revoke(ctx, before->server, before->client, std::move(token));
    co_await std::move(revoking);
    Need(*account, "somebody logged out");
  }
  co_return removed;
}

}  // namespace metamcp::connector
