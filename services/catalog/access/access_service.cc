#include "services/catalog/access/access_service.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

#include "common/async/listed.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/catalog/access/access_store.h"

namespace metamcp::catalog {
namespace {

namespace asio = boost::asio;
namespace pb = access::v1;

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kDay = 86'400 * kSecond;
constexpr int64_t kOverlapMaxS = 30 * 86'400;
constexpr size_t kMacBytes = 32;
constexpr int kListMax = 100;
constexpr size_t kTextMax = 256;
constexpr int kReportMax = 1000;
constexpr std::string_view kRoles[] = {"admin", "operator", "developer", "viewer", "auditor"};

absl::Status Invalid(std::string_view why) {
  return MakeError("ARGUMENT_INVALID", "catalog", std::string(why));
}

bool IsText(std::string_view text) {
  return !text.empty() && text.size() <= kTextMax &&
         std::none_of(text.begin(), text.end(),
                      [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

template <typename List>
bool AreWords(const List& list) {
  return list.size() <= kListMax &&
         std::all_of(list.begin(), list.end(), [](const std::string& one) {
           return IsText(one) && one.find(' ') == std::string::npos;
         });
}

absl::Status CheckMac(const pb::SecretMac& mac, const std::string& prefix) {
  if (IsText(mac.kid()) && mac.mac().size() == kMacBytes && IsText(prefix)) return absl::OkStatus();
  return Invalid("a gateway says what proves the secret");
}

bool IsRole(std::string_view role) {
  return std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles);
}

}  // namespace

AccessService::AccessService(asio::any_io_executor executor, db::DbExecutor& database,
                             Options options)
    : executor_(std::move(executor)), database_(database), options_(std::move(options)) {}

int64_t AccessService::Now() const { return options_.now_us ? options_.now_us() : NowMicros(); }

void AccessService::Changed() {
  ++changes_;
  for (asio::steady_timer* watcher : watchers_) watcher->cancel();
}

absl::Status AccessService::CheckNewKey(const pb::CreateKeyRequest& request, int64_t now_us) const {
  if (!IsText(request.name())) return Invalid("name must be a text of 1 to 256 bytes");
  if (!request.owner().empty() && !IsText(request.owner())) return Invalid("owner is no text");
  if (!AreWords(request.scopes()) || !AreWords(request.teams()) || !AreWords(request.roles())) {
    return Invalid("roles, scopes and teams are words, at most 100 each");
  }
  for (const std::string& role : request.roles()) {
    if (!IsRole(role)) return Invalid(StrCat("there is no role \"", role, "\""));
  }
  if (request.expires_us() < 0 || (request.expires_us() > 0 && request.expires_us() <= now_us)) {
    return Invalid("expires_us is in the past");
  }
  const int64_t most = options_.key_max_age_days * kDay;
  if (most > 0 && request.expires_us() > now_us + most) {
    return Invalid(
        StrCat("keys hold for ", options_.key_max_age_days, " days at most (auth.keyMaxAgeDays)"));
  }
  return absl::OkStatus();
}

Awaitable<absl::StatusOr<pb::CreateKeyResponse>> AccessService::CreateKey(
    const CallContext& ctx, pb::CreateKeyRequest request) {
  const int64_t now = Now();
  METAMCP_CO_RETURN_IF_ERROR(CheckNewKey(request, now));
  METAMCP_CO_RETURN_IF_ERROR(CheckMac(request.mac(), request.prefix()));
  StoredKey stored;
  pb::Key& key = stored.key;
  key.set_id(NewUuidV7());
  key.set_name(request.name());
  key.set_prefix(request.prefix());
  const std::string creator = ctx.principal ? ctx.principal->subject : "";
  key.set_owner(request.owner().empty() ? creator : request.owner());
  key.set_created_by(creator);
  key.set_created_us(now);
  key.set_expires_us(request.expires_us());
  if (key.expires_us() == 0 && options_.key_max_age_days > 0) {
    key.set_expires_us(now + options_.key_max_age_days * kDay);
  }
  *key.mutable_roles() = request.roles();
  *key.mutable_scopes() = request.scopes();
  *key.mutable_teams() = request.teams();
  stored.mac = request.mac();
  std::function<absl::Status(db::Database&)> op = [stored, now,
                                                   tenant = options_.tenant](db::Database& db) {
    return AccessStore(db, tenant).AddKey(stored, now);
  };
  auto running = database_.RunStatus(ctx, std::move(op));
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(running));
  Changed();
  pb::CreateKeyResponse out;
  *out.mutable_key() = stored.key;
  co_return out;
}

Awaitable<absl::StatusOr<pb::ListKeysResponse>> AccessService::ListKeys(
    const CallContext& ctx, pb::ListKeysRequest request) {
  std::function<absl::StatusOr<std::vector<pb::Key>>(db::Database&)> op =
      [all = request.all(), now = Now(), tenant = options_.tenant](db::Database& db) {
        return AccessStore(db, tenant).Keys(all, now);
      };
  auto running = database_.Run<std::vector<pb::Key>>(ctx, std::move(op));
  auto keys = co_await std::move(running);
  if (!keys.ok()) co_return keys.status();
  pb::ListKeysResponse out;
  for (pb::Key& key : *keys) *out.add_keys() = std::move(key);
  co_return out;
}

Awaitable<absl::StatusOr<pb::RotateKeyResponse>> AccessService::RotateKey(
    const CallContext& ctx, pb::RotateKeyRequest request) {
  if (request.overlap_s() < 0 || request.overlap_s() > kOverlapMaxS) {
    co_return Invalid("overlap_s is from 0 to 30 days");
  }
  METAMCP_CO_RETURN_IF_ERROR(CheckMac(request.mac(), request.prefix()));
  const int64_t now = Now();
  std::function<absl::StatusOr<pb::Key>(db::Database&)> op =
      [request, now, until = now + request.overlap_s() * kSecond,
       tenant = options_.tenant](db::Database& db) {
        return AccessStore(db, tenant)
            .Rotate(request.id(), request.prefix(), request.mac(), until, now);
      };
  auto running = database_.Run<pb::Key>(ctx, std::move(op));
  auto key = co_await std::move(running);
  if (!key.ok()) co_return key.status();
  Changed();
  pb::RotateKeyResponse out;
  *out.mutable_key() = *std::move(key);
  co_return out;
}

Awaitable<absl::StatusOr<pb::RevokeKeyResponse>> AccessService::RevokeKey(
    const CallContext& ctx, pb::RevokeKeyRequest request) {
  std::function<absl::StatusOr<pb::Key>(db::Database&)> op =
      [id = request.id(), now = Now(), tenant = options_.tenant](db::Database& db) {
        return AccessStore(db, tenant).Revoke(id, now);
      };
  auto running = database_.Run<pb::Key>(ctx, std::move(op));
  auto key = co_await std::move(running);
  if (!key.ok()) co_return key.status();
  Changed();
  pb::RevokeKeyResponse out;
  *out.mutable_key() = *std::move(key);
  co_return out;
}

Awaitable<absl::StatusOr<pb::ListUsersResponse>> AccessService::ListUsers(const CallContext& ctx,
                                                                          pb::ListUsersRequest) {
  std::function<absl::StatusOr<std::vector<pb::User>>(db::Database&)> op =
      [tenant = options_.tenant](db::Database& db) { return AccessStore(db, tenant).Users(); };
  auto running = database_.Run<std::vector<pb::User>>(ctx, std::move(op));
  auto users = co_await std::move(running);
  if (!users.ok()) co_return users.status();
  pb::ListUsersResponse out;
  for (pb::User& user : *users) *out.add_users() = std::move(user);
  co_return out;
}

Awaitable<absl::StatusOr<pb::SetUserResponse>> AccessService::SetUser(const CallContext& ctx,
                                                                      pb::SetUserRequest request) {
  if (!IsText(request.subject())) co_return Invalid("subject must be a text of 1 to 256 bytes");
  std::function<absl::StatusOr<pb::User>(db::Database&)> op =
      [request, now = Now(), tenant = options_.tenant](db::Database& db) {
        return AccessStore(db, tenant).SetUser(request.subject(), request.disabled(), now);
      };
  auto running = database_.Run<pb::User>(ctx, std::move(op));
  auto user = co_await std::move(running);
  if (!user.ok()) co_return user.status();
  Changed();
  pb::SetUserResponse out;
  *out.mutable_user() = *std::move(user);
  co_return out;
}

Awaitable<absl::StatusOr<pb::ListTeamsResponse>> AccessService::ListTeams(const CallContext& ctx,
                                                                          pb::ListTeamsRequest) {
  std::function<absl::StatusOr<std::vector<pb::Team>>(db::Database&)> op =
      [tenant = options_.tenant](db::Database& db) { return AccessStore(db, tenant).Teams(); };
  auto running = database_.Run<std::vector<pb::Team>>(ctx, std::move(op));
  auto teams = co_await std::move(running);
  if (!teams.ok()) co_return teams.status();
  pb::ListTeamsResponse out;
  for (pb::Team& team : *teams) *out.add_teams() = std::move(team);
  co_return out;
}

Awaitable<absl::StatusOr<pb::CreateTeamResponse>> AccessService::CreateTeam(
    const CallContext& ctx, pb::CreateTeamRequest request) {
  if (!IsText(request.name()) || request.name().find_first_of(" /") != std::string::npos) {
    co_return Invalid("name must be one word of 1 to 256 bytes without '/'");
  }
  std::function<absl::StatusOr<pb::Team>(db::Database&)> op =
      [name = request.name(), now = Now(), tenant = options_.tenant](db::Database& db) {
        return AccessStore(db, tenant).AddTeam(name, now);
      };
  auto running = database_.Run<pb::Team>(ctx, std::move(op));
  auto team = co_await std::move(running);
  if (!team.ok()) co_return team.status();
  Changed();
  pb::CreateTeamResponse out;
  *out.mutable_team() = *std::move(team);
  co_return out;
}

Awaitable<absl::StatusOr<pb::DeleteTeamResponse>> AccessService::DeleteTeam(
    const CallContext& ctx, pb::DeleteTeamRequest request) {
  std::function<absl::Status(db::Database&)> op = [name = request.name(),
                                                   tenant = options_.tenant](db::Database& db) {
    return AccessStore(db, tenant).RemoveTeam(name);
  };
  auto running = database_.RunStatus(ctx, std::move(op));
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(running));
  Changed();
  co_return pb::DeleteTeamResponse();
}

Awaitable<absl::StatusOr<pb::SetMemberResponse>> AccessService::SetMember(
    const CallContext& ctx, pb::SetMemberRequest request) {
  if (!IsText(request.subject())) co_return Invalid("subject must be a text of 1 to 256 bytes");
  std::function<absl::StatusOr<pb::Team>(db::Database&)> op = [request, tenant = options_.tenant](
                                                                  db::Database& db) {
    return AccessStore(db, tenant).SetMember(request.name(), request.subject(), request.absent());
  };
  auto running = database_.Run<pb::Team>(ctx, std::move(op));
  auto team = co_await std::move(running);
  if (!team.ok()) co_return team.status();
  Changed();
  pb::SetMemberResponse out;
  *out.mutable_team() = *std::move(team);
  co_return out;
}

Awaitable<absl::StatusOr<pb::ReportUseResponse>> AccessService::ReportUse(
    const CallContext& ctx, pb::ReportUseRequest request) {
  if (request.keys_size() > kReportMax || request.users_size() > kReportMax) {
    co_return Invalid("at most 1000 of each");
  }
  for (const pb::User& user : request.users()) {
    if (!IsText(user.subject()) || !AreWords(user.roles())) co_return Invalid("no such subject");
  }
  std::function<absl::Status(db::Database&)> op = [request = std::move(request),
                                                   tenant = options_.tenant](db::Database& db) {
    return AccessStore(db, tenant).Report(request);
  };
  auto running = database_.RunStatus(ctx, std::move(op));
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(running));
  co_return pb::ReportUseResponse();
}

