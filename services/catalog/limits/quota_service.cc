#include "services/catalog/limits/quota_service.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "services/catalog/limits/quota_store.h"

namespace metamcp::catalog {
namespace {

constexpr int kEntriesMax = 2000;
constexpr size_t kTextMax = 256;
constexpr int kPageMax = 10'000;
constexpr int64_t kPruneUs = 60'000'000;
// What is computed of these fits 64 bits: a bucket of a day's tokens, and a debt as long.
constexpr int64_t kIntervalMaxNs = 3'600'000'000'000;
constexpr int64_t kSpanMaxNs = 1'000'000'000'000'000'000;
constexpr int64_t kCountMax = 1'000'000'000'000;

bool IsText(const std::string& text) { return !text.empty() && text.size() <= kTextMax; }
bool IsCount(int64_t value) { return value >= 0 && value <= kCountMax; }

bool IsGood(const v1::RateLease& lease) {
  const int64_t interval = lease.interval_ns();
  if (interval < 1 || interval > kIntervalMaxNs || lease.burst() < 1) return false;
  const int64_t most = kSpanMaxNs / interval;
  for (const int64_t count : {lease.burst(), lease.charge(), lease.give_back(), lease.want()}) {
    if (count < 0 || count > most) return false;
  }
  return IsText(lease.key());
}

bool IsGood(const v1::QuotaLease& lease) {
  return IsText(lease.key()) && lease.day() >= 0 && IsCount(lease.quota()) &&
         IsCount(lease.charge()) && IsCount(lease.give_back()) && IsCount(lease.want());
}

bool IsGood(const v1::SlotLease& lease) {
  return IsText(lease.key()) && IsCount(lease.limit()) && IsCount(lease.running()) &&
         IsCount(lease.want());
}

template <typename Entries>
bool AreGood(const Entries& entries) {
  return std::all_of(entries.begin(), entries.end(), [](const auto& e) { return IsGood(e); });
}

absl::Status Invalid(std::string_view why) { return MakeError("ARGUMENT_INVALID", "catalog", why); }

}  // namespace

QuotaService::QuotaService(db::DbExecutor& database, std::function<int64_t()> now_us)
    : database_(database), now_us_(now_us ? std::move(now_us) : NowMicros) {}

Awaitable<absl::StatusOr<v1::ExchangeLimitsResponse>> QuotaService::ExchangeLimits(
    const CallContext& ctx, v1::ExchangeLimitsRequest request) {
  if (request.rates_size() > kEntriesMax || request.quotas_size() > kEntriesMax ||
      request.slots_size() > kEntriesMax) {
    co_return Invalid("at most 2000 entries");
  }
  if (!IsText(request.gateway()) || !AreGood(request.rates()) || !AreGood(request.quotas()) ||
      !AreGood(request.slots())) {
    co_return Invalid("gateway and keys must be set, and numbers in their ranges");
  }
  const int64_t now = now_us_();
  const bool prune = now - pruned_us_ > kPruneUs;
  if (prune) pruned_us_ = now;
  std::function<absl::StatusOr<v1::ExchangeLimitsResponse>(db::Database&)> op =
      [request = std::move(request), now,
       prune](db::Database& database) -> absl::StatusOr<v1::ExchangeLimitsResponse> {
    QuotaStore store(database);
    if (prune) {
      if (const absl::Status pruned = store.Prune(now); !pruned.ok()) return pruned;
    }
    return store.Exchange(request, now);
  };
  co_return co_await database_.Run<v1::ExchangeLimitsResponse>(ctx, std::move(op));
}

Awaitable<absl::StatusOr<v1::ListQuotasResponse>> QuotaService::ListQuotas(
    const CallContext& ctx, v1::ListQuotasRequest request) {
  if (request.page_size() < 0 || request.page_size() > kPageMax ||
      request.page_token().size() > kTextMax) {
    co_return Invalid("page_size must be at most 10000");
  }
  const int64_t limit = request.page_size() == 0 ? kPageMax : request.page_size();
  std::function<absl::StatusOr<v1::ListQuotasResponse>(db::Database&)> op =
      [day = request.day(), after = request.page_token(), limit](db::Database& database) {
        return QuotaStore(database).List(day, after, limit);
      };
  co_return co_await database_.Run<v1::ListQuotasResponse>(ctx, std::move(op));
}

}  // namespace metamcp::catalog
