// What the owners of runs write.
#include "services/workflow/store/sql_store.h"

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/workflow/store/rows.h"

namespace metamcp::workflow {
namespace {

using db::Params;
using db::Row;
using db::Rows;
using db::Transaction;

constexpr std::string_view kBusLock = "metamcp.workflow.bus";

absl::Status PutOnBus(Transaction& tx, const std::string& tenant,
                      const std::vector<std::string>& events, int64_t now_us) {
  METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(kBusLock));
  METAMCP_ASSIGN_OR_RETURN(
      const Row row, tx.QueryOne("SELECT COALESCE(MAX(seq), 0) AS seq FROM workflow_bus WHERE "
                                 "tenant = :tenant",
                                 {{"tenant", tenant}}));
  METAMCP_ASSIGN_OR_RETURN(int64_t seq, row.Get<int64_t>("seq"));
  for (const std::string& event : events) {
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("INSERT INTO workflow_bus (tenant, seq, time_us, event) VALUES (:tenant, :seq, "
                   ":time, :event)",
                   {{"tenant", tenant}, {"seq", ++seq}, {"time", now_us}, {"event", event}})
            .status());
  }
  return absl::OkStatus();
}

absl::Status PutStep(Transaction& tx, const std::string& run_id, const StepRow& step) {
  METAMCP_ASSIGN_OR_RETURN(const std::string output, StorePayload(tx, step.output));
  METAMCP_ASSIGN_OR_RETURN(const std::string context, StorePayload(tx, step.context));
  return tx.Upsert("workflow_steps",
                   {{"run_id", run_id}, {"path", step.path}, {"attempt", step.attempt}},
                   {{"ord", step.ord},
                    {"state", step.state},
                    {"kind", step.kind},
                    {"name", step.name},
                    {"tool", step.tool},
                    {"idempotency_key", step.key},
                    {"repeatable", step.repeatable},
                    {"compensable", step.compensable},
                    {"output", output},
                    {"context", context},
                    {"next", step.next},
                    {"error", step.error},
                    {"detail", step.detail},
                    {"due_us", step.due_us},
                    {"started_us", step.started_us},
                    {"ended_us", step.ended_us}});
}

// The row changes with the fence as its condition; nothing else is touched where that fails.
absl::StatusOr<bool> Fence(Transaction& tx, const RunCommit& commit, int64_t now_us) {
  std::string set = "event_seq = event_seq + :events";
  Params params = {{"events", static_cast<int64_t>(commit.events.size())},
                   {"id", commit.run_id},
                   {"owner", commit.owner},
                   {"epoch", commit.epoch}};
  const auto text = [&](std::string_view column, const std::optional<std::string>& value) {
    if (!value) return;
    set += StrCat(", ", column, " = :", column);
    params.emplace_back(column, *value);
  };
  text("state", commit.state);
  text("phase", commit.phase);
  for (const auto& [column, value] :
       {std::make_pair("output", &commit.output), std::make_pair("error", &commit.error)}) {
    if (!*value) continue;
    METAMCP_ASSIGN_OR_RETURN(const std::string stored, StorePayload(tx, **value));
    text(column, stored);
  }
  if (commit.release && commit.ended) {
    set += ", owner = '', lease_us = 0, due_us = NULL";  // whatever woke it: it is over
  } else if (commit.release) {
    set +=
        ", owner = '', lease_us = 0, due_us = CASE WHEN wake = :wake THEN CAST(:due AS BIGINT) "
        "ELSE "
        "CAST(:now AS BIGINT) END";
    params.emplace_back("due", db::Value(commit.due_us));
    params.emplace_back("wake", commit.seen_wake);
    params.emplace_back("now", now_us);
  }
  if (commit.ended) {
    set += ", ended_us = :ended, control = 0";
    params.emplace_back("ended", now_us);
  }
  METAMCP_ASSIGN_OR_RETURN(
      const int64_t changed,
      tx.Execute(StrCat("UPDATE workflow_runs SET ", set,
                        " WHERE id = :id AND owner = :owner AND epoch = :epoch"),
                 params));
  return changed == 1;
}

