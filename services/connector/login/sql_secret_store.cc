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

Awaitable<absl::StatusOr<bool>> SqlSecretStore::Claim(SecretKey key, std::string claimant,
                                                      std::chrono::microseconds time) {
  key.issuer.clear();
  const CallContext context = StoreContext();
  std::function<absl::StatusOr<bool>(db::Database&)> op = [key, claimant,
                                                           time](db::Database& database) {
    const int64_t now = NowMicros();
    bool taken = false;
    const db::TransactOptions options;
    const absl::Status done = database.Transact(options, [&](db::Transaction& tx) -> absl::Status {
      METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock("connector_claims"));
      METAMCP_ASSIGN_OR_RETURN(
          const db::Rows rows,
          tx.Query(StrCat("SELECT claimant, until_us FROM connector_claims", kWhere), Place(key)));
      taken = rows.empty();
      for (const db::Row& row : rows) {
        METAMCP_ASSIGN_OR_RETURN(const std::string who, row.Get<std::string>("claimant"));
        METAMCP_ASSIGN_OR_RETURN(const int64_t until, row.Get<int64_t>("until_us"));
        taken = who == claimant || until <= now;
      }
      if (!taken) return absl::OkStatus();
      return tx.Upsert("connector_claims",
                       {{"tenant_id", key.tenant},
                        {"kind", key.kind},
                        {"owner", key.owner},
                        {"resource", key.resource}},
                       {{"claimant", claimant}, {"until_us", now + time.count()}});
    });
    return done.ok() ? absl::StatusOr<bool>(taken) : absl::StatusOr<bool>(done);
  };
  co_return co_await executor_.Run<bool>(context, std::move(op));
}

Awaitable<absl::Status> SqlSecretStore::Release(SecretKey key, std::string claimant) {
  key.issuer.clear();
  const CallContext context = StoreContext();
  std::function<absl::Status(db::Database&)> op = [key, claimant](db::Database& database) {
    const db::TransactOptions options;
    return database.Transact(options, [&](db::Transaction& tx) {
      db::Params params = Place(key);
      params.push_back({"claimant", claimant});
      const std::string sql =
          StrCat("DELETE FROM connector_claims", kWhere, " AND claimant = :claimant");
      return tx.Execute(sql, params).status();
    });
  };
  co_return co_await executor_.RunStatus(context, std::move(op));
}

}  // namespace metamcp::connector
