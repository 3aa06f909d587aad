#pragma once

#include <string>

#include "common/db/executor.h"
#include "services/catalog/persistence.h"

namespace metamcp::catalog {

// The SQL store on database threads. `executor` must outlive this.
class DbPersistence final : public Persistence {
 public:
  DbPersistence(db::DbExecutor& executor, std::string tenant)
      : executor_(executor), tenant_(std::move(tenant)) {}

  Awaitable<absl::StatusOr<StoredCatalog>> Load() override;
  Awaitable<absl::StatusOr<int64_t>> Head() override;
  Awaitable<absl::StatusOr<int64_t>> Apply(ChangeSet changes) override;

 private:
  db::DbExecutor& executor_;
  const std::string tenant_;
};

}  // namespace metamcp::catalog