absl::Status ApplyOne(Transaction& tx, const RunCommit& commit, int64_t now_us) {
  METAMCP_ASSIGN_OR_RETURN(
      const Row row,
      tx.QueryOne("SELECT event_seq, tenant, parent_run FROM workflow_runs WHERE id = :id",
                  {{"id", commit.run_id}}));
  METAMCP_ASSIGN_OR_RETURN(const int64_t seq, row.Get<int64_t>("event_seq"));
  METAMCP_ASSIGN_OR_RETURN(const std::string tenant, row.Get<std::string>("tenant"));
  METAMCP_ASSIGN_OR_RETURN(const std::string parent, row.Get<std::string>("parent_run"));
  // `seq` is before Fence's update; events are numbered from there.
  for (const StepRow& step : commit.steps) {
    METAMCP_RETURN_IF_ERROR(PutStep(tx, commit.run_id, step));
  }
  if (commit.mark_started_as) {
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE workflow_steps SET state = :state, ended_us = :now WHERE run_id = :id "
                   "AND state IN ('started', 'waiting')",
                   {{"state", commit.started_as}, {"now", now_us}, {"id", commit.run_id}})
            .status());
  }
  int64_t next = seq - static_cast<int64_t>(commit.events.size());
  for (const EventRow& event : commit.events) {
    METAMCP_RETURN_IF_ERROR(AddEvent(tx, commit.run_id, ++next, event));
  }
  if (!commit.bus.empty()) METAMCP_RETURN_IF_ERROR(PutOnBus(tx, tenant, commit.bus, now_us));
  if (commit.ended && !parent.empty()) {
    // Whoever waits for this run looks again.
    return tx
        .Execute(
            "UPDATE workflow_runs SET due_us = :now, wake = wake + 1 WHERE id = :id AND ended_us = "
            "0",
            {{"now", now_us}, {"id", parent}})
        .status();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RunRow> SqlStore::CreateRun(const RunRow& run) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<RunRow> {
    METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(StrCat("metamcp.workflow.request.", run.request_key)));
    METAMCP_ASSIGN_OR_RETURN(
        const Rows known,
        tx.Query("SELECT * FROM workflow_runs WHERE tenant = :tenant AND request_key = :key",
                 {{"tenant", run.tenant}, {"key", run.request_key}}));
    if (!known.empty()) return ReadRun(tx, known[0]);
    METAMCP_ASSIGN_OR_RETURN(const std::string input, StorePayload(tx, run.input));
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
        "ended_us = 0 AND due_us IS NOT NULL AND due_us <= :now AND lease_us < :now AND owner <> "
        ":owner";
    spec.params = {{"now", now_us}, {"owner", owner}};
    spec.order_by = "due_us, id";
    spec.limit = limit;
    METAMCP_ASSIGN_OR_RETURN(const Rows rows, tx.Claim(spec));
    METAMCP_ASSIGN_OR_RETURN(std::vector<RunRow> out, ReadRuns(tx, rows));
    for (RunRow& run : out) {
      run.owner = owner;
      ++run.epoch;
      METAMCP_RETURN_IF_ERROR(
          tx.Execute(
                "UPDATE workflow_runs SET owner = :owner, epoch = :epoch, lease_us = :lease "
                "WHERE id = :id",
                {{"owner", owner}, {"epoch", run.epoch}, {"lease", lease_until_us}, {"id", run.id}})
              .status());
    }
    return out;
  });
}

absl::StatusOr<std::vector<SqlStore::Owned>> SqlStore::Renew(const std::string& owner,
                                                             int64_t lease_until_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<std::vector<Owned>> {
    METAMCP_RETURN_IF_ERROR(
        tx.Execute(
              "UPDATE workflow_runs SET lease_us = :lease WHERE owner = :owner AND owner <> ''",
              {{"lease", lease_until_us}, {"owner", owner}})
            .status());
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

absl::Status SqlStore::ReleaseAll(const std::string& owner, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    return tx
        .Execute(
            "UPDATE workflow_runs SET owner = '', lease_us = 0, due_us = :now WHERE owner = "
            ":owner",
            {{"now", now_us}, {"owner", owner}})
        .status();
  });
}

absl::Status SqlStore::FreeLeftBehind(const std::string& owner) {
  if (database_.backend() != db::Backend::kSqlite) return absl::OkStatus();
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    return tx
        .Execute(
            "UPDATE workflow_runs SET owner = '', lease_us = 0 WHERE owner <> '' AND owner <> "
            ":owner",
            {{"owner", owner}})
        .status();
  });
}

absl::StatusOr<std::vector<absl::Status>> SqlStore::Apply(const std::vector<RunCommit>& commits) {
  const db::TransactOptions options;
  return database_.Transact(
      options, [&](Transaction& tx) -> absl::StatusOr<std::vector<absl::Status>> {
        const int64_t now_us = NowMicros();
        std::vector<absl::Status> out;
        for (const RunCommit& commit : commits) {
          METAMCP_ASSIGN_OR_RETURN(const bool mine, Fence(tx, commit, now_us));
          if (mine) {
            METAMCP_RETURN_IF_ERROR(ApplyOne(tx, commit, now_us));
            out.push_back(absl::OkStatus());
          } else {
            out.push_back(MakeError("RUN_FENCED", "workflow", "another process works on this run"));
          }
        }
        return out;
      });
}

}  // namespace metamcp::workflow
