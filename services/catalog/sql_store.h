#pragma once

#include <string_view>

#include "common/db/database.h"
#include "services/catalog/store.h"

namespace metamcp::catalog {

// All SQL of the catalog, portable over the drivers of common/db. Short-lived: made for one
// operation on a database thread.
class SqlStore final : public CatalogStore {
 public:
  explicit SqlStore(db::Database& database) : database_(database) {}

  // Brings the schema up to date. Blocks. Errors: those of db::MigrateBlocking.
  static absl::Status MigrateBlocking(db::Database& database);

  absl::StatusOr<StoredCatalog> Load(std::string_view tenant) override;
  absl::StatusOr<int64_t> Head(std::string_view tenant) override;
  absl::StatusOr<int64_t> Apply(std::string_view tenant, const ChangeSet& changes) override;

 private:
  db::Database& database_;
};

}  // namespace metamcp::catalog
