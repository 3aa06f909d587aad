#include "common/db/migrations.h"

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::db {
namespace {

std::string_view TextFor(const Migration& step, Backend backend) {
  return backend == Backend::kSqlite ? step.sqlite_sql : step.postgres_sql;
}

absl::Status Refuse(std::string_view component, std::string_view message) {
  return absl::FailedPreconditionError(
      Av(StrCat("the database schema of \"", component, "\" ", message)));
}

absl::Status CheckList(std::string_view component, std::span<const Migration> steps) {
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].needs < 0 || steps[i].needs > steps[i].number) {
      return absl::InvalidArgumentError(Av(
          StrCat("step ", steps[i].number, " of \"", component, "\" needs a step after itself")));
    }
    if (steps[i].number != static_cast<int>(i) + 1) {
      return absl::InvalidArgumentError(
          Av(StrCat("the migrations of \"", component, "\" are not numbered 1, 2, 3, ...")));
    }
  }
  return absl::OkStatus();
}

// The lock is one for all components, because all of them may have to make the table.
absl::Status Prepare(Transaction& tx) {
  if (tx.backend() == Backend::kPostgres) {
    // A step, and the wait for another starter's step, may take longer than a statement should.
    METAMCP_RETURN_IF_ERROR(tx.Script("SET LOCAL statement_timeout = 0"));
  }
  METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock("schema_migrations"));
  return tx.Script(
      "CREATE TABLE IF NOT EXISTS schema_migrations ("
      " component TEXT NOT NULL, number BIGINT NOT NULL, name TEXT NOT NULL,"
      " checksum TEXT NOT NULL, applied_us BIGINT NOT NULL, PRIMARY KEY (component, number));"
      "CREATE TABLE IF NOT EXISTS schema_needs ("
      " component TEXT NOT NULL, number BIGINT NOT NULL, needs BIGINT NOT NULL,"
      " PRIMARY KEY (component, number))");
}

// The last step that a program must know for all that the database has.
absl::StatusOr<int64_t> NeededStep(Transaction& tx, std::string_view component) {
  METAMCP_ASSIGN_OR_RETURN(
      const Rows rows,
      tx.Query("SELECT COALESCE(n.needs, m.number) AS needs FROM schema_migrations m"
               " LEFT JOIN schema_needs n ON n.component = m.component AND n.number = m.number"
               " WHERE m.component = :component ORDER BY 1 DESC",
               {{"component", component}}));
  if (rows.empty()) return 0;
  return rows[0].Get<int64_t>("needs");
}

// Returns how many steps the database has, after comparing them with ours.
absl::StatusOr<size_t> CheckApplied(Transaction& tx, std::string_view component,
                                    std::span<const Migration> steps) {
  METAMCP_ASSIGN_OR_RETURN(const Rows rows,
                           tx.Query("SELECT number, checksum FROM schema_migrations"
                                    " WHERE component = :component ORDER BY number",
                                    {{"component", component}}));
  for (size_t i = 0; i < rows.size(); ++i) {
    METAMCP_ASSIGN_OR_RETURN(const auto number, rows[i].Get<int64_t>("number"));
    METAMCP_ASSIGN_OR_RETURN(const auto checksum, rows[i].Get<std::string>("checksum"));
    if (i >= steps.size()) {
      METAMCP_ASSIGN_OR_RETURN(const int64_t needed, NeededStep(tx, component));
      if (needed <= static_cast<int64_t>(steps.size())) return steps.size();
      return Refuse(component, StrCat("is at step ", rows.size(), " and needs step ", needed,
                                      ", which this program does not know; "
                                      "use the newer program or restore a backup"));
    }
    if (number != static_cast<int64_t>(i) + 1) {
      return Refuse(component, StrCat("lacks step ", i + 1, " but has step ", number));
    }
    if (checksum != Sha256Hex(TextFor(steps[i], tx.backend()))) {
      return Refuse(component, StrCat("was made by another text of step ", number,
                                      "; applied steps must not be edited"));
    }
  }
  return rows.size();
}

absl::Status Apply(Transaction& tx, std::string_view component, const Migration& step) {
  const std::string_view text = TextFor(step, tx.backend());
  if (absl::Status status = tx.Script(text); !status.ok()) {
    return Annotate(status, StrCat("while applying step ", step.number, " (", step.name, ") of \"",
                                   component, "\": "));
  }
  METAMCP_RETURN_IF_ERROR(tx.Execute("INSERT INTO schema_needs (component, number, needs)"
                                     " VALUES (:component, :number, :needs)",
                                     {{"component", component},
                                      {"number", step.number},
                                      {"needs", step.needs == 0 ? step.number : step.needs}})
                              .status());
  return tx
      .Execute(
          "INSERT INTO schema_migrations (component, number, name, checksum, applied_us)"
          " VALUES (:component, :number, :name, :checksum, :applied_us)",
          {{"component", component},
           {"number", step.number},
           {"name", step.name},
           {"checksum", Sha256Hex(text)},
           {"applied_us", NowMicros()}})
      .status();
}

}  // namespace

absl::StatusOr<int> MigrateBlocking(Database& database, std::string_view component,
                                    std::span<const Migration> migrations) {
  METAMCP_RETURN_IF_ERROR(CheckList(component, migrations));
  const auto applied = database.Transact({}, [&](Transaction& tx) -> absl::StatusOr<int> {
    METAMCP_RETURN_IF_ERROR(Prepare(tx));
    METAMCP_ASSIGN_OR_RETURN(const size_t done, CheckApplied(tx, component, migrations));
    for (const Migration& step : migrations.subspan(done)) {
      METAMCP_RETURN_IF_ERROR(Apply(tx, component, step));
    }
    return static_cast<int>(migrations.size() - done);
  });
  if (applied.ok() && *applied > 0) {
    Log(LogLevel::kInfo, "database.migrated",
        {{"component", component}, {"steps", *applied}, {"now_at", migrations.size()}});
  }
  return applied;
}

}  // namespace metamcp::db
