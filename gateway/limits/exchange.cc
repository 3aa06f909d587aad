#include "gateway/limits/exchange.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/async/run.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::gateway::limits {
namespace {

using std::chrono::milliseconds;

// Between two rounds; and after the first call of a time of rest.
constexpr milliseconds kRound{100};
constexpr milliseconds kFirst{5};
constexpr milliseconds kRetry{200};
constexpr milliseconds kSweep{1000};
constexpr std::chrono::seconds kTimeout{2};
constexpr size_t kEntriesMax = 2000;
constexpr size_t kSweepKeys = 2000;
// Rounds without demand after which what was granted goes back.
constexpr int kRateIdle = 3;
constexpr int kQuotaIdle = 30;
constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kSlotsRenewNs = 3 * kSecondNs;
// A catalog that has been silent for so long does not answer.
constexpr int64_t kStaleNs = 2 * kSecondNs;

int64_t RoundTokens(const Rule& rule) {
  return std::chrono::nanoseconds(kRound).count() / rule.interval_ns;
}

// What may be spent until the next round, and not more than was asked for lately.
int64_t WantedRate(const Limiter& limiter, const Bucket& bucket) {
  const int64_t possible = limiter.Remaining(bucket) + 2 * RoundTokens(*bucket.rule) + 1;
  const int64_t demanded = bucket.rate.demand + bucket.rate.demand / 2 + 1;
  return std::min(possible, demanded);
}

int64_t WantedQuota(const Bucket& bucket) {
  const int64_t chunk = std::clamp<int64_t>(bucket.rule->quota / 100, 1, 1000);
  return std::max(chunk, std::min(bucket.rule->quota / 10, 2 * bucket.quota.demand));
}

// Without the catalog: this gateway's share of what has dripped in since the last time.
void Mint(const Limiter& limiter, Bucket& bucket) {
  Lease& lease = bucket.rate;
  const int64_t now = limiter.NowNs();
  const int64_t interval = bucket.rule->interval_ns * static_cast<int64_t>(limiter.gateways());
  if (lease.minted_ns == 0) lease.minted_ns = now;
  const int64_t count = (now - lease.minted_ns) / interval;
  lease.minted_ns += count * interval;
  const int64_t most =
      std::max<int64_t>(1, bucket.rule->burst / static_cast<int64_t>(limiter.gateways()));
  lease.tokens = std::max(lease.tokens, std::min(most, lease.tokens + count));
}

void Settle(Lease& lease, int64_t charge, int64_t given_back, int64_t granted, int64_t left) {
  lease.in_flight -= charge;
  lease.tokens += granted;
  lease.left = left;
  lease.minted_ns = 0;
  lease.known = granted > 0 || given_back == 0;
}

}  // namespace

Exchange::Exchange(boost::asio::any_io_executor executor, Limiter& limiter,
                   catalog::v1::QuotaService* catalog, Options options)
    : limiter_(limiter), catalog_(catalog), options_(std::move(options)), active_(executor) {
  if (catalog_ != nullptr) limiter_.OnActive([this] { active_.Notify(); });
}

CallContext Exchange::Context() const {
  static const auto who = [] {
    auto principal = std::make_shared<Principal>();
    principal->subject = "meta-mcp";
    principal->kind = "service";
    principal->roles = {"admin"};
    principal->method = "internal";
    return std::shared_ptr<const Principal>(std::move(principal));
  }();
  return CallContext(who, CallContext::Clock::now() + kTimeout);
}

Awaitable<absl::Status> Exchange::Load() {
  if (catalog_ == nullptr) co_return absl::OkStatus();
  std::map<std::string, int64_t> used;
  std::string token;
  do {
    const CallContext ctx = Context();
    catalog::v1::ListQuotasRequest request;
    request.set_day(limiter_.Today());
    request.set_page_token(std::move(token));
    auto listing = catalog_->ListQuotas(ctx, std::move(request));
    METAMCP_CO_ASSIGN_OR_RETURN(auto page, co_await std::move(listing));
    for (const auto& each : page.quotas()) used[each.key()] = each.used();
    token = page.next_page_token();
  } while (!token.empty());
  limiter_.SetUsedQuotas(std::move(used));
  co_return absl::OkStatus();
}

void Exchange::TellRate(const BucketPtr& bucket, bool leaving,
                        catalog::v1::ExchangeLimitsRequest& request, Told& told) {
  Lease& lease = bucket->rate;
  lease.idle = lease.demand == 0 ? lease.idle + 1 : 0;
  const bool rests = leaving || lease.idle >= kRateIdle;
  const int64_t back = rests ? std::exchange(lease.tokens, 0) : 0;
  const int64_t want =
      rests ? 0 : std::max<int64_t>(0, WantedRate(limiter_, *bucket) - lease.tokens);
  lease.demand = 0;
  if (rests) lease.known = false;
  if (lease.charge == 0 && back == 0 && want == 0) return;
  auto& out = *request.add_rates();
  out.set_key(Limiter::KeyOf(*bucket));
  out.set_interval_ns(bucket->rule->interval_ns);
  out.set_burst(bucket->rule->SharedBurst());
  out.set_charge(lease.charge);
  out.set_give_back(back);
  out.set_want(want);
  lease.in_flight += std::exchange(lease.charge, 0);
  told.rates.push_back(bucket);
}

