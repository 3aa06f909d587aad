#pragma once

#include <cstdint>
#include <functional>

#include "common/db/executor.h"
#include "metamcp/catalog/v1/quota_service.metamcp.h"

namespace metamcp::catalog {

// What gateways share of the limits (proto/metamcp/catalog/v1/quota_service.proto), straight from
// the database: replicas of the catalog need not know each other. Thread: the caller's executor.
class QuotaService final : public v1::QuotaService {
 public:
  // `database` must outlive this. `now_us`: microseconds since the epoch; NowMicros if empty.
  explicit QuotaService(db::DbExecutor& database, std::function<int64_t()> now_us = {});

  Awaitable<absl::StatusOr<v1::ExchangeLimitsResponse>> ExchangeLimits(
      const CallContext& ctx, v1::ExchangeLimitsRequest request) override;
  Awaitable<absl::StatusOr<v1::ListQuotasResponse>> ListQuotas(
      const CallContext& ctx, v1::ListQuotasRequest request) override;

 private:
  db::DbExecutor& database_;
  const std::function<int64_t()> now_us_;
  int64_t pruned_us_ = 0;
};

}  // namespace metamcp::catalog
