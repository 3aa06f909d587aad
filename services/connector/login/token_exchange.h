#pragma once

#include <map>
#include <memory>
#include <string>

#include "common/auth/oauth/fetch.h"
#include "services/connector/login/credentials.h"
#include "services/connector/login/signer.h"

namespace metamcp::connector {

// Exchanges callers' tokens at one authorization server for tokens that are good at one upstream
// (RFC 8693), and gets tokens for the gateway's own requests (lists) by the client's credentials. A
// caller's token goes to the token endpoint of the configured server and nowhere else. What was
// given is kept in memory, by owner, until it ends; whoever asks meanwhile waits for the same
// exchange. At most kAccountsMax owners; the one used longest ago gives way. Owned by shared_ptr.
// Thread: the connector's.
class TokenExchange final : public Signer, public std::enable_shared_from_this<TokenExchange> {
 public:
  static constexpr size_t kAccountsMax = 10'000;
  TokenExchange(LoginCore& core, Credentials::Settings settings);

  // What is exchanged for requests of `owner` (not empty) from now on.
  void Offer(const std::string& owner, const std::string& subject_token);
  // Errors of both: also UPSTREAM_AUTH for what the server said to an exchange.
  Awaitable<absl::StatusOr<std::string>> Token(std::string owner, Clock::time_point until) override;
  void Accepted(const std::string& owner, const std::string& token) override;
  Awaitable<absl::Status> Refused(std::string owner, std::string token, int http_status,
                                  oauth::Challenge challenge, Clock::time_point until) override;
  const std::string& domain() const override { return settings_.domain; }
  const Credentials::Settings& settings() const { return settings_; }
  size_t accounts() const { return accounts_.size(); }

 private:
  struct Account {
    explicit Account(const boost::asio::any_io_executor& executor) : changed(executor) {}
    ~Account();
    std::string subject;  // token; empty: the gateway's own account
    oauth::TokenSet tokens;
    int64_t obtained_us = 0;
    bool accepted = false;
    bool busy = false;
    absl::Status outcome;  // of the last exchange
    Clock::time_point retry_at;
    Clock::time_point used_at;
    Broadcast changed;
  };
  using AccountPtr = std::shared_ptr<Account>;

  AccountPtr Get(const std::string& owner);
  void MakeRoom();
  bool Usable(const Account& account) const;
  Awaitable<absl::Status> Ask(AccountPtr account, Clock::time_point until);
  static Awaitable<void> Run(std::shared_ptr<TokenExchange> self, AccountPtr account);
  Awaitable<absl::Status> Exchange(AccountPtr account);
  Awaitable<absl::StatusOr<oauth::ServerMetadata>> Server(const CallContext& ctx);
  oauth::Fetcher MakeFetcher() const;

  LoginCore& core_;
  const Credentials::Settings settings_;
  std::map<std::string, AccountPtr> accounts_;
  oauth::ServerMetadata server_;
  Clock::time_point server_until_;
};

}  // namespace metamcp::connector
