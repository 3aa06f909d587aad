// Runs and who works on them.
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/workflow/store/rows.h"
#include "services/workflow/store/sql_store.h"

namespace metamcp::workflow {
namespace {

using db::Params;
using db::Row;
using db::Rows;
using db::Transaction;

// Runs of one principal that have not ended, counted up to the cap.
absl::Status CheckActive(Transaction& tx, const RunRow& run, int64_t active_max) {
  if (active_max <= 0) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(
      const Row row,
      tx.QueryOne("SELECT COUNT(*) AS n FROM (SELECT id FROM workflow_runs WHERE tenant = :tenant "
                  "AND subject = :subject AND ended_us = 0 LIMIT :most) AS active",
                  {{"tenant", run.tenant}, {"subject", run.subject}, {"most", active_max}}));
  METAMCP_ASSIGN_OR_RETURN(const int64_t active, row.Get<int64_t>("n"));
  if (active < active_max) return absl::OkStatus();
  return MakeError("RUN_LIMIT", "workflow",
                   StrCat(run.subject, " has ", active,
                          " runs that have not ended (workflow.runsPerPrincipalMax)"));
}

}  // namespace

absl::StatusOr<RunRow> SqlStore::CreateRun(const RunRow& run, int64_t active_max) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<RunRow> {
    METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(StrCat("metamcp.workflow.request.", run.request_key)));
    METAMCP_ASSIGN_OR_RETURN(
        const Rows known,
        tx.Query("SELECT * FROM workflow_runs WHERE tenant = :tenant AND request_key = :key",
                 {{"tenant", run.tenant}, {"key", run.request_key}}));
    if (!known.empty()) return ReadRun(tx, known[0]);
    METAMCP_RETURN_IF_ERROR(CheckActive(tx, run, active_max));
    METAMCP_ASSIGN_OR_RETURN(const std::string input, StoreValue(tx, run.id, run.input));
    METAMCP_RETURN_IF_ERROR(tx.Upsert("workflow_runs", {{"id", run.id}},
                                      {{"tenant", run.tenant},
                                       {"namespace", run.name_space},
                                       {"name", run.name},
                                       {"version", run.version},
                                       {"state", run.state},
                                       {"phase", run.phase},
                                       {"input", input},
                                       {"output", ""},
                                       {"error", ""},
                                       {"principal", run.principal},
                                       {"subject", run.subject},
                                       {"mode", run.mode},
                                       {"origin", run.origin},
                                       {"detached", run.detached},
                                       {"began_us", run.created_us},
                                       {"request_key", run.request_key},
                                       {"parent_run", run.parent_run},
                                       {"parent_path", run.parent_path},
                                       {"control", 0},
                                       {"owner", ""},
                                       {"epoch", 0},
                                       {"lease_us", 0},
                                       {"due_us", run.created_us},
                                       {"event_seq", 1},
                                       {"wake", 0},
                                       {"created_us", run.created_us},
                                       {"ended_us", 0}}));
    EventRow event;
    event.time_us = run.created_us;
    event.type = "run.created";
    event.data = StrCat("{\"state\":\"", run.state, "\"}");
    METAMCP_RETURN_IF_ERROR(AddEvent(tx, run.id, 1, event));
    return run;
  });
}

absl::StatusOr<std::vector<RunRow>> SqlStore::Claim(const std::string& owner, int64_t now_us,
                                                    int64_t lease_until_us, int64_t limit) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<std::vector<RunRow>> {
    db::ClaimSpec spec;
    spec.table = "workflow_runs";
    spec.where =
        "ended_us = 0 AND due_us IS NOT NULL AND due_us <= :now AND owner <> :owner AND (owner = "
        "'' "
        "OR owner NOT IN (SELECT o.owner FROM workflow_owners o WHERE o.lease_us >= :now))";
    spec.params = {{"now", now_us}, {"owner", owner}};
    spec.order_by = "due_us, id";
    spec.limit = limit;
    METAMCP_ASSIGN_OR_RETURN(const Rows rows, tx.Claim(spec));
    std::vector<RunRow> out;
    if (rows.empty()) return out;
    METAMCP_RETURN_IF_ERROR(
        tx.Upsert("workflow_owners", {{"owner", owner}}, {{"lease_us", lease_until_us}}));
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(RunRow run, ReadRun(tx, row));
      run.owner = owner;
      ++run.epoch;
      METAMCP_RETURN_IF_ERROR(
          tx.Execute("UPDATE workflow_runs SET owner = :owner, epoch = :epoch WHERE id = :id",
                     {{"owner", owner}, {"epoch", run.epoch}, {"id", run.id}})
              .status());
      out.push_back(std::move(run));
    }
    return out;
  });
}