void Exchange::TellQuota(const BucketPtr& bucket, bool leaving,
                         catalog::v1::ExchangeLimitsRequest& request, Told& told) {
  Lease& lease = bucket->quota;
  lease.idle = lease.demand == 0 ? lease.idle + 1 : 0;
  const bool rests = leaving || lease.idle >= kQuotaIdle;
  const int64_t back = rests ? std::exchange(lease.tokens, 0) : 0;
  const int64_t chunk = WantedQuota(*bucket);
  // Alone, it need not ask before it spends.
  const bool low = limiter_.shared() && lease.demand > 0 && lease.tokens < chunk / 2 + 1;
  const int64_t want = rests || !low ? 0 : chunk - lease.tokens;
  lease.demand = 0;
  if (rests) lease.known = false;
  if (lease.charge == 0 && back == 0 && want <= 0) return;
  auto& out = *request.add_quotas();
  out.set_key(Limiter::KeyOf(*bucket));
  out.set_day(bucket->day);
  out.set_quota(bucket->rule->quota);
  out.set_charge(lease.charge);
  out.set_give_back(back);
  out.set_want(std::max<int64_t>(0, want));
  lease.in_flight += std::exchange(lease.charge, 0);
  told.quotas.push_back(bucket);
}

void Exchange::TellSlots(const BucketPtr& bucket, catalog::v1::ExchangeLimitsRequest& request,
                         Told& told) {
  Bucket& b = *bucket;
  const bool used = b.slots_peak > 0 || b.slots_refused > 0 || b.running > 0;
  int64_t want = 0;
  if (used) want = std::max(b.slots_peak, b.running) + std::max<int64_t>(1, b.slots_refused);
  want = std::min(want, b.rule->concurrency);
  b.slots_peak = b.running;
  b.slots_refused = 0;
  const int64_t now = limiter_.NowNs();
  const bool fresh = b.slots_known && now - b.slots_told_ns < kSlotsRenewNs;
  if ((fresh && want <= b.slots && want > 0) || (!b.slots_known && want == 0)) return;
  b.slots_told_ns = now;
  if (want == 0) b.slots_known = false;
  auto& out = *request.add_slots();
  out.set_key(Limiter::KeyOf(b));
  out.set_limit(b.rule->concurrency);
  out.set_running(b.running);
  out.set_want(want);
  told.slots.push_back(bucket);
}

void Exchange::Tell(const BucketPtr& bucket, bool leaving,
                    catalog::v1::ExchangeLimitsRequest& request, Told& told) {
  const Rule& rule = *bucket->rule;
  if (limiter_.shared() && rule.interval_ns > 0) TellRate(bucket, leaving, request, told);
  if (rule.quota > 0) TellQuota(bucket, leaving, request, told);
  if (limiter_.shared() && rule.concurrency > 0 && !leaving) TellSlots(bucket, request, told);
}

// Whether the next round has something to say of it, if only that nothing has happened.
bool Exchange::Lasting(const Bucket& bucket) const {
  const auto holds = [](const Lease& lease) {
    return lease.tokens > 0 || lease.charge > 0 || lease.in_flight > 0 || lease.known;
  };
  const Rule& rule = *bucket.rule;
  return (limiter_.shared() && rule.interval_ns > 0 && holds(bucket.rate)) ||
         (rule.quota > 0 && holds(bucket.quota)) ||
         (limiter_.shared() && rule.concurrency > 0 && (bucket.running > 0 || bucket.slots_known));
}

void Exchange::Apply(const catalog::v1::ExchangeLimitsRequest& request,
                     const catalog::v1::ExchangeLimitsResponse& response, const Told& told) {
  const int64_t now = limiter_.NowNs();
  for (size_t i = 0; i < told.rates.size(); ++i) {
    const auto& asked = request.rates(static_cast<int>(i));
    const auto& got = response.rates(static_cast<int>(i));
    Lease& lease = told.rates[i]->rate;
    Settle(lease, asked.charge(), asked.give_back(), got.granted(), got.left());
    lease.not_before_ns = got.granted() > 0 ? 0 : now + got.wait_ns();
  }
  for (size_t i = 0; i < told.quotas.size(); ++i) {
    const auto& asked = request.quotas(static_cast<int>(i));
    const auto& got = response.quotas(static_cast<int>(i));
    Bucket& bucket = *told.quotas[i];
    // What was granted for yesterday is no use today.
    if (bucket.day != asked.day()) continue;
    Settle(bucket.quota, asked.charge(), asked.give_back(), got.granted(), got.left());
  }
  for (size_t i = 0; i < told.slots.size(); ++i) {
    Bucket& bucket = *told.slots[i];
    bucket.slots = response.slots(static_cast<int>(i)).slots();
    bucket.slots_known = request.slots(static_cast<int>(i)).want() > 0;
  }
}

