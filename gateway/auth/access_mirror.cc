#include "gateway/auth/access_mirror.h"

#include <algorithm>
#include <utility>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::gateway {
namespace {

namespace pb = access::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view kPrefix = "mmk_";
constexpr std::string_view kMethod = "apikey:";
constexpr std::chrono::hours kWatchLifetime{12};
constexpr milliseconds kReportEvery{2000};
constexpr int64_t kSeenEveryUs = 60'000'000;  // one person is reported this often at most
constexpr size_t kSeenMax = 1000;             // of one report
constexpr size_t kPeopleMax = 10'000;         // whose last report is remembered

class MirrorSink final : public Sink<pb::WatchAccessResponse> {
 public:
  explicit MirrorSink(AccessMirror& mirror) : mirror_(mirror) {}
  Awaitable<absl::Status> Write(pb::WatchAccessResponse message) override {
    mirror_.Apply(message);
    co_return absl::OkStatus();
  }

 private:
  AccessMirror& mirror_;
};

bool IsOwners(const Principal& principal) {
  return principal.method == "socket" || principal.method == "loopback";
}

void AddTeams(const std::vector<std::string>& teams, std::vector<std::string>* to) {
  for (const std::string& team : teams) {
    if (std::find(to->begin(), to->end(), team) == to->end()) to->push_back(team);
  }
}

// Whoever comes as that subject, by whatever method.
std::shared_ptr<const Principal> AllOf(const std::string& subject) {
  auto who = std::make_shared<Principal>();
  who->subject = subject;
  return who;
}

template <typename At>
bool LostOne(const std::vector<std::string>& before, At now, At none) {
  return std::any_of(before.begin(), before.end(), [&](const std::string& team) {
    return now == none ||
           std::find(now->second.begin(), now->second.end(), team) == now->second.end();
  });
}

}  // namespace

AccessMirror::AccessMirror(pb::AccessService& service, const KeyRing& keys,
                           std::function<void(const Gone&)> on_gone)
    : service_(service), ring_(keys), on_gone_(std::move(on_gone)) {}

Awaitable<void> AccessMirror::Follow() {
  milliseconds backoff{100};
  for (;;) {
    const CallContext ctx(nullptr, CallContext::Clock::now() + kWatchLifetime);
    const auto begun = CallContext::Clock::now();
    pb::WatchAccessRequest request;
    MirrorSink sink(*this);
    auto watch = service_.WatchAccess(ctx, std::move(request), sink);
    const absl::Status status = co_await CatchStatus(std::move(watch));
    if (CallContext::Clock::now() - begun > seconds(5)) backoff = milliseconds(100);
    if (!absl::IsCancelled(status)) {
      Log(LogLevel::kWarning, "access.watch_ended",
          {{"error", std::string(status.message())}, {"retry_ms", backoff.count()}});
    }
    const bool slept = co_await Sleep(backoff);
    if (!slept) co_return;
    backoff = std::min(backoff * 2, milliseconds(1000));
  }
}

Awaitable<void> AccessMirror::Report() {
  for (;;) {
    const bool slept = co_await Sleep(kReportEvery);
    if (!slept) co_return;
    pb::ReportUseRequest request = TakeSeen();
    if (request.keys_size() + request.users_size() == 0) continue;
    const CallContext ctx(nullptr, CallContext::Clock::now() + seconds(10));
    auto reporting = service_.ReportUse(ctx, std::move(request));
    const auto reported = co_await std::move(reporting);
    if (!reported.ok()) {
      // The next use is reported again.
      Log(LogLevel::kWarning, "access.report_failed",
          {{"error", std::string(reported.status().message())}});
    }
  }
}

pb::ReportUseRequest AccessMirror::TakeSeen() {
  pb::ReportUseRequest out;
  for (auto& [id, use] : uses_) *out.add_keys() = std::move(use);
  for (auto& [subject, user] : seen_) *out.add_users() = std::move(user);
  uses_.clear();
  seen_.clear();
  return out;
}

bool AccessMirror::Same(const Principal& a, const Principal& b) {
  return a.subject == b.subject && a.roles == b.roles && a.scopes == b.scopes &&
         a.teams == b.teams && a.expires_us == b.expires_us;
}

void AccessMirror::AddKey(const pb::LiveKey& live, Keys& keys, Gone& gone) {
  for (const pb::SecretMac& mac : live.macs()) {
    auto who = std::make_shared<Principal>();
    who->subject = live.key().owner();
    who->kind = "service";
    who->method = StrCat(kMethod, live.key().id());
    who->roles = {live.key().roles().begin(), live.key().roles().end()};
    who->scopes = {live.key().scopes().begin(), live.key().scopes().end()};
    who->teams = {live.key().teams().begin(), live.key().teams().end()};
    const auto member = teams_.find(who->subject);
    if (member != teams_.end()) AddTeams(member->second, &who->teams);
    who->expires_us = live.key().expires_us();
    if (mac.until_us() > 0 && (who->expires_us == 0 || mac.until_us() < who->expires_us)) {
      who->expires_us = mac.until_us();
    }
    Entry entry;
    entry.id = live.key().id();
    entry.kid = mac.kid();
    entry.principal = std::move(who);
    const auto before = keys_.find(mac.mac());
    if (before != keys_.end()) {
      if (Same(*before->second.principal, *entry.principal)) {
        entry.principal = before->second.principal;
      } else {
        gone.push_back(before->second.principal);
      }
    }
    kids_.insert(mac.kid());
    keys.emplace(mac.mac(), std::move(entry));
  }
}

