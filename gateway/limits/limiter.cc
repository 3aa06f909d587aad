#include "gateway/limits/limiter.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"

namespace metamcp::gateway::limits {
namespace {

constexpr std::string_view kOthers = "(others)";
constexpr int64_t kNsPerMs = 1'000'000;
// Said where nobody knows when a slot will be free.
constexpr int64_t kSlotWaitNs = 500 * kNsPerMs;
// Until the next exchange brings what is missing.
constexpr int64_t kExchangeWaitNs = 100 * kNsPerMs;
constexpr int64_t kDayUs = 86'400'000'000;
constexpr size_t kTeamsMax = 16;  // of one principal; more are not limited one by one
constexpr size_t kSweepWhenFull = 32;

int64_t SteadyNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string_view ValueOf(Scope scope, const Subject& subject) {
  switch (scope) {
    case Scope::kGlobal:
      return "*";
    case Scope::kTenant:
      return subject.tenant;
    case Scope::kPrincipal:
      return subject.principal;
    case Scope::kClient:
      return subject.client;
    case Scope::kUpstream:
      return subject.upstream;
    case Scope::kTool:
      return subject.tool;
    case Scope::kTeam:
      break;
  }
  return "";
}

int64_t CeilMs(int64_t ns) { return (std::max<int64_t>(ns, 0) + kNsPerMs - 1) / kNsPerMs; }

}  // namespace

std::string_view RefusalName(Refusal refusal) {
  switch (refusal) {
    case Refusal::kRate:
      return "rate";
    case Refusal::kConcurrency:
      return "concurrency";
    case Refusal::kQuota:
      return "quota";
  }
  return "";
}

Limiter::Limiter(Options options) : options_(std::move(options)) {
  if (!options_.now_ns) options_.now_ns = SteadyNs;
  if (!options_.day) options_.day = [] { return NowMicros() / kDayUs; };
}

void Limiter::SetRules(const std::vector<config::LimitRuleConfig>& rules) {
  std::map<uint32_t, RulePtr> by_id;
  for (auto& list : rules_) list.clear();
  needs_client_ = false;
  for (const config::LimitRuleConfig& from : rules) {
    const auto id = ids_.emplace(from.name, static_cast<uint32_t>(ids_.size())).first->second;
    auto rule = std::make_shared<const Rule>(MakeRule(from, id));
    needs_client_ = needs_client_ || rule->scope == Scope::kClient || rule->per == Scope::kClient;
    rules_[Index(rule->surface)].push_back(rule);
    by_id[id] = std::move(rule);
  }
  absl::erase_if(buckets_, [&by_id](auto& each) {
    const auto rule = by_id.find(each.second->rule->id);
    // Another scope means other values.
    const bool stays = rule != by_id.end() && rule->second->scope == each.second->rule->scope &&
                       rule->second->per == each.second->rule->per;
    if (stays) each.second->rule = rule->second;
    return !stays;
  });
}

BucketPtr Limiter::Make(const RulePtr& rule, std::string_view value, std::string_view per) {
  auto bucket = std::make_shared<Bucket>();
  bucket->rule = rule;
  bucket->value = rule->per ? StrCat(value, " + ", per) : std::string(value);
  StartDay(*bucket, Today());
  return bucket;
}

void Limiter::Add(const RulePtr& rule, std::string_view value, std::string_view per, Found& found) {
  const auto find = [&]() -> decltype(buckets_)::iterator {
    scratch_.clear();
    scratch_.append(reinterpret_cast<const char*>(&rule->id), sizeof(rule->id));
    scratch_.append(value);
    scratch_.push_back('\0');
    scratch_.append(per);
    return buckets_.find(scratch_);
  };
  auto it = find();
  if (it == buckets_.end() && buckets_.size() >= options_.keys_max) {
    Sweep(kSweepWhenFull);
    if (buckets_.size() >= options_.keys_max) {
      value = kOthers;
      per = "";
    }
    it = find();
  }
  if (it == buckets_.end()) it = buckets_.emplace(scratch_, Make(rule, value, per)).first;
  found.push_back(it->second);
}

void Limiter::Collect(const RulePtr& rule, const Subject& subject, Found& found) {
  const auto with_per = [&](std::string_view value) {
    if (!rule->per) return Add(rule, value, "", found);
    if (*rule->per != Scope::kTeam) {
      const std::string_view per = ValueOf(*rule->per, subject);
      if (!per.empty()) Add(rule, value, per, found);
      return;
    }
    for (size_t i = 0; i < std::min(subject.teams.size(), kTeamsMax); ++i) {
      Add(rule, value, subject.teams[i], found);
    }
  };
  // What is limited belongs to a tenant; two tenants' equal names are not the same.
  const auto within_tenant = [&](std::string_view value) {
    if (value.empty() || !rule->Fits(rule->scope, value, subject)) return;
    const bool all_tenants = rule->scope == Scope::kGlobal || rule->scope == Scope::kTenant;
    if (all_tenants || subject.tenant == "default") return with_per(value);
    with_per(StrCat(subject.tenant, "/", value));
  };
  if (rule->scope != Scope::kTeam) return within_tenant(ValueOf(rule->scope, subject));
  for (size_t i = 0; i < std::min(subject.teams.size(), kTeamsMax); ++i) {
    within_tenant(subject.teams[i]);
  }
}

// An equal share of the burst, or of what was left for everybody.
int64_t Limiter::RateCredit(const Bucket& bucket) const {
  const auto gateways = static_cast<int64_t>(gateways_);
  const int64_t share = std::max<int64_t>(1, bucket.rule->burst / gateways);
  return bucket.rate.known ? std::min(share, bucket.rate.left / gateways) : share;
}

// Likewise, and a small part of the quota while the catalog answers; all of it where nobody shares.
int64_t Limiter::QuotaCredit(const Bucket& bucket) const {
  const int64_t left = bucket.quota.left < 0 ? bucket.rule->quota : bucket.quota.left;
  if (!options_.shared) return left;
  const int64_t share = left / static_cast<int64_t>(gateways_);
  if (stale_) return share;
  const int64_t some = std::min(share, std::max<int64_t>(5, bucket.rule->quota / 20));
  return bucket.quota.known || left == 0 ? some : std::max<int64_t>(1, some);
}

int64_t Limiter::SlotsOf(const Bucket& bucket) const {
  const int64_t all = bucket.rule->concurrency;
  if (!options_.shared) return all;
  const int64_t share = std::max<int64_t>(1, all / static_cast<int64_t>(gateways_));
  if (stale_) return std::min(all, std::max(share, bucket.slots_known ? bucket.slots : 0));
  return bucket.slots_known ? bucket.slots : share;
}

void Limiter::StartDay(Bucket& bucket, int64_t day) const {
  bucket.quota = Lease();
  bucket.day = day;
  if (bucket.rule->quota == 0 || used_quotas_.empty() || used_day_ != day) return;
  const auto used = used_quotas_.find(KeyOf(bucket));
  if (used != used_quotas_.end()) {
    bucket.quota.left = std::max<int64_t>(0, bucket.rule->quota - used->second);
  }
}

bool Limiter::Admits(Bucket& bucket, bool resumed, int64_t now, Refusal& why) const {
  const Rule& rule = *bucket.rule;
  if (rule.concurrency > 0 && bucket.running >= SlotsOf(bucket)) {
    why = Refusal::kConcurrency;
    return false;
  }
  if (rule.quota > 0 && !bucket.quota.Has(now, QuotaCredit(bucket))) {
    why = Refusal::kQuota;
    return false;
  }
  if (rule.interval_ns == 0) return true;
  why = Refusal::kRate;
  const int64_t burst = resumed ? 2 * rule.burst : rule.burst;
  // Generic cell rate: one more fits if the bucket will be full again within a burst's time.
  if (std::max(bucket.full_ns, now) - now > (burst - 1) * rule.interval_ns) return false;
  return !options_.shared || resumed || bucket.rate.Has(now, RateCredit(bucket));
}

void Limiter::Spend(Bucket& bucket, int64_t now) {
  const Rule& rule = *bucket.rule;
  bucket.used_ns = now;
  if (rule.interval_ns > 0) {
    bucket.full_ns = std::max(bucket.full_ns, now) + rule.interval_ns;
    if (options_.shared) {
      bucket.rate.Spend();
      ++bucket.rate.demand;
    }
  }
  if (rule.quota > 0) {
    bucket.quota.Spend();
    ++bucket.quota.demand;
  }
  if (rule.concurrency > 0) {
    ++bucket.running;
    bucket.slots_peak = std::max(bucket.slots_peak, bucket.running);
  }
}

bool Limiter::Exhausted(const Bucket& bucket) const {
  return !options_.shared || bucket.quota.left == 0;
}

int64_t Limiter::WaitNs(const Bucket& bucket, Refusal why, int64_t now) const {
  const Rule& rule = *bucket.rule;
  switch (why) {
    case Refusal::kConcurrency:
      return kSlotWaitNs;
    case Refusal::kQuota: {
      if (!Exhausted(bucket)) return kExchangeWaitNs;
      const int64_t now_us = NowMicros();
      return ((now_us / kDayUs + 1) * kDayUs - now_us) * 1000;
    }
    case Refusal::kRate:
      break;
  }
  const int64_t own = bucket.full_ns - now - (rule.burst - 1) * rule.interval_ns;
  if (own > 0) return own;
  return std::max(bucket.rate.not_before_ns - now, std::min(kExchangeWaitNs, rule.interval_ns));
}

absl::Status Limiter::Refused(Bucket& bucket, Refusal why, int64_t now) {
  const Rule& rule = *bucket.rule;
  ++refused_[rule.id][static_cast<size_t>(why)];
  bucket.used_ns = now;
  ++bucket.rate.demand;
  ++bucket.quota.demand;
  if (why == Refusal::kConcurrency) ++bucket.slots_refused;
  const int64_t retry_ms = std::max<int64_t>(1, CeilMs(WaitNs(bucket, why, now)));
  const bool exhausted = why == Refusal::kQuota && Exhausted(bucket);
  const int64_t limit = why == Refusal::kRate          ? rule.burst
                        : why == Refusal::kConcurrency ? rule.concurrency
                                                       : rule.quota;
  const std::string of = why == Refusal::kRate          ? rule.rate
                         : why == Refusal::kConcurrency ? StrCat(rule.concurrency, " at once")
                                                        : StrCat(rule.quota, " a day");
  const int64_t reset_ms = why == Refusal::kRate ? std::max(retry_ms, ResetMs(bucket)) : retry_ms;
  return MakeError(exhausted ? "QUOTA_EXHAUSTED" : "RATE_LIMITED", "policy",
                   StrCat("the limit \"", rule.name, "\" (", of,
                          rule.scope == Scope::kGlobal ? "" : " for each ",
                          rule.scope == Scope::kGlobal ? "" : ScopeName(rule.scope),
                          ") is reached; try again in ", retry_ms, " ms"),
                   {{"rule", rule.name},
                    {"scope", std::string(ScopeName(rule.scope))},
                    {"kind", std::string(RefusalName(why))},
                    {"retryAfterMs.json", StrCat(retry_ms)},
                    {"limit.json", StrCat(limit)},
                    {"remaining.json", "0"},
                    {"resetMs.json", StrCat(reset_ms)}});
}

absl::Status Limiter::Acquire(Surface surface, const Subject& subject, bool resumed,
                              Ticket& ticket) {
  Found found;
  for (const RulePtr& rule : rules_[Index(surface)]) Collect(rule, subject, found);
  if (found.empty()) return absl::OkStatus();
  const int64_t now = NowNs();
  const int64_t today = Today();
  for (const BucketPtr& bucket : found) {
    if (bucket->day != today) StartDay(*bucket, today);
    const bool exchanges = options_.shared || bucket->rule->quota > 0;
    Refusal why = Refusal::kRate;
    const bool admitted = Admits(*bucket, resumed, now, why);
    if (exchanges) MarkActive(bucket);
    if (!admitted) return Refused(*bucket, why, now);
  }
  int64_t least = std::numeric_limits<int64_t>::max();
  for (BucketPtr& bucket : found) {
    Spend(*bucket, now);
    const int64_t remaining = Remaining(*bucket);
    if (remaining >= 0 && remaining < least) {
      least = remaining;
      ticket.allowance = {bucket->rule->burst, remaining, ResetMs(*bucket)};
    }
    if (bucket->rule->concurrency > 0) ticket.running.push_back(std::move(bucket));
  }
  return absl::OkStatus();
}

void Limiter::Release(Ticket& ticket) {
  for (const BucketPtr& bucket : ticket.running) {
    // A rule may have lost its limit since.
    bucket->running = std::max<int64_t>(0, bucket->running - 1);
    if (options_.shared) MarkActive(bucket);
  }
  ticket.running.clear();
}

void Limiter::SetUsedQuotas(std::map<std::string, int64_t> used) {
  used_quotas_ = std::move(used);
  used_day_ = Today();
}

void Limiter::MarkActive(const BucketPtr& bucket) {
  if (bucket->active) return;
  bucket->active = true;
  active_.push_back(bucket);
  if (on_active_) on_active_();
}

std::vector<BucketPtr> Limiter::TakeActive() {
  std::vector<BucketPtr> out;
  out.swap(active_);
  for (const BucketPtr& bucket : out) bucket->active = false;
  return out;
}

const std::string& Limiter::KeyOf(Bucket& bucket) {
  if (bucket.key.empty()) {
    bucket.key = Sha256Hex(StrCat(bucket.rule->name, "\n", ScopeName(bucket.rule->scope), "\n",
                                  bucket.value))
                     .substr(0, 32);
  }
  return bucket.key;
}

bool Limiter::Idle(const Bucket& bucket, int64_t now, int64_t today) {
  constexpr int64_t kRestNs = 60'000'000'000;
  // Forgotten, it would begin anew.
  if (bucket.rule->quota > 0 && bucket.day == today) return false;
  return bucket.running == 0 && !bucket.active && bucket.full_ns <= now &&
         bucket.used_ns + kRestNs < now && bucket.rate.tokens == 0 && bucket.rate.charge == 0 &&
         bucket.quota.tokens == 0 && bucket.quota.charge == 0 && bucket.rate.not_before_ns <= now;
}

void Limiter::Sweep(size_t most) {
  const int64_t now = NowNs();
  const int64_t today = Today();
  auto it = buckets_.find(position_);
  for (size_t i = 0; i < most && !buckets_.empty(); ++i) {
    if (it == buckets_.end()) it = buckets_.begin();
    if (Idle(*it->second, now, today)) {
      buckets_.erase(it++);
    } else {
      ++it;
    }
  }
  position_ = it == buckets_.end() ? std::string() : it->first;
}

uint64_t Limiter::refused(const Rule& rule, Refusal why) const {
  const auto it = refused_.find(rule.id);
  return it == refused_.end() ? 0 : it->second[static_cast<size_t>(why)];
}

void Limiter::ForEach(const std::function<void(const Bucket&)>& fn) const {
  for (const auto& [key, bucket] : buckets_) fn(*bucket);
}

int64_t Limiter::Remaining(const Bucket& bucket) const {
  const Rule& rule = *bucket.rule;
  if (rule.interval_ns == 0) return -1;
  const int64_t now = NowNs();
  const int64_t ahead = std::max(bucket.full_ns, now) - now;
  return std::max<int64_t>(0, (rule.burst * rule.interval_ns - ahead) / rule.interval_ns);
}

int64_t Limiter::ResetMs(const Bucket& bucket) const {
  if (bucket.rule->interval_ns == 0) return 0;
  return CeilMs(bucket.full_ns - NowNs());
}

}  // namespace metamcp::gateway::limits
