#pragma once

#include "common/db/executor.h"
#include "services/ai/model/pool.h"
#include "services/ai/store/sql_store.h"

namespace metamcp::ai {

// Days since the epoch, UTC.
int64_t DayOf(int64_t us);

// The ledger of the database. `database` must outlive it.
class DbLedger final : public UsageLedger {
 public:
  explicit DbLedger(db::DbExecutor& database) : database_(database) {}
  Awaitable<absl::StatusOr<UsageSum>> Today(const CallContext& ctx, UsageKey key) override;
  Awaitable<absl::Status> Add(const CallContext& ctx, UsageKey key, UsageSum used) override;

 private:
  db::DbExecutor& database_;
};

}  // namespace metamcp::ai
