#include "services/connector/login/credentials.h"

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/url.h"

namespace metamcp::connector {
namespace {

// A token is renewed this long before its end, or a tenth of its life if that is shorter.
constexpr int64_t kEarlyUs = 60'000'000;

}  // namespace

Credentials::Credentials(LoginCore& core, Settings settings, OnChange on_change)
    : core_(core), settings_(std::move(settings)), on_change_(std::move(on_change)) {}

Credentials::AccountPtr Credentials::Get(const std::string& owner) {
  AccountPtr& account = accounts_[owner];
  if (account == nullptr) {
    Holder holder;
    holder.tenant = settings_.tenant;
    holder.owner = owner;
    holder.upstream = settings_.url;
    account = std::make_shared<Account>(core_.executor, std::move(holder));
  }
  return account;
}

oauth::Fetcher Credentials::MakeFetcher() const {
  oauth::Guard guard;
  const auto url = http::ParseUrl(settings_.url);
  // What is on this machine may name what is on this machine; nobody else may.
  guard.loopback = url.ok() && http::IsLoopbackHost(url->host);
  guard.private_networks = settings_.auth.private_networks;
  guard.allow_tls12 = settings_.allow_tls12;
  guard.ca_file = settings_.ca_file;
  guard.domain = settings_.domain;
  return oauth::Fetcher(core_.http, std::move(guard));
}

absl::Status Credentials::LoginRequired(const Account& account, std::string_view why) const {
  return MakeError("UPSTREAM_LOGIN_REQUIRED", settings_.domain,
                   StrCat(settings_.slug, " needs login", why.empty() ? "" : ": ", why),
                   {{"login", account.holder.owner.empty() ? "shared" : "principal"}});
}

void Credentials::Need(Account& account, std::string_view why) {
  account.needs = LoginRequired(account, why);
  account.changed.WakeAll();
  if (on_change_) on_change_(account.holder.owner);
}

bool Credentials::Stale(const Account& account) const {
  if (!account.grant || account.grant->tokens.expires_us == 0) return false;
  const Grant& grant = *account.grant;
  // Without a way to renew it, the token is good for as long as the upstream takes it.
  if (grant.tokens.refresh_token.empty() && !settings_.auth.machine()) return false;
  const int64_t life = std::max<int64_t>(0, grant.tokens.expires_us - grant.obtained_us);
  return NowMicros() >= grant.tokens.expires_us - std::min(kEarlyUs, life / 10);
}

Awaitable<absl::Status> Credentials::WaitIdle(AccountPtr account, Clock::time_point until) {
  while (account->busy) {
    if (Clock::now() >= until) {
      co_return MakeError("UPSTREAM_TIMEOUT", settings_.domain, "its login takes too long");
    }
    auto waiting = account->changed.WaitUntil(until);
    co_await std::move(waiting);
    const auto state = co_await boost::asio::this_coro::cancellation_state;
    if (state.cancelled() != boost::asio::cancellation_type::none) {
      co_return absl::CancelledError("cancelled");
    }
  }
  co_return absl::OkStatus();
}

void Credentials::Begin(AccountPtr account, Work work) {
  account->busy = true;
  ++core_.working;
  core_.tasks.Spawn("login.work", Run(shared_from_this(), account, work));
}

Awaitable<void> Credentials::Run(std::shared_ptr<Credentials> self, AccountPtr account, Work work) {
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
  auto doing = self->DoInTurn(account, work);
  auto caught = CatchStatus(std::move(doing));
  account->outcome = co_await std::move(caught);
}

Awaitable<absl::Status> Credentials::Do(AccountPtr account, Work work) {
  switch (work) {
    case Work::kLoad:
      return LoadStored(std::move(account));
    case Work::kRenew:
      return Renew(std::move(account));
    case Work::kRecover:
      return Recover(std::move(account));
    case Work::kStepUp:
      break;
  }
  return StepUp(std::move(account));
}

Awaitable<absl::StatusOr<std::string>> Credentials::Token(std::string owner,
                                                          Clock::time_point until) {
  const auto self = shared_from_this();
  if (settings_.auth.grant == "none") co_return std::string();
  const AccountPtr account = Get(owner);
  while (true) {
    auto waiting = WaitIdle(account, until);
    METAMCP_CO_RETURN_IF_ERROR(co_await std::move(waiting));
    if (!account->loaded) {
      Begin(account, Work::kLoad);
      continue;
    }
    if (!account->grant) {
      if (!account->needs.ok()) co_return account->needs;
      co_return std::string();
    }
    if (!Stale(*account)) co_return account->token();
    const bool valid = NowMicros() < account->grant->tokens.expires_us;
    if (Clock::now() < account->retry_at) {
      if (valid) co_return account->token();
      co_return account->outcome;
    }
    Begin(account, Work::kRenew);
    auto renewing = WaitIdle(account, until);
    METAMCP_CO_RETURN_IF_ERROR(co_await std::move(renewing));
    if (account->outcome.ok() || !account->grant) continue;
    // A renewal that failed in passing does not spoil a token that is still good.
    if (valid) co_return account->token();
    co_return account->outcome;
  }
}

void Credentials::Accepted(const std::string& owner, const std::string& token) {
  const auto it = accounts_.find(owner);
  if (it != accounts_.end() && it->second->token() == token) it->second->accepted = true;
}

Awaitable<absl::Status> Credentials::Refused(std::string owner, std::string token, int http_status,
                                             oauth::Challenge challenge, Clock::time_point until) {
  const auto self = shared_from_this();
  const AccountPtr account = Get(owner);
  auto waiting = WaitIdle(account, until);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(waiting));
  // Somebody else was refused at the same time and has seen to it.
  if (account->grant && account->token() != token) co_return absl::OkStatus();
  if (!account->grant && !account->needs.ok()) co_return account->needs;
  account->challenge = std::move(challenge);
  if (http_status == 401) {
    Begin(account, Work::kRecover);
  } else {
    const std::string& wanted = account->challenge.scope;
    const std::string had =
        account->grant ? oauth::UnionScopes(account->grant->scope, account->grant->tokens.scope)
                       : std::string();
    if (!account->grant || wanted.empty() || oauth::HasScopes(had, wanted)) {
      // Asking again for what was asked for before would go round in circles.
      co_return MakeError("UPSTREAM_AUTH", settings_.domain,
                          StrCat(settings_.slug, " refuses although the login has its scopes (",
                                 oauth::PlainText(wanted, 80), ")"));
    }
    account->step_up = oauth::UnionScopes(had, wanted);
    if (!settings_.auth.machine()) {
      if (on_change_) on_change_(owner);
      const std::string why = StrCat("it wants more rights (", oauth::PlainText(wanted, 80), ")");
      co_return LoginRequired(*account, why);
    }
    Begin(account, Work::kStepUp);
  }
  auto working = WaitIdle(account, until);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(working));
  co_return account->outcome;
}

Awaitable<bool> Credentials::WaitLogin(std::string owner, Clock::time_point until) {
  const auto self = shared_from_this();
  const AccountPtr account = Get(owner);
  const int failed = account->failed_logins;
  while (account->busy || !account->needs.ok() || !account->step_up.empty()) {
    if (Clock::now() >= until || account->failed_logins != failed) co_return false;
    auto waiting = account->changed.WaitUntil(until);
    co_await std::move(waiting);
    const auto state = co_await boost::asio::this_coro::cancellation_state;
    if (state.cancelled() != boost::asio::cancellation_type::none) co_return false;
  }
  co_return true;
}

std::string Credentials::StateOf(const std::string& owner) const {
  if (settings_.auth.grant == "none") return "off";
  const auto it = accounts_.find(owner);
  if (it == accounts_.end() || !it->second->loaded) return "unknown";
  const Account& account = *it->second;
  if (!account.needs.ok()) return "needed";
  if (!account.step_up.empty()) return "more";
  return account.grant ? "present" : "unknown";
}

int64_t Credentials::LoginAt(const std::string& owner) const {
  const auto it = accounts_.find(owner);
  return it == accounts_.end() ? 0 : it->second->login_us;
}

}  // namespace metamcp::connector
