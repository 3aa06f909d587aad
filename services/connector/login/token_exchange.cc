#include "services/connector/login/token_exchange.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/url.h"

namespace metamcp::connector {
namespace {

constexpr std::chrono::seconds kWorkTime(60);
// Between two exchanges of one owner of which the first failed.
constexpr std::chrono::seconds kRetry(2);
constexpr std::chrono::minutes kServerKnown(10);
// A token is renewed this long before its end, or a tenth of its life if that is shorter.
constexpr int64_t kEarlyUs = 30'000'000;
// Of a token whose end nobody says.
constexpr int64_t kUnsaidLifeUs = 300'000'000;

constexpr char kExchange[] = "urn:ietf:params:oauth:grant-type:token-exchange";
constexpr char kAccessToken[] = "urn:ietf:params:oauth:token-type:access_token";

}  // namespace

TokenExchange::Account::~Account() {
  OPENSSL_cleanse(subject.data(), subject.size());
  OPENSSL_cleanse(tokens.access_token.data(), tokens.access_token.size());
}

TokenExchange::TokenExchange(LoginCore& core, Credentials::Settings settings)
    : core_(core), settings_(std::move(settings)) {}

void TokenExchange::MakeRoom() {
  if (accounts_.size() < kAccountsMax) return;
  auto oldest = accounts_.end();
  for (auto it = accounts_.begin(); it != accounts_.end(); ++it) {
    if (it->second->busy) continue;
    if (oldest == accounts_.end() || it->second->used_at < oldest->second->used_at) oldest = it;
  }
  if (oldest != accounts_.end()) accounts_.erase(oldest);
}

TokenExchange::AccountPtr TokenExchange::Get(const std::string& owner) {
  const auto known = accounts_.find(owner);
  AccountPtr account = known == accounts_.end() ? nullptr : known->second;
  if (account == nullptr) {
    MakeRoom();
    account = std::make_shared<Account>(core_.executor);
    accounts_[owner] = account;
  }
  account->used_at = Clock::now();
  return account;
}

void TokenExchange::Offer(const std::string& owner, const std::string& subject_token) {
  const AccountPtr account = Get(owner);
  if (account->subject == subject_token) return;
  OPENSSL_cleanse(account->subject.data(), account->subject.size());
  account->subject = subject_token;
  account->retry_at = Clock::time_point();  // another token may be taken
}

bool TokenExchange::Usable(const Account& account) const {
  if (account.tokens.access_token.empty()) return false;
  const int64_t end = account.tokens.expires_us > 0 ? account.tokens.expires_us
                                                    : account.obtained_us + kUnsaidLifeUs;
  const int64_t life = std::max<int64_t>(0, end - account.obtained_us);
  return NowMicros() < end - std::min(kEarlyUs, life / 10);
}

// Waits for the exchange that is under way, or for one that is begun now.
Awaitable<absl::Status> TokenExchange::Ask(AccountPtr account, Clock::time_point until) {
  if (!account->busy) {
    if (Clock::now() < account->retry_at) co_return account->outcome;
    account->busy = true;
    ++core_.working;
    // Whoever goes away meanwhile takes nothing from those who wait for the same.
    core_.tasks.Spawn("login.exchange", Run(shared_from_this(), account));
  }
  while (account->busy) {
    if (Clock::now() >= until) {
      co_return MakeError("UPSTREAM_TIMEOUT", settings_.domain, "its token takes too long");
    }
    auto waiting = account->changed.WaitUntil(until);
    co_await std::move(waiting);
    const auto state = co_await boost::asio::this_coro::cancellation_state;
    if (state.cancelled() != boost::asio::cancellation_type::none) {
      co_return absl::CancelledError("cancelled");
    }
  }
  co_return account->outcome;
}

Awaitable<void> TokenExchange::Run(std::shared_ptr<TokenExchange> self, AccountPtr account) {
  struct Done {
    LoginCore& core;
    AccountPtr account;
    ~Done() {
      --core.working;
      account->busy = false;
      account->changed.WakeAll();
    }
  } done{self->core_, account};
  account->outcome = absl::CancelledError("stopped");
  auto exchanging = self->Exchange(account);
  auto caught = CatchStatus(std::move(exchanging));
  account->outcome = co_await std::move(caught);
  if (!account->outcome.ok()) account->retry_at = Clock::now() + kRetry;
}

oauth::Fetcher TokenExchange::MakeFetcher() const {
  oauth::Guard guard;
  // The operator names the server; what that names is not to lead elsewhere.
  const auto url = http::ParseUrl(settings_.auth.authorization_server);
  guard.loopback = url.ok() && http::IsLoopbackHost(url->host);
  guard.private_networks = settings_.auth.private_networks;
  guard.allow_tls12 = settings_.allow_tls12;
  guard.ca_file = settings_.ca_file;
  guard.domain = settings_.domain;
  return oauth::Fetcher(core_.http, std::move(guard));
}

Awaitable<absl::StatusOr<oauth::ServerMetadata>> TokenExchange::Server(const CallContext& ctx) {
  if (Clock::now() < server_until_) co_return server_;
  oauth::Fetcher fetcher = MakeFetcher();
  auto asking = fetcher.Server(ctx, settings_.auth.authorization_server);
  auto server = co_await std::move(asking);
  if (!server.ok() && absl::IsNotFound(server.status())) {
    co_return MakeError("UPSTREAM_AUTH", settings_.domain,
                        StrCat("the authorization server ", settings_.auth.authorization_server,
                               " publishes no metadata"));
  }
  if (!server.ok()) co_return server.status();
  server_ = *std::move(server);
  server_until_ = Clock::now() + kServerKnown;
  co_return server_;
}

Awaitable<absl::Status> TokenExchange::Exchange(AccountPtr account) {
  const CallContext ctx(nullptr, Clock::now() + kWorkTime);
  const AuthOptions& auth = settings_.auth;
  auto finding = Server(ctx);
  auto server = co_await std::move(finding);
  if (!server.ok()) co_return server.status();
  oauth::Form form;
  if (account->subject.empty()) {
    form.emplace_back("grant_type", "client_credentials");
  } else {
    form.emplace_back("grant_type", kExchange);
    form.emplace_back("subject_token", account->subject);
    form.emplace_back("subject_token_type", kAccessToken);
    form.emplace_back("requested_token_type", kAccessToken);
  }
  const bool named = !auth.audience.empty();
  form.emplace_back(named ? "audience" : "resource", named ? auth.audience : settings_.url);
  if (!auth.scopes.empty()) form.emplace_back("scope", auth.scopes);
  oauth::Fetcher fetcher = MakeFetcher();
  auto asking = fetcher.Token(ctx, *std::move(server), auth.client, std::move(form));
  auto tokens = co_await std::move(asking);
  if (!tokens.ok()) co_return tokens.status();
  account->tokens = *std::move(tokens);
  account->obtained_us = NowMicros();
  account->accepted = false;
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<std::string>> TokenExchange::Token(std::string owner,
                                                            Clock::time_point until) {
  const auto self = shared_from_this();
  const AccountPtr account = Get(owner);
  if (!owner.empty() && account->subject.empty()) {
    co_return MakeError(
        "UPSTREAM_AUTH", settings_.domain,
        StrCat("the caller's token for ", settings_.slug, " is not known any more"));
  }
  if (!Usable(*account)) {
    auto asking = Ask(account, until);
    METAMCP_CO_RETURN_IF_ERROR(co_await std::move(asking));
  }
  co_return account->tokens.access_token;
}

void TokenExchange::Accepted(const std::string& owner, const std::string& token) {
  const auto it = accounts_.find(owner);
  if (it != accounts_.end() && it->second->tokens.access_token == token)
    it->second->accepted = true;
}

Awaitable<absl::Status> TokenExchange::Refused(std::string owner, std::string token,
                                               int http_status, oauth::Challenge challenge,
                                               Clock::time_point until) {
  const auto self = shared_from_this();
  const AccountPtr account = Get(owner);
  // Somebody else was refused at the same time and has seen to it.
  if (!account->busy && account->tokens.access_token != token && Usable(*account)) {
    co_return absl::OkStatus();
  }
  if (http_status == 403) {
    co_return MakeError(
        "UPSTREAM_AUTH", settings_.domain,
        StrCat(settings_.slug, " wants more rights (", oauth::PlainText(challenge.scope, 80),
               ") than the exchanged token has; see auth.scopes"));
  }
  if (!account->busy) {
    if (!account->accepted) {
      co_return MakeError("UPSTREAM_AUTH", settings_.domain,
                          StrCat(settings_.slug, " refuses a token that was just issued for it"));
    }
    account->tokens = oauth::TokenSet();
  }
  auto asking = Ask(account, until);
  co_return co_await std::move(asking);
}

}  // namespace metamcp::connector
