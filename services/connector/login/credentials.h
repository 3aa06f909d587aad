#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/async/task_group.h"
#include "common/auth/oauth/fetch.h"
#include "services/connector/event.h"
#include "services/connector/login/pending_logins.h"
#include "services/connector/login/signer.h"
#include "services/connector/login/vault.h"

namespace metamcp::connector {

// How an upstream is logged in to, with every ${VAR} replaced. Holds secrets.
struct AuthOptions {
  // authorization_code (also empty), client_credentials, enterprise, token_exchange, or none:
  // never.
  std::string grant;
  oauth::ClientIdentity client;  // its id is empty where none is registered by hand
  std::string scopes;
  std::string authorization_server;  // the only one accepted; empty: the upstream's first
  std::string audience;              // of token_exchange
  bool per_principal = false;
  bool private_networks = false;
  std::string id_token;  // of enterprise
  std::string identity_provider;
  oauth::ClientIdentity identity_client;
  bool configured = false;  // the operator wrote something

  bool operator==(const AuthOptions&) const = default;
  bool machine() const { return grant == "client_credentials" || grant == "enterprise"; }
};

// What the credentials of all upstreams share. Outlives them.
struct LoginCore {
  LoginCore(boost::asio::any_io_executor executor_in, TaskGroup& tasks_in,
            http::HttpClient& http_in, Vault& vault_in)
      : executor(std::move(executor_in)), tasks(tasks_in), http(http_in), vault(vault_in) {}
  boost::asio::any_io_executor executor;
  TaskGroup& tasks;
  http::HttpClient& http;
  Vault& vault;
  std::string client_metadata_url;  // our Client ID Metadata Document; empty: none
  int working = 0;                  // works under way, for the stop to wait for
  PendingLogins pending;
  // A process that dies at work blocks the others no longer than this, nor do others make one wait
  // longer. Above the time of the two requests that a recovery may take.
  std::chrono::milliseconds turn = std::chrono::seconds(130);
};

// The OAuth credentials of one upstream: one account that all share, or one per principal. Hands
// out tokens, renews them before they expire (once, however many ask, here and in other processes
// with the same store), and finds out what to do when the upstream refuses one. Owned by
// shared_ptr. Single-threaded. Source: MCP 2026-07-28 and 2025-11-25, basic/authorization.
class Credentials : public Signer, public std::enable_shared_from_this<Credentials> {
 public:
  using Clock = Signer::Clock;
  struct Settings {
    std::string tenant = "default";
    std::string slug;
    std::string domain;
    std::string url;
    bool allow_tls12 = false;
    std::string ca_file;
    AuthOptions auth;
    bool operator==(const Settings&) const = default;
  };
  // An account has changed: logged in, logged out, or a login is needed.
  using OnChange = std::function<void(const std::string& owner)>;

  Credentials(LoginCore& core, Settings settings, OnChange on_change);

  Awaitable<absl::StatusOr<std::string>> Token(std::string owner, Clock::time_point until) override;
  void Accepted(const std::string& owner, const std::string& token) override;
  Awaitable<absl::Status> Refused(std::string owner, std::string token, int http_status,
                                  oauth::Challenge challenge, Clock::time_point until) override;
  const std::string& domain() const override { return settings_.domain; }

  struct Begun {
    std::string authorization_url;
    std::string issuer;
  };
  // Finds out where to log in and as whom. Errors: UPSTREAM_AUTH saying what the operator can do.
  Awaitable<absl::StatusOr<Begun>> BeginLogin(std::string owner, std::string redirect_uri,
                                              std::string binding);
  // Turns what came back into tokens.
  Awaitable<absl::Status> FinishLogin(PendingLogin login, oauth::Callback callback);
  // Forgets the tokens, and tells the server so if it can.
  Awaitable<absl::Status> Logout(std::string owner);

  // Waits until no login is needed. False: still needed at `until`, the login failed, or cancelled.
  Awaitable<bool> WaitLogin(std::string owner, Clock::time_point until);

  // off, unknown, needed, more (scopes than the login has) or present; and when the last login
  // ended, in microseconds (0: none here).
  std::string StateOf(const std::string& owner) const;
  int64_t LoginAt(const std::string& owner) const;
  const Settings& settings() const { return settings_; }

 private:
  enum class Work { kLoad, kRenew, kRecover, kStepUp };
  struct Account {
    Account(const boost::asio::any_io_executor& executor, Holder holder_in)
        : holder(std::move(holder_in)), changed(executor) {}
    const Holder holder;
    bool loaded = false;
    bool busy = false;
    absl::Status outcome;  // of the last work
    Broadcast changed;     // busy, needs or logins
    std::optional<Grant> grant;
    bool accepted = false;  // the upstream took the access token at least once
    oauth::Challenge challenge;
    std::string step_up;  // scopes that a new login must ask for
    absl::Status needs;   // UPSTREAM_LOGIN_REQUIRED
    Clock::time_point retry_at;
    int failed_logins = 0;
    int64_t login_us = 0;
    std::string token() const { return grant ? grant->tokens.access_token : std::string(); }
  };
  using AccountPtr = std::shared_ptr<Account>;
  struct Found {
    oauth::ResourceMetadata resource;
    oauth::ServerMetadata server;
  };

  AccountPtr Get(const std::string& owner);
  oauth::Fetcher MakeFetcher() const;
  bool Stale(const Account& account) const;
  absl::Status LoginRequired(const Account& account, std::string_view why) const;
  void Need(Account& account, std::string_view why);

  // Runs one work at a time on an account, whoever goes away meanwhile.
  Awaitable<absl::Status> WaitIdle(AccountPtr account, Clock::time_point until);
  void Begin(AccountPtr account, Work work);
  static Awaitable<void> Run(std::shared_ptr<Credentials> self, AccountPtr account, Work work);
  Awaitable<absl::Status> Do(AccountPtr account, Work work);

  // credentials_grant.cc
  Awaitable<absl::Status> LoadStored(AccountPtr account);
  // Waits until no other process works on the account. False: what that one left will do. Errors:
  // UPSTREAM_AUTH when others have worked on it all the time.
  Awaitable<absl::StatusOr<bool>> AwaitTurn(AccountPtr account, Work work, std::string claimant);
  Awaitable<absl::Status> DoInTurn(AccountPtr account, Work work);
  Awaitable<absl::Status> Renew(AccountPtr account);
  Awaitable<absl::Status> Recover(AccountPtr account);
  Awaitable<absl::Status> StepUp(AccountPtr account);
  Awaitable<absl::StatusOr<Found>> Find(AccountPtr account, bool login);
  Awaitable<absl::Status> Refresh(AccountPtr account);
  Awaitable<bool> AdoptStored(AccountPtr account);
  Awaitable<absl::Status> MachineToken(AccountPtr account, Found found, std::string scope);
  Awaitable<absl::Status> Keep(AccountPtr account, Grant grant, oauth::TokenSet tokens);
  Awaitable<absl::Status> CheckIssuer(AccountPtr account, const oauth::ServerMetadata& server);
  Awaitable<absl::StatusOr<oauth::ClientIdentity>> Identify(AccountPtr account,
                                                            oauth::ServerMetadata server,
                                                            std::string redirect_uri,
                                                            std::string scope);

  LoginCore& core_;
  const Settings settings_;
  const OnChange on_change_;
  std::map<std::string, AccountPtr> accounts_;
};

}  // namespace metamcp::connector
