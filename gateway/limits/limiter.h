#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "gateway/limits/lease.h"
#include "gateway/limits/rule.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway::limits {

// The allowance of one value of one rule.
struct Bucket {
  RulePtr rule;
  std::string value;    // for people
  std::string key;      // names it to the catalog; made when first needed
  int64_t full_ns = 0;  // when the bucket of tokens is full again (GCRA's arrival time)
  int64_t used_ns = 0;  // last use
  int64_t running = 0;
  // Shared with other gateways.
  Lease rate;
  Lease quota;
  int64_t day = 0;  // that `quota` is about, since 1970-01-01
  int64_t slots = 0;
  int64_t slots_peak = 0;     // running at once since the last exchange
  int64_t slots_refused = 0;  // since then
  int64_t slots_told_ns = 0;  // last exchange about them
  bool slots_known = false;
  bool active = false;  // has something to exchange
};
using BucketPtr = std::shared_ptr<Bucket>;

// What a call holds while it runs, and what is left for the next.
struct Ticket {
  absl::InlinedVector<BucketPtr, 8> running;  // of rules with concurrency
  Allowance allowance;
};

enum class Refusal { kRate, kConcurrency, kQuota };
inline constexpr size_t kRefusals = 3;
std::string_view RefusalName(Refusal refusal);

// The hierarchical limiter: a call passes every rule that fits it or is charged by none. Everything
// is decided from memory. Where gateways share their limits, tokens are leased ahead by Exchange
// (exchange.h). Thread: the io thread.
class Limiter {
 public:
  struct Options {
    Options() {}
    size_t keys_max = 100'000;  // allowances at once; of what comes beyond them a rule has one
    bool shared = false;        // with other gateways
    std::function<int64_t()> now_ns;  // steady; empty: the machine's
    std::function<int64_t()> day;     // since 1970-01-01, UTC; empty: the machine's
  };
  explicit Limiter(Options options);

  // Takes effect at once. A rule that keeps its name keeps its allowances.
  void SetRules(const std::vector<config::LimitRuleConfig>& rules);
  bool HasRules(Surface surface) const { return !rules_[Index(surface)].empty(); }
  bool NeedsClient() const { return needs_client_; }

  // Takes one of everything that fits `subject`, or nothing. `resumed`: the call goes on from an
  // earlier one; it is charged, and may overdraw a rate by one more burst, so that an answer that a
  // person gave is not lost. Errors: RATE_LIMITED, QUOTA_EXHAUSTED, domain policy, with metadata
  // rule, scope, retryAfterMs, limit, remaining and resetMs.
  absl::Status Acquire(Surface surface, const Subject& subject, bool resumed, Ticket& ticket);
  // The call has ended, however.
  void Release(Ticket& ticket);

  // Gateways that share the limits, this one included.
  void SetGateways(size_t count) { gateways_ = count == 0 ? 1 : count; }
  // What was used up of today's quotas when this gateway started, by key.
  void SetUsedQuotas(std::map<std::string, int64_t> used);
  // The catalog does not answer: until it does, every gateway takes its share.
  void SetStale(bool stale) { stale_ = stale; }

  // For the exchange: buckets with something to tell; it takes them and marks them inactive.
  std::vector<BucketPtr> TakeActive();
  bool has_active() const { return !active_.empty(); }
  void MarkActive(const BucketPtr& bucket);
  void OnActive(std::function<void()> callback) { on_active_ = std::move(callback); }
  bool shared() const { return options_.shared; }
  bool stale() const { return stale_; }
  // Tokens of a rate that may be spent before the catalog is asked.
  int64_t RateCredit(const Bucket& bucket) const;
  size_t gateways() const { return gateways_; }
  int64_t NowNs() const { return options_.now_ns(); }
  int64_t Today() const { return options_.day(); }
  // Names a bucket to the catalog.
  static const std::string& KeyOf(Bucket& bucket);
  // Forgets allowances that are full again, at most `most` looked at; goes round.
  void Sweep(size_t most);

  // For people and metrics.
  const std::vector<RulePtr>& rules(Surface surface) const { return rules_[Index(surface)]; }
  uint64_t refused(const Rule& rule, Refusal why) const;
  size_t keys() const { return buckets_.size(); }
  void ForEach(const std::function<void(const Bucket&)>& fn) const;
  // Calls that would pass now by the rate; -1 without one.
  int64_t Remaining(const Bucket& bucket) const;
  int64_t ResetMs(const Bucket& bucket) const;

 private:
  using Found = absl::InlinedVector<BucketPtr, 8>;
  static size_t Index(Surface surface) { return static_cast<size_t>(surface); }
  void Collect(const RulePtr& rule, const Subject& subject, Found& found);
  void Add(const RulePtr& rule, std::string_view value, std::string_view per, Found& found);
  BucketPtr Make(const RulePtr& rule, std::string_view value, std::string_view per);
  bool Admits(Bucket& bucket, bool resumed, int64_t now, Refusal& why) const;
  void Spend(Bucket& bucket, int64_t now);
  absl::Status Refused(Bucket& bucket, Refusal why, int64_t now);
  int64_t WaitNs(const Bucket& bucket, Refusal why, int64_t now) const;
  int64_t QuotaCredit(const Bucket& bucket) const;
  bool Exhausted(const Bucket& bucket) const;  // of the day, not only for now
  int64_t SlotsOf(const Bucket& bucket) const;
  void StartDay(Bucket& bucket, int64_t day) const;
  static bool Idle(const Bucket& bucket, int64_t now, int64_t today);

  Options options_;
  std::array<std::vector<RulePtr>, 2> rules_;
  bool needs_client_ = false;
  std::map<std::string, uint32_t> ids_;  // of rules, by name
  absl::flat_hash_map<std::string, BucketPtr> buckets_;
  std::string scratch_;   // the key that is looked for
  std::string position_;  // where the next sweep begins
  std::vector<BucketPtr> active_;
  std::function<void()> on_active_;
  std::map<uint32_t, std::array<uint64_t, kRefusals>> refused_;
  std::map<std::string, int64_t> used_quotas_;
  int64_t used_day_ = 0;
  size_t gateways_ = 1;
  bool stale_ = false;
};

}  // namespace metamcp::gateway::limits
