// How credentials get tokens without a user: from the store, by refreshing, by a grant of their
// own; and what a refused token leads to.

#include <algorithm>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/url.h"
#include "common/telemetry/log.h"
#include "services/connector/login/credentials.h"

namespace metamcp::connector {
namespace {

constexpr std::chrono::seconds kWorkTime(60);
// Between two tries to renew when the server cannot be reached.
constexpr std::chrono::seconds kRetry(5);
// Between two looks at what another process does.
constexpr std::chrono::milliseconds kLook(50);

std::string ReasonOf(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : "";
}

// The server says that the grant is over, not that something is wrong just now.
std::string FinalError(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  if (!info || info->reason != "UPSTREAM_AUTH") return "";
  const auto code = info->metadata.find("oauth_error");
  if (code == info->metadata.end()) return "";
  for (const char* final : {"invalid_grant", "invalid_client", "unauthorized_client",
                            "unsupported_grant_type", "invalid_target", "access_denied"}) {
    if (code->second == final) return code->second;
  }
  return "";
}

CallContext WorkContext() {
  return CallContext(nullptr, std::chrono::steady_clock::now() + kWorkTime);
}

}  // namespace

Awaitable<absl::Status> Credentials::LoadStored(AccountPtr account) {
  auto loading = core_.vault.LoadGrant(account->holder, "");
  auto stored = co_await std::move(loading);
  if (!stored.ok()) {
    // The upstream asks for a login then; what is stored counts again at the next start.
    Log(LogLevel::kError, "login.not_read",
        {{"upstream", settings_.slug}, {"error", std::string(stored.status().message())}});
  } else if (stored->has_value()) {
    account->grant = std::move(**stored);
    if (account->grant->configured_client) account->grant->client = settings_.auth.client;
    account->accepted = true;
  }
  account->loaded = true;
  co_return absl::OkStatus();
}

Awaitable<bool> Credentials::AdoptStored(AccountPtr account) {
  if (!account->grant) co_return false;
  auto loading = core_.vault.LoadGrant(account->holder, account->grant->server.issuer);
  auto stored = co_await std::move(loading);
  if (!stored.ok() || !stored->has_value()) co_return false;
  Grant& theirs = **stored;
  if (theirs.tokens.access_token == account->token()) co_return false;
  if (theirs.obtained_us <= account->grant->obtained_us) co_return false;
  if (theirs.configured_client) theirs.client = settings_.auth.client;
  account->grant = std::move(theirs);
  account->accepted = false;
  co_return true;
}

Awaitable<absl::StatusOr<bool>> Credentials::AwaitTurn(AccountPtr account, Work work,
                                                       std::string claimant) {
  const auto until = Clock::now() + core_.turn;
  for (;;) {
    auto claiming = core_.vault.Claim(account->holder, claimant, core_.turn);
    const absl::StatusOr<bool> claimed = co_await std::move(claiming);
    // Without the database nobody can be asked, and calls go on.
    if (!claimed.ok() || *claimed) co_return true;
    auto adopting = AdoptStored(account);
    const bool adopted = co_await std::move(adopting);
    if (adopted && (work == Work::kRecover || !Stale(*account))) co_return false;
    if (!account->grant) co_return false;
    if (work == Work::kRenew && NowMicros() < account->grant->tokens.expires_us) {
      account->retry_at = Clock::now() + kLook;  // the old token does until the other is ready
      co_return false;
    }
    // A second renewal beside theirs would make one of the two void.
    if (Clock::now() >= until) {
      co_return MakeError("UPSTREAM_AUTH", settings_.domain,
                          StrCat("other connectors have been renewing the login of ",
                                 settings_.slug, " all the time; try again"));
    }
    const bool slept = co_await Sleep(kLook);
    if (!slept) co_return absl::CancelledError("stopped");
  }
}

Awaitable<absl::Status> Credentials::DoInTurn(AccountPtr account, Work work) {
  if (work == Work::kLoad || !account->grant) {
    auto doing = Do(account, work);
    co_return co_await std::move(doing);
  }
  const std::string claimant = NewUuidV7();
  auto waiting = AwaitTurn(account, work, claimant);
  const absl::StatusOr<bool> ours = co_await std::move(waiting);
  if (!ours.ok()) co_return ours.status();
  if (!*ours) co_return absl::OkStatus();
  auto doing = Do(account, work);
  auto caught = CatchStatus(std::move(doing));
  const absl::Status status = co_await std::move(caught);
  auto releasing = core_.vault.Release(account->holder, claimant);
  const absl::Status released = co_await std::move(releasing);
  if (!released.ok()) {
    Log(LogLevel::kWarning, "login.turn_kept",
        {{"upstream", settings_.slug}, {"error", std::string(released.message())}});
  }
  co_return status;
}

Awaitable<absl::Status> Credentials::Renew(AccountPtr account) {
  account->retry_at = Clock::now() + kRetry;
  // Another process may have done it; with rotation only one of two refreshes would succeed.
  auto adopting = AdoptStored(account);
  const bool adopted = co_await std::move(adopting);
  if (adopted && !Stale(*account)) co_return absl::OkStatus();
  if (settings_.auth.machine()) {
    auto finding = Find(account, false);
    auto found = co_await std::move(finding);
    if (!found.ok()) co_return found.status();
    auto asking = MachineToken(account, *std::move(found), account->grant->scope);
    co_return co_await std::move(asking);
  }
  auto refreshing = Refresh(account);
  const absl::Status status = co_await std::move(refreshing);
  if (status.ok() || FinalError(status).empty()) co_return status;
  auto removing = core_.vault.RemoveGrants(account->holder, account->grant->server.issuer);
  account->grant.reset();
  (co_await std::move(removing)).IgnoreError();
  Need(*account, Sv(status.message()));
  co_return account->needs;
}

Awaitable<absl::Status> Credentials::Refresh(AccountPtr account) {
  const Grant before = *account->grant;
  oauth::Form form = {{"grant_type", "refresh_token"},
                      {"refresh_token", before.tokens.refresh_token}};
  if (!before.resource.empty()) form.emplace_back("resource", before.resource);
  const CallContext ctx = WorkContext();
  oauth::Fetcher fetcher = MakeFetcher();
  auto asking = fetcher.Token(ctx, before.server, before.client, std::move(form));
  auto tokens = co_await std::move(asking);
  if (!tokens.ok()) {
    const std::string final = FinalError(tokens.status());
    if (final == "invalid_client" && !before.configured_client && !before.redirect_uri.empty()) {
      auto forgetting =
          core_.vault.RemoveClient(settings_.tenant, before.server.issuer, before.redirect_uri);
      (co_await std::move(forgetting)).IgnoreError();
    }
    if (!final.empty()) {
      auto adopting = AdoptStored(account);
      const bool adopted = co_await std::move(adopting);
      if (adopted) co_return absl::OkStatus();
    }
    co_return tokens.status();
  }
  if (tokens->refresh_token.empty()) tokens->refresh_token = before.tokens.refresh_token;
  if (tokens->scope.empty()) tokens->scope = before.tokens.scope;
  auto keeping = Keep(account, before, *std::move(tokens));
  co_return co_await std::move(keeping);
}

Awaitable<absl::Status> Credentials::Keep(AccountPtr account, Grant grant, oauth::TokenSet tokens) {
  grant.tokens = std::move(tokens);
  grant.obtained_us = NowMicros();
  account->grant = grant;
  account->accepted = false;
  account->needs = absl::OkStatus();
  account->retry_at = Clock::time_point();
  // Stored before anybody uses it: a rotated refresh token that is lost cannot be had again.
  auto saving = core_.vault.SaveGrant(account->holder, std::move(grant));
  const absl::Status saved = co_await std::move(saving);
  if (!saved.ok()) {
    Log(LogLevel::kError, "login.not_stored",
        {{"upstream", settings_.slug}, {"error", std::string(saved.message())}});
  }
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<Credentials::Found>> Credentials::Find(AccountPtr account, bool login) {
  const CallContext ctx = WorkContext();
  oauth::Fetcher fetcher = MakeFetcher();
  const std::string& pinned = settings_.auth.authorization_server;
  Found out;
  auto searching = fetcher.Resource(ctx, settings_.url, account->challenge.resource_metadata);
  auto resource = co_await std::move(searching);
  std::string issuer = pinned;
  const bool described = resource.ok();
  if (described) {
    out.resource = *std::move(resource);
    const auto& offered = out.resource.authorization_servers;
    const auto has = [&offered](const std::string& each) {
      return std::find(offered.begin(), offered.end(), each) != offered.end();
    };
    if (offered.empty()) {
      co_return MakeError("UPSTREAM_AUTH", settings_.domain,
                          StrCat(settings_.slug, " names no authorization server"));
    }
    if (!pinned.empty() && !has(pinned)) {
      co_return MakeError("UPSTREAM_AUTH", settings_.domain,
                          StrCat(settings_.slug, " names the authorization server ",
                                 oauth::PlainText(offered.front(), 120),
                                 ", but auth.authorizationServer says ", pinned));
    }
    if (pinned.empty()) {
      const std::string current = account->grant ? account->grant->server.issuer : std::string();
      issuer = !current.empty() && has(current) ? current : offered.front();
    }
  } else if (!absl::IsNotFound(resource.status())) {
    co_return resource.status();
  } else if (issuer.empty()) {
    // MCP 2025-03-26: the upstream's own origin is the authorization server.
    const auto url = http::ParseUrl(settings_.url);
    if (!url.ok()) co_return url.status();
    issuer = url->origin();
  }
  auto asking = fetcher.Server(ctx, issuer);
  auto server = co_await std::move(asking);
  if (server.ok()) {
    out.server = *std::move(server);
    co_return out;
  }
  if (!absl::IsNotFound(server.status())) co_return server.status();
  const bool promised = login || account->challenge.bearer || settings_.auth.configured;
  if (!described && pinned.empty() && promised) {
    out.server = oauth::AssumedServer(issuer);
    co_return out;
  }
  if (!described && pinned.empty()) {
    co_return MakeError("UPSTREAM_AUTH", settings_.domain,
                        StrCat(settings_.slug,
                               " answered HTTP 401 and does not say where to log "
                               "in; it may want a key under headers"));
  }
  co_return MakeError(
      "UPSTREAM_AUTH", settings_.domain,
      StrCat("the authorization server ", oauth::PlainText(issuer, 120), " publishes no metadata"));
}

Awaitable<absl::Status> Credentials::CheckIssuer(AccountPtr account,
                                                 const oauth::ServerMetadata& server) {
  // Credentials made for one server are never shown to another, whatever the upstream says later.
  if (settings_.auth.client.id.empty() || !settings_.auth.authorization_server.empty()) {
    co_return absl::OkStatus();
  }
  Holder shared = account->holder;
  shared.owner.clear();
  auto loading = core_.vault.LoadIssuer(shared, settings_.auth.client.id);
  auto known = co_await std::move(loading);
  if (!known.ok()) co_return known.status();
  if (known->empty()) {
    auto saving = core_.vault.SaveIssuer(shared, settings_.auth.client.id, server.issuer);
    co_return co_await std::move(saving);
  }
  if (*known == server.issuer) co_return absl::OkStatus();
  co_return MakeError("UPSTREAM_AUTH", settings_.domain,
                      StrCat(settings_.slug, " moved from the authorization server ", *known,
                             " to ", oauth::PlainText(server.issuer, 120),
                             ", where auth.clientId is not known to be ours; if ",
                             "that is right, register there and set auth.authorizationServer"));
}

Awaitable<absl::Status> Credentials::MachineToken(AccountPtr account, Found found,
                                                  std::string scope) {
  const AuthOptions& auth = settings_.auth;
  const CallContext ctx = WorkContext();
  oauth::Fetcher fetcher = MakeFetcher();
  if (auth.client.id.empty()) {
    co_return MakeError("CONFIG_INVALID", settings_.domain,
                        StrCat("auth.grant ", auth.grant, " needs auth.clientId"));
  }
  auto checking = CheckIssuer(account, found.server);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(checking));
  Grant grant;
  grant.resource = found.resource.resource;
  grant.server = found.server;
  grant.client = auth.client;
  grant.configured_client = true;
  grant.scope = scope.empty() ? oauth::InitialScopes(auth.scopes, account->challenge.scope,
                                                     found.resource, found.server, false)
                              : scope;
  oauth::Form form;
  if (auth.grant == "enterprise") {
    auto asking = fetcher.Server(ctx, auth.identity_provider);
    auto provider = co_await std::move(asking);
    if (!provider.ok()) co_return provider.status();
    oauth::Form exchange = {{"subject_token", auth.id_token}, {"audience", found.server.issuer}};
    if (!grant.resource.empty()) exchange.emplace_back("resource", grant.resource);
    if (!grant.scope.empty()) exchange.emplace_back("scope", grant.scope);
    auto exchanging =
        fetcher.Exchange(ctx, *std::move(provider), auth.identity_client, std::move(exchange));
    auto assertion = co_await std::move(exchanging);
    if (!assertion.ok()) co_return assertion.status();
    form.emplace_back("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
    form.emplace_back("assertion", *std::move(assertion));
  } else {
    form.emplace_back("grant_type", "client_credentials");
  }
  if (!grant.resource.empty()) form.emplace_back("resource", grant.resource);
  if (!grant.scope.empty()) form.emplace_back("scope", grant.scope);
  auto asking = fetcher.Token(ctx, grant.server, grant.client, std::move(form));
  auto tokens = co_await std::move(asking);
  if (!tokens.ok()) co_return tokens.status();
  // Such a grant is repeated, not refreshed (RFC 6749, section 4.4.3).
  tokens->refresh_token.clear();
  auto keeping = Keep(account, std::move(grant), *std::move(tokens));
  co_return co_await std::move(keeping);
}

Awaitable<absl::Status> Credentials::StepUp(AccountPtr account) {
  const std::string scope = account->step_up;
  account->step_up.clear();
  auto finding = Find(account, false);
  auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  auto asking = MachineToken(account, *std::move(found), scope);
  co_return co_await std::move(asking);
}

Awaitable<absl::Status> Credentials::Recover(AccountPtr account) {
  auto finding = Find(account, false);
  auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  const bool fresh = account->grant && !account->accepted;
  if (settings_.auth.machine()) {
    if (fresh) {
      account->grant.reset();
      co_return MakeError("UPSTREAM_AUTH", settings_.domain,
                          StrCat(settings_.slug, " refuses a token that was just issued for it"));
    }
    auto asking = MachineToken(account, *std::move(found), "");
    co_return co_await std::move(asking);
  }
  const std::string issuer = account->grant ? account->grant->server.issuer : std::string();
  std::string why;
  if (account->grant && issuer != found->server.issuer) {
    why = StrCat("it moved to the authorization server ",
                 oauth::PlainText(found->server.issuer, 120));
    account->grant.reset();
    auto loading = core_.vault.LoadGrant(account->holder, found->server.issuer);
    auto stored = co_await std::move(loading);
    if (stored.ok() && stored->has_value()) {
      account->grant = std::move(**stored);
      if (account->grant->configured_client) account->grant->client = settings_.auth.client;
      account->accepted = false;
      co_return absl::OkStatus();
    }
  } else if (account->grant && !fresh && !account->grant->tokens.refresh_token.empty()) {
    // With rotation, only the first of two processes may use a refresh token.
    auto adopting = AdoptStored(account);
    const bool adopted = co_await std::move(adopting);
    if (adopted) co_return absl::OkStatus();
    account->grant->server = found->server;
    auto refreshing = Refresh(account);
    const absl::Status status = co_await std::move(refreshing);
    if (status.ok()) co_return status;
    if (FinalError(status).empty() && ReasonOf(status) != "UPSTREAM_AUTH") co_return status;
    why = std::string(status.message());
  } else if (account->grant) {
    why = "the login has expired or was revoked";
  }
  if (account->grant) {
    auto removing = core_.vault.RemoveGrants(account->holder, account->grant->server.issuer);
    account->grant.reset();
    (co_await std::move(removing)).IgnoreError();
  }
  Need(*account, why);
  co_return account->needs;
}

}  // namespace metamcp::connector