Awaitable<absl::Status> AccessService::WatchAccess(const CallContext& ctx, pb::WatchAccessRequest,
                                                   Sink<pb::WatchAccessResponse>& sink) {
  asio::steady_timer timer(executor_);
  const Listed<asio::steady_timer> listed(watchers_, &timer);
  int64_t sent = -1;
  for (;;) {
    const size_t changes = changes_;
    const CallContext step(ctx.principal, CallContext::Clock::now() + std::chrono::seconds(10));
    std::function<absl::StatusOr<pb::WatchAccessResponse>(db::Database&)> op =
        [sent, now = Now(),
         tenant = options_.tenant](db::Database& db) -> absl::StatusOr<pb::WatchAccessResponse> {
      AccessStore store(db, tenant);
      METAMCP_ASSIGN_OR_RETURN(const int64_t revision, store.Revision());
      pb::WatchAccessResponse same;
      same.set_revision(revision);
      if (revision == sent) return same;
      return store.Snapshot(now);
    };
    auto running = database_.Run<pb::WatchAccessResponse>(step, std::move(op));
    auto found = co_await std::move(running);
    if (!found.ok()) co_return found.status();
    if (found->revision() != sent) {
      sent = found->revision();
      auto writing = sink.Write(*std::move(found));
      METAMCP_CO_RETURN_IF_ERROR(co_await std::move(writing));
    }
    if (changes != changes_) continue;
    timer.expires_after(options_.poll);
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
      co_return absl::CancelledError("the watch was cancelled");
    }
    if (CallContext::Clock::now() >= ctx.deadline) {
      co_return absl::DeadlineExceededError("the watch is over");
    }
  }
}

}  // namespace metamcp::catalog