void Exchange::TakeBack(const catalog::v1::ExchangeLimitsRequest& request, const Told& told) {
  const auto back = [](Lease& lease, const auto& asked) {
    lease.in_flight -= asked.charge();
    lease.charge += asked.charge();
    lease.tokens += asked.give_back();
  };
  for (size_t i = 0; i < told.rates.size(); ++i) {
    back(told.rates[i]->rate, request.rates(static_cast<int>(i)));
  }
  for (size_t i = 0; i < told.quotas.size(); ++i) {
    const auto& asked = request.quotas(static_cast<int>(i));
    if (told.quotas[i]->day == asked.day()) back(told.quotas[i]->quota, asked);
  }
}

Awaitable<absl::Status> Exchange::Round() {
  if (catalog_ == nullptr) co_return absl::OkStatus();
  if (options_.gateways) limiter_.SetGateways(options_.gateways());
  std::vector<BucketPtr> buckets = limiter_.TakeActive();
  // What does not fit waits for the next round.
  while (buckets.size() > kEntriesMax) {
    limiter_.MarkActive(buckets.back());
    buckets.pop_back();
  }
  catalog::v1::ExchangeLimitsRequest request;
  request.set_gateway(options_.gateway);
  Told told;
  for (const BucketPtr& bucket : buckets) Tell(bucket, false, request, told);
  absl::Status status;
  if (!told.rates.empty() || !told.quotas.empty() || !told.slots.empty()) {
    const CallContext ctx = Context();
    catalog::v1::ExchangeLimitsRequest copy = request;
    auto exchanging = catalog_->ExchangeLimits(ctx, std::move(copy));
    const auto response = co_await CatchStatus(std::move(exchanging));
    status = response.status();
    const bool whole = response.ok() && response->rates_size() == request.rates_size() &&
                       response->quotas_size() == request.quotas_size() &&
                       response->slots_size() == request.slots_size();
    if (whole) {
      last_ok_ns_ = limiter_.NowNs();
      Apply(request, *response, told);
    } else {
      TakeBack(request, told);
      for (const BucketPtr& bucket : told.rates) Mint(limiter_, *bucket);
      if (status.ok()) status = absl::InternalError("the answer does not match the request");
    }
    limiter_.SetStale(!whole && limiter_.NowNs() - last_ok_ns_ > kStaleNs);
  }
  for (const BucketPtr& bucket : buckets) {
    if (Lasting(*bucket)) limiter_.MarkActive(bucket);
  }
  co_return status;
}

Awaitable<void> Exchange::Run() {
  auto swept = std::chrono::steady_clock::now();
  bool rested = true;
  for (;;) {
    const bool slept = co_await Sleep(failing_ ? kRetry : rested ? kFirst : kRound);
    if (!slept) co_return;
    if (std::chrono::steady_clock::now() - swept > kSweep) {
      limiter_.Sweep(kSweepKeys);
      swept = std::chrono::steady_clock::now();
    }
    auto round = Round();
    const absl::Status status = co_await std::move(round);
    if (status.ok() == failing_) {
      failing_ = !status.ok();
      Log(failing_ ? LogLevel::kWarning : LogLevel::kInfo,
          failing_ ? "limits.not_shared" : "limits.shared",
          {{"error", std::string(status.message())}});
    }
    rested = !limiter_.has_active();
    while (!limiter_.has_active()) {
      limiter_.Sweep(kSweepKeys);
      co_await active_.Wait();
      const auto state = co_await boost::asio::this_coro::cancellation_state;
      if (state.cancelled() != boost::asio::cancellation_type::none) co_return;
    }
  }
}

Awaitable<void> Exchange::Leave() {
  if (catalog_ == nullptr) co_return;
  catalog::v1::ExchangeLimitsRequest request;
  request.set_gateway(options_.gateway);
  request.set_leaving(true);
  Told told;
  for (const BucketPtr& bucket : limiter_.TakeActive()) {
    if (told.rates.size() + told.quotas.size() < kEntriesMax) Tell(bucket, true, request, told);
  }
  if (!limiter_.shared() && told.quotas.empty()) co_return;
  const CallContext ctx = Context().Capped(std::chrono::seconds(1));
  auto exchanging = catalog_->ExchangeLimits(ctx, std::move(request));
  const auto response = co_await CatchStatus(std::move(exchanging));
  if (!response.ok()) {
    Log(LogLevel::kWarning, "limits.not_returned",
        {{"error", std::string(response.status().message())}});
  }
}

int64_t Exchange::last_ms() const {
  return last_ok_ns_ < 0 ? -1 : (limiter_.NowNs() - last_ok_ns_) / 1'000'000;
}

}  // namespace metamcp::gateway::limits
