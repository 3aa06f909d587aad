#include "services/workflow/store/sql_store.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/db/migrations.h"
#include "migrations/workflow.h"
#include "services/workflow/store/rows.h"

namespace metamcp::workflow {
namespace {

using db::Params;
using db::Row;
using db::Rows;
using db::Transaction;

constexpr std::string_view kDefinitionsLock = "metamcp.workflow.definitions";

}  // namespace

absl::Status SqlStore::MigrateBlocking(db::Database& database) {
  return db::MigrateBlocking(database, "workflow", workflow::Migrations()).status();
}

absl::StatusOr<bool> SqlStore::PutDefinition(const DefinitionRow& row) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<bool> {
    METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(kDefinitionsLock));
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT digest FROM workflow_definitions WHERE tenant = :tenant AND namespace = "
                 ":namespace AND name = :name AND version = :version",
                 {{"tenant", row.tenant},
                  {"namespace", row.name_space},
                  {"name", row.name},
                  {"version", row.version}}));
    if (!rows.empty()) {
      METAMCP_ASSIGN_OR_RETURN(const std::string digest, rows[0].Get<std::string>("digest"));
      if (digest != row.digest) {
        return MakeError("ALREADY_EXISTS", "workflow",
                         StrCat(row.name, " ", row.version,
                                " exists with another content; give it a new version"));
      }
      METAMCP_RETURN_IF_ERROR(
          tx.Execute("UPDATE workflow_definitions SET deleted = 0 WHERE tenant = :tenant AND "
                     "namespace = :namespace AND name = :name AND version = :version",
                     {{"tenant", row.tenant},
                      {"namespace", row.name_space},
                      {"name", row.name},
                      {"version", row.version}})
              .status());
      return false;
    }
    METAMCP_ASSIGN_OR_RETURN(
        const Row head,
        tx.QueryOne("SELECT COALESCE(MAX(seq), 0) AS seq FROM workflow_definitions"));
    METAMCP_ASSIGN_OR_RETURN(const int64_t seq, head.Get<int64_t>("seq"));
    METAMCP_RETURN_IF_ERROR(tx.Upsert("workflow_definitions",
                                      {{"tenant", row.tenant},
                                       {"namespace", row.name_space},
                                       {"name", row.name},
                                       {"version", row.version}},
                                      {{"seq", seq + 1},
                                       {"title", row.title},
                                       {"summary", row.summary},
                                       {"source", row.source},
                                       {"document", row.document},
                                       {"digest", row.digest},
                                       {"created_us", row.created_us},
                                       {"created_by", row.created_by},
                                       {"deleted", 0}}));
    return true;
  });
}

absl::StatusOr<DefinitionRow> SqlStore::GetDefinition(const std::string& tenant,
                                                      const std::string& name_space,
                                                      const std::string& name,
                                                      const std::string& version) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<DefinitionRow> {
    Params params = {{"tenant", tenant}, {"namespace", name_space}, {"name", name}};
    std::string which = "deleted = 0";
    if (!version.empty()) {
      which = "version = :version";
      params.emplace_back("version", version);
    }
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query(StrCat("SELECT * FROM workflow_definitions WHERE tenant = :tenant AND namespace = "
                        ":namespace AND name = :name AND ",
                        which, " ORDER BY seq DESC LIMIT 1"),
                 params));
    if (rows.empty()) {
      return MakeError("NOT_FOUND", "workflow",
                       StrCat("no workflow \"", name, "\"",
                              version.empty() ? "" : StrCat(" of version ", version)));
    }
    return ReadDefinitionRow(rows[0]);
  });
}

absl::StatusOr<std::vector<std::string>> SqlStore::Versions(const std::string& tenant,
                                                            const std::string& name_space,
                                                            const std::string& name) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<std::string>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT version FROM workflow_definitions WHERE tenant = :tenant AND namespace = "
                 ":namespace AND name = :name AND deleted = 0 ORDER BY seq DESC",
                 {{"tenant", tenant}, {"namespace", name_space}, {"name", name}}));
    std::vector<std::string> out;
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(std::string version, row.Get<std::string>("version"));
      out.push_back(std::move(version));
    }
    return out;
  });
}

absl::StatusOr<std::vector<DefinitionRow>> SqlStore::ListDefinitions(const std::string& tenant) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<DefinitionRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query("SELECT * FROM workflow_definitions WHERE tenant = :tenant AND "
                                  "deleted = 0 ORDER BY namespace, name, seq DESC",
                                  {{"tenant", tenant}}));
    std::vector<DefinitionRow> out;
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(DefinitionRow one, ReadDefinitionRow(row));
      const bool older =
          !out.empty() && out.back().name == one.name && out.back().name_space == one.name_space;
      if (!older) out.push_back(std::move(one));
    }
    return out;
  });
}

absl::Status SqlStore::DeleteDefinition(const std::string& tenant, const std::string& name_space,
                                        const std::string& name) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    return tx
        .Execute(
            "UPDATE workflow_definitions SET deleted = 1 WHERE tenant = :tenant AND namespace "
            "= :namespace AND name = :name",
            {{"tenant", tenant}, {"namespace", name_space}, {"name", name}})
        .status();
  });
}

absl::StatusOr<RunRow> SqlStore::GetRun(const std::string& tenant, const std::string& id) {
  return database_.Read([&](Transaction& tx) { return OneRun(tx, tenant, id); });
}