void AccessMirror::Apply(const pb::WatchAccessResponse& message) {
  Gone gone;
  const auto before = std::exchange(teams_, {});
  merged_.clear();
  for (const pb::Team& team : message.teams()) {
    for (const std::string& member : team.members()) teams_[member].push_back(team.name());
  }
  for (const auto& [subject, teams] : before) {
    // What is open was opened with the right that is gone.
    if (LostOne(teams, teams_.find(subject), teams_.end())) gone.push_back(AllOf(subject));
  }
  Keys keys;
  kids_.clear();
  for (const pb::LiveKey& live : message.keys()) AddKey(live, keys, gone);
  for (const auto& [mac, entry] : keys_) {
    if (keys.count(mac) == 0) gone.push_back(entry.principal);
  }
  keys_ = std::move(keys);
  std::set<std::string, std::less<>> disabled(message.disabled().begin(), message.disabled().end());
  for (const std::string& subject : disabled) {
    if (disabled_.count(subject) > 0) continue;
    gone.push_back(AllOf(subject));
  }
  disabled_ = std::move(disabled);
  ready_ = true;
  if (!gone.empty()) on_gone_(gone);
}

absl::StatusOr<std::shared_ptr<const Principal>> AccessMirror::FindKey(std::string_view secret) {
  if (secret.substr(0, kPrefix.size()) != kPrefix) return nullptr;
  if (!ready_) {
    return MakeError("DATABASE_UNAVAILABLE", "catalog", "the API keys are not loaded yet");
  }
  const int64_t now = NowMicros();
  for (const std::string& kid : kids_) {
    const auto found = keys_.find(ring_.Mac(SealPurpose::kToken, secret, kid));
    if (found == keys_.end() || found->second.kid != kid) continue;
    const Entry& entry = found->second;
    const int64_t ends = entry.principal->expires_us;
    if (ends > 0 && ends <= now) return nullptr;
    pb::KeyUse& use = uses_[entry.id];
    use.set_id(entry.id);
    use.set_used_us(now);
    const std::string first = ring_.Kids().front();
    if (kid != first) {
      use.mutable_mac()->set_kid(first);
      use.mutable_mac()->set_mac(ring_.Mac(SealPurpose::kToken, secret, first));
    }
    return entry.principal;
  }
  return nullptr;
}

void AccessMirror::See(const Principal& principal) {
  if (principal.issuer.empty() || seen_.size() >= kSeenMax) return;
  const int64_t now = NowMicros();
  if (seen_at_.size() >= kPeopleMax) seen_at_.clear();
  int64_t& at = seen_at_[principal.subject];
  if (now - at < kSeenEveryUs) return;
  at = now;
  pb::User& user = seen_[principal.subject];
  user.set_subject(principal.subject);
  user.set_display_name(principal.display_name);
  user.set_issuer(principal.issuer);
  for (const std::string& role : principal.roles) user.add_roles(role);
  user.set_last_seen_us(now);
}

absl::StatusOr<std::shared_ptr<const Principal>> AccessMirror::Complete(
    std::shared_ptr<const Principal> principal) {
  if (IsOwners(*principal)) return principal;
  if (disabled_.count(principal->subject) > 0) {
    return MakeError("AUTH_INVALID", "gateway", "this user is kept out");
  }
  See(*principal);
  const auto member = teams_.find(principal->subject);
  if (member == teams_.end() || principal->method.starts_with(kMethod)) return principal;
  Merged& merged = merged_[principal->subject];
  if (merged.from != principal) {
    auto with = std::make_shared<Principal>(*principal);
    AddTeams(member->second, &with->teams);
    merged.from = std::move(principal);
    merged.to = std::move(with);
  }
  return merged.to;
}

bool AccessMirror::StillKnown(const Principal& principal) const {
  if (IsOwners(principal) || !ready_) return true;
  if (disabled_.count(principal.subject) > 0) return false;
  if (!principal.method.starts_with(kMethod)) return true;
  const std::string_view id = std::string_view(principal.method).substr(kMethod.size());
  return std::any_of(keys_.begin(), keys_.end(),
                     [id](const auto& one) { return one.second.id == id; });
}

std::shared_ptr<const Principal> AccessMirror::AsNow(const Principal& principal) const {
  if (!ready_ || !principal.method.starts_with(kMethod)) return nullptr;
  const std::string_view id = std::string_view(principal.method).substr(kMethod.size());
  for (const auto& [mac, entry] : keys_) {
    if (entry.id == id) return entry.principal;
  }
  return nullptr;
}

}  // namespace metamcp::gateway
