#include "services/catalog/db_persistence.h"

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "services/catalog/sql_store.h"

namespace metamcp::catalog {
namespace {

// Of the store's own work: callers' deadlines do not cut a write that has begun.
CallContext StoreContext() {
  CallContext context;
  context.deadline = CallContext::Clock::now() + std::chrono::seconds(30);
  return context;
}

}  // namespace

Awaitable<absl::StatusOr<StoredCatalog>> DbPersistence::Load() {
  const CallContext context = StoreContext();
  std::function<absl::StatusOr<StoredCatalog>(db::Database&)> op =
      [tenant = tenant_](db::Database& database) { return SqlStore(database).Load(tenant); };
  co_return co_await executor_.Run<StoredCatalog>(context, std::move(op));
}

Awaitable<absl::StatusOr<int64_t>> DbPersistence::Head() {
  const CallContext context = StoreContext();
  std::function<absl::StatusOr<int64_t>(db::Database&)> op =
      [tenant = tenant_](db::Database& database) { return SqlStore(database).Head(tenant); };
  co_return co_await executor_.Run<int64_t>(context, std::move(op));
}

Awaitable<absl::StatusOr<int64_t>> DbPersistence::Apply(ChangeSet changes) {
  const CallContext context = StoreContext();
  auto owned = std::make_shared<const ChangeSet>(std::move(changes));
  std::function<absl::StatusOr<int64_t>(db::Database&)> op = [tenant = tenant_,
                                                              owned](db::Database& database) {
    return SqlStore(database).Apply(tenant, *owned);
  };
  co_return co_await executor_.Run<int64_t>(context, std::move(op));
}

}  // namespace metamcp::catalog