absl::StatusOr<std::vector<SqlStore::Owned>> SqlStore::Renew(const std::string& owner,
                                                             int64_t lease_until_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<std::vector<Owned>> {
    METAMCP_RETURN_IF_ERROR(
        tx.Upsert("workflow_owners", {{"owner", owner}}, {{"lease_us", lease_until_us}}));
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT id, epoch, control, wake FROM workflow_runs WHERE owner = "
                 ":owner AND owner <> ''",
                 {{"owner", owner}}));
    std::vector<Owned> out;
    for (const Row& row : rows) {
      Owned one;
      METAMCP_ASSIGN_OR_RETURN(one.id, row.Get<std::string>("id"));
      METAMCP_ASSIGN_OR_RETURN(one.epoch, row.Get<int64_t>("epoch"));
      METAMCP_ASSIGN_OR_RETURN(one.control, row.Get<int64_t>("control"));
      METAMCP_ASSIGN_OR_RETURN(one.wake, row.Get<int64_t>("wake"));
      out.push_back(std::move(one));
    }
    return out;
  });
}

absl::Status SqlStore::GiveBack(const std::string& owner, const std::vector<Owned>& runs,
                                int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    for (const Owned& run : runs) {
      METAMCP_RETURN_IF_ERROR(
          tx.Execute("UPDATE workflow_runs SET owner = '', due_us = :now WHERE id = "
                     ":id AND owner = :owner AND epoch = :epoch",
                     {{"now", now_us}, {"id", run.id}, {"owner", owner}, {"epoch", run.epoch}})
              .status());
    }
    return absl::OkStatus();
  });
}

absl::Status SqlStore::ReleaseAll(const std::string& owner, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE workflow_runs SET owner = '', due_us = :now WHERE owner = :owner",
                   {{"now", now_us}, {"owner", owner}})
            .status());
    return tx.Execute("DELETE FROM workflow_owners WHERE owner = :owner", {{"owner", owner}})
        .status();
  });
}

absl::Status SqlStore::FreeLeftBehind(const std::string& owner) {
  if (database_.backend() != db::Backend::kSqlite) return absl::OkStatus();
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    return tx
        .Execute(
            "UPDATE workflow_runs SET owner = '' WHERE owner <> '' AND owner <> "
            ":owner",
            {{"owner", owner}})
        .status();
  });
}

absl::StatusOr<int64_t> SqlStore::Prune(int64_t ended_before_us, int64_t limit) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<int64_t> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT id FROM workflow_runs WHERE ended_us > 0 AND ended_us < :before ORDER BY "
                 "ended_us LIMIT :limit",
                 {{"before", ended_before_us}, {"limit", limit}}));
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(const std::string id, row.Get<std::string>("id"));
      METAMCP_ASSIGN_OR_RETURN(
          const int64_t gone,
          tx.Execute("DELETE FROM workflow_runs WHERE id = :id AND ended_us > 0", {{"id", id}}));
      if (gone == 0) continue;  // it was retried meanwhile
      for (const char* table : {"workflow_steps", "workflow_events", "workflow_decisions",
                                "workflow_values", "workflow_listeners"}) {
        METAMCP_RETURN_IF_ERROR(
            tx.Execute(StrCat("DELETE FROM ", table, " WHERE run_id = :id"), {{"id", id}})
                .status());
      }
    }
    METAMCP_RETURN_IF_ERROR(tx.Execute("DELETE FROM workflow_owners WHERE lease_us < :before",
                                       {{"before", ended_before_us}})
                                .status());
    // The newest event of a tenant stays: its number is where the next one goes on from.
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("DELETE FROM workflow_bus WHERE time_us < :before AND seq < (SELECT MAX(b.seq) "
                   "FROM workflow_bus b WHERE b.tenant = workflow_bus.tenant)",
                   {{"before", ended_before_us}})
            .status());
    return static_cast<int64_t>(rows.size());
  });
}

}  // namespace metamcp::workflow
