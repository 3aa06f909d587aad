#include "services/connector/login/sql_secret_store.h"

#include <chrono>
#include <functional>

#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "migrations/connector.h"

namespace metamcp::connector {
namespace {

constexpr std::string_view kWhere =
    " WHERE tenant_id = :tenant AND kind = :kind AND owner = :owner AND resource = :resource";

// What is stored must be stored even when the call that caused it is gone.
CallContext StoreContext() {
  CallContext context;
  context.deadline = CallContext::Clock::now() + std::chrono::seconds(20);
  return context;
}

db::Params Place(const SecretKey& key) {
  db::Params params = {
      {"tenant", key.tenant}, {"kind", key.kind}, {"owner", key.owner}, {"resource", key.resource}};
  if (!key.issuer.empty()) params.push_back({"issuer", key.issuer});
  return params;
}

std::string Where(const SecretKey& key) {
  return StrCat(kWhere, key.issuer.empty() ? "" : " AND issuer = :issuer");
}

}  // namespace

absl::Status SqlSecretStore::MigrateBlocking(db::Database& database) {
  return db::MigrateBlocking(database, "connector", Migrations()).status();
}

Awaitable<absl::StatusOr<std::vector<StoredSecret>>> SqlSecretStore::Load(SecretKey key) {
  using Found = std::vector<StoredSecret>;
  const CallContext context = StoreContext();
  std::function<absl::StatusOr<Found>(db::Database&)> op = [key](db::Database& database) {
    return database.Read([&key](db::Transaction& tx) -> absl::StatusOr<Found> {
      METAMCP_ASSIGN_OR_RETURN(const db::Rows rows,
                               tx.Query(StrCat("SELECT issuer, sealed FROM connector_secrets",
                                               Where(key), " ORDER BY updated_us DESC, issuer"),
                                        Place(key)));
      Found out;
      for (const db::Row& row : rows) {
        StoredSecret secret;
        METAMCP_ASSIGN_OR_RETURN(secret.issuer, row.Get<std::string>("issuer"));
        METAMCP_ASSIGN_OR_RETURN(secret.sealed, row.Get<std::string>("sealed"));
        out.push_back(std::move(secret));
      }
      return out;
    });
  };
  co_return co_await executor_.Run<Found>(context, std::move(op));
}

Awaitable<absl::Status> SqlSecretStore::Put(SecretKey key, std::string sealed) {
  const CallContext context = StoreContext();
  std::function<absl::Status(db::Database&)> op = [key, sealed](db::Database& database) {
    const db::TransactOptions options;
    return database.Transact(options, [&](db::Transaction& tx) {
      return tx.Upsert("connector_secrets",
                       {{"tenant_id", key.tenant},
                        {"kind", key.kind},
                        {"owner", key.owner},
                        {"resource", key.resource},
                        {"issuer", key.issuer}},
                       {{"sealed", sealed}, {"updated_us", NowMicros()}});
    });
  };
  co_return co_await executor_.RunStatus(context, std::move(op));
}

Awaitable<absl::Status> SqlSecretStore::Remove(SecretKey key) {
  const CallContext context = StoreContext();
  std::function<absl::Status(db::Database&)> op = [key](db::Database& database) {
    const db::TransactOptions options;
    return database.Transact(options, [&key](db::Transaction& tx) {
      return tx.Execute(StrCat("DELETE FROM connector_secrets", Where(key)), Place(key)).status();
    });
  };
  co_return co_await executor_.RunStatus(context, std::move(op));
}

}  // namespace metamcp::connector
