#pragma once

#include "common/db/executor.h"
#include "services/connector/login/secret_store.h"

namespace metamcp::connector {

// Keeps them in the database's tables connector_secrets and connector_claims, which all connectors
// of a cluster share. `executor` must outlive this.
class SqlSecretStore final : public SecretStore {
 public:
  explicit SqlSecretStore(db::DbExecutor& executor) : executor_(executor) {}
  // Brings the schema up to date. Blocks.
  static absl::Status MigrateBlocking(db::Database& database);

  Awaitable<absl::StatusOr<std::vector<StoredSecret>>> Load(SecretKey key) override;
  Awaitable<absl::Status> Put(SecretKey key, std::string sealed) override;
  Awaitable<absl::Status> Remove(SecretKey key) override;
  Awaitable<absl::StatusOr<bool>> Claim(SecretKey key, std::string claimant,
                                        std::chrono::microseconds time) override;
  Awaitable<absl::Status> Release(SecretKey key, std::string claimant) override;

 private:
  db::DbExecutor& executor_;
};

}  // namespace metamcp::connector