absl::StatusOr<RunRow> SqlStore::RunHead(const std::string& tenant, const std::string& id) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<RunRow> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query("SELECT * FROM workflow_runs WHERE id = :id AND tenant = :tenant",
                                  {{"id", id}, {"tenant", tenant}}));
    if (rows.empty()) return MakeError("NOT_FOUND", "workflow", StrCat("no run \"", id, "\""));
    return ReadRunHead(rows[0]);
  });
}

absl::StatusOr<std::string> SqlStore::GetValue(const std::string& run_id,
                                               const std::string& value) {
  return database_.Read(
      [&](Transaction& tx) -> absl::StatusOr<std::string> { return LoadValue(tx, run_id, value); });
}

absl::StatusOr<std::vector<RunRow>> SqlStore::ListRuns(const std::string& tenant,
                                                       const std::string& name,
                                                       const std::string& state,
                                                       const std::string& before_id,
                                                       int64_t limit) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<RunRow>> {
    std::string where = "tenant = :tenant";
    Params params = {{"tenant", tenant}, {"limit", limit}};
    const auto add = [&](const char* column, const char* sign, const std::string& value) {
      if (value.empty()) return;
      where += StrCat(" AND ", column, " ", sign, " :", column);
      params.emplace_back(column, value);
    };
    add("name", "=", name);
    add("state", "=", state);
    add("id", "<", before_id);
    METAMCP_ASSIGN_OR_RETURN(const Rows rows,
                             tx.Query(StrCat("SELECT * FROM workflow_runs WHERE ", where,
                                             " ORDER BY id DESC LIMIT :limit"),
                                      params));
    std::vector<RunRow> out;
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(RunRow run, ReadRunHead(row));
      out.push_back(std::move(run));
    }
    return out;
  });
}

absl::StatusOr<std::vector<StepRow>> SqlStore::StepsPage(const std::string& run_id,
                                                         int64_t after_ord, int64_t limit) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<StepRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT * FROM workflow_steps WHERE run_id = :id AND ord > :after ORDER BY ord, "
                 "attempt LIMIT :limit",
                 {{"id", run_id}, {"after", after_ord}, {"limit", limit}}));
    return ReadSteps(rows);
  });
}

absl::StatusOr<std::vector<StepRow>> SqlStore::Pending(const std::string& run_id) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<StepRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT * FROM workflow_steps WHERE run_id = :id AND state = 'waiting' AND kind "
                 "IN ('approval', 'consent', 'decision') ORDER BY ord LIMIT 1000",
                 {{"id", run_id}}));
    return ReadSteps(rows);
  });
}

absl::StatusOr<std::vector<StepRow>> SqlStore::Steps(const std::string& run_id) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<StepRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT * FROM workflow_steps WHERE run_id = :id ORDER BY ord, attempt",
                 {{"id", run_id}}));
    return ReadSteps(rows);
  });
}

absl::StatusOr<std::vector<EventRow>> SqlStore::Events(const std::string& run_id, int64_t after,
                                                       int64_t limit) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<EventRow>> {
    METAMCP_ASSIGN_OR_RETURN(const Rows rows,
                             tx.Query("SELECT * FROM workflow_events WHERE run_id = :id AND seq > "
                                      ":after ORDER BY seq LIMIT :limit",
                                      {{"id", run_id}, {"after", after}, {"limit", limit}}));
    std::vector<EventRow> out;
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(EventRow event, ReadEvent(row));
      out.push_back(std::move(event));
    }
    return out;
  });
}

absl::StatusOr<std::vector<DecisionRow>> SqlStore::Decisions(const std::string& run_id) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<DecisionRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query("SELECT path, attempt, decision FROM workflow_decisions WHERE "
                                  "run_id = :id ORDER BY decided_us, path, attempt",
                                  {{"id", run_id}}));
    std::vector<DecisionRow> out;
    for (const Row& row : rows) {
      DecisionRow one;
      METAMCP_ASSIGN_OR_RETURN(one.path, row.Get<std::string>("path"));
      METAMCP_ASSIGN_OR_RETURN(one.attempt, row.Get<int64_t>("attempt"));
      METAMCP_ASSIGN_OR_RETURN(one.decision, row.Get<std::string>("decision"));
      out.push_back(std::move(one));
    }
    return out;
  });
}

absl::StatusOr<std::vector<BusEvent>> SqlStore::ReadBus(const std::string& tenant, int64_t after,
                                                        int64_t limit) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<BusEvent>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query("SELECT seq, event FROM workflow_bus WHERE tenant = :tenant AND "
                                  "seq > :after ORDER BY seq LIMIT :limit",
                                  {{"tenant", tenant}, {"after", after}, {"limit", limit}}));
    std::vector<BusEvent> out;
    for (const Row& row : rows) {
      BusEvent one;
      METAMCP_ASSIGN_OR_RETURN(one.seq, row.Get<int64_t>("seq"));
      METAMCP_ASSIGN_OR_RETURN(one.event, row.Get<std::string>("event"));
      out.push_back(std::move(one));
    }
    return out;
  });
}

absl::StatusOr<int64_t> SqlStore::BusHead(const std::string& tenant) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<int64_t> {
    METAMCP_ASSIGN_OR_RETURN(
        const Row row, tx.QueryOne("SELECT COALESCE(MAX(seq), 0) AS seq FROM workflow_bus WHERE "
                                   "tenant = :tenant",
                                   {{"tenant", tenant}}));
    return row.Get<int64_t>("seq");
  });
}

}  // namespace metamcp::workflow
