#include "services/catalog/limits/quota_store.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "common/base/status_macros.h"
#include "common/db/migrations.h"
#include "migrations/limits.h"

namespace metamcp::catalog {
namespace {

using db::Row;
using db::Rows;
using db::Transaction;

// One writer at a time, so that nothing is granted twice.
constexpr std::string_view kLock = "metamcp.limits";
constexpr int64_t kDayUs = 86'400'000'000;

// Ascending by key: what another program without the lock does cannot end in a deadlock either.
template <typename Entries>
std::vector<int> ByKey(const Entries& entries) {
  std::vector<int> order(static_cast<size_t>(entries.size()));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&entries](int a, int b) { return entries[a].key() < entries[b].key(); });
  return order;
}

absl::StatusOr<int64_t> ReadOr(Transaction& tx, std::string_view sql, const db::Params& params,
                               std::string_view column, int64_t otherwise) {
  METAMCP_ASSIGN_OR_RETURN(const Rows rows, tx.Query(sql, params));
  if (rows.empty()) return otherwise;
  return rows[0].Get<int64_t>(column);
}

// Generic cell rate: the bucket is full at full_ns, and each token puts that off by an interval.
absl::Status TradeRate(Transaction& tx, const v1::RateLease& lease, int64_t now_ns,
                       v1::RateGrant* grant) {
  METAMCP_ASSIGN_OR_RETURN(int64_t full,
                           ReadOr(tx, "SELECT full_ns FROM limit_buckets WHERE key = :key",
                                  {{"key", lease.key()}}, "full_ns", 0));
  const int64_t interval = lease.interval_ns();
  full = std::max(full - lease.give_back() * interval, now_ns) + lease.charge() * interval;
  const auto left = [&] { return (now_ns + lease.burst() * interval - full) / interval; };
  const int64_t granted = std::clamp<int64_t>(left(), 0, lease.want());
  full += granted * interval;
  grant->set_granted(granted);
  grant->set_left(left());
  grant->set_wait_ns(std::max<int64_t>(0, full - now_ns - (lease.burst() - 1) * interval));
  return tx.Upsert("limit_buckets", {{"key", lease.key()}}, {{"full_ns", full}});
}

absl::Status TradeQuota(Transaction& tx, const v1::QuotaLease& lease, v1::QuotaGrant* grant) {
  METAMCP_ASSIGN_OR_RETURN(
      int64_t used, ReadOr(tx, "SELECT used FROM limit_quotas WHERE day = :day AND key = :key",
                           {{"day", lease.day()}, {"key", lease.key()}}, "used", 0));
  used = std::max<int64_t>(0, used - lease.give_back()) + lease.charge();
  const int64_t granted = std::clamp<int64_t>(lease.quota() - used, 0, lease.want());
  used += granted;
  grant->set_granted(granted);
  grant->set_left(std::max<int64_t>(0, lease.quota() - used));
  return tx.Upsert("limit_quotas", {{"day", lease.day()}, {"key", lease.key()}}, {{"used", used}});
}

absl::Status TradeSlots(Transaction& tx, const v1::SlotLease& lease, const std::string& gateway,
                        int64_t now_us, v1::SlotGrant* grant) {
  METAMCP_ASSIGN_OR_RETURN(
      const int64_t others,
      ReadOr(tx,
             "SELECT CAST(COALESCE(SUM(slots), 0) AS BIGINT) AS others FROM limit_slots "
             "WHERE key = :key AND gateway <> :gateway AND expires_us > :now",
             {{"key", lease.key()}, {"gateway", gateway}, {"now", now_us}}, "others", 0));
  // What runs, runs; beyond that nothing that others have.
  const int64_t slots = std::max(lease.running(), std::min(lease.want(), lease.limit() - others));
  grant->set_slots(slots);
  grant->set_others(others);
  const db::Params key = {{"key", lease.key()}, {"gateway", gateway}};
  if (slots <= 0) {
    return tx.Execute("DELETE FROM limit_slots WHERE key = :key AND gateway = :gateway", key)
        .status();
  }
  return tx.Upsert("limit_slots", key,
                   {{"slots", slots}, {"expires_us", now_us + QuotaStore::kSlotsUs}});
}

absl::StatusOr<v1::ExchangeLimitsResponse> Trade(Transaction& tx,
                                                 const v1::ExchangeLimitsRequest& request,
                                                 int64_t now_us) {
  v1::ExchangeLimitsResponse response;
  for (int i = 0; i < request.rates_size(); ++i) response.add_rates();
  for (int i = 0; i < request.quotas_size(); ++i) response.add_quotas();
  for (int i = 0; i < request.slots_size(); ++i) response.add_slots();
  METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(kLock));
  for (const int i : ByKey(request.rates())) {
    METAMCP_RETURN_IF_ERROR(
        TradeRate(tx, request.rates(i), now_us * 1000, response.mutable_rates(i)));
  }
  for (const int i : ByKey(request.quotas())) {
    METAMCP_RETURN_IF_ERROR(TradeQuota(tx, request.quotas(i), response.mutable_quotas(i)));
  }
  for (const int i : ByKey(request.slots())) {
    METAMCP_RETURN_IF_ERROR(
        TradeSlots(tx, request.slots(i), request.gateway(), now_us, response.mutable_slots(i)));
  }
  if (!request.leaving()) return response;
  METAMCP_RETURN_IF_ERROR(tx.Execute("DELETE FROM limit_slots WHERE gateway = :gateway",
                                     {{"gateway", request.gateway()}})
                              .status());
  return response;
}

}  // namespace

absl::Status QuotaStore::MigrateBlocking(db::Database& database) {
  return db::MigrateBlocking(database, "limits", limits::Migrations()).status();
}

absl::StatusOr<v1::ExchangeLimitsResponse> QuotaStore::Exchange(
    const v1::ExchangeLimitsRequest& request, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) { return Trade(tx, request, now_us); });
}

absl::StatusOr<v1::ListQuotasResponse> QuotaStore::List(int64_t day, const std::string& after,
                                                        int64_t limit) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<v1::ListQuotasResponse> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT key, used FROM limit_quotas WHERE day = :day AND key > :after "
                 "ORDER BY key LIMIT :limit",
                 {{"day", day}, {"after", after}, {"limit", limit}}));
    v1::ListQuotasResponse response;
    for (const Row& row : rows) {
      v1::QuotaUse& out = *response.add_quotas();
      METAMCP_ASSIGN_OR_RETURN(*out.mutable_key(), row.Get<std::string>("key"));
      METAMCP_ASSIGN_OR_RETURN(const int64_t used, row.Get<int64_t>("used"));
      out.set_used(used);
    }
    if (static_cast<int64_t>(rows.size()) == limit && !rows.empty()) {
      response.set_next_page_token(response.quotas(response.quotas_size() - 1).key());
    }
    return response;
  });
}

absl::Status QuotaStore::Prune(int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(kLock));
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("DELETE FROM limit_buckets WHERE full_ns <= :now", {{"now", now_us * 1000}})
            .status());
    // A clock that is behind by some hours still finds its day.
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("DELETE FROM limit_quotas WHERE day < :day", {{"day", now_us / kDayUs - 1}})
            .status());
    return tx.Execute("DELETE FROM limit_slots WHERE expires_us <= :now", {{"now", now_us}})
        .status();
  });
}

}  // namespace metamcp::catalog
