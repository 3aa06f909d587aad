// What operators change of runs that have begun, and how runs went.
#include <algorithm>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/workflow/store/rows.h"
#include "services/workflow/store/sql_store.h"

namespace metamcp::workflow {
namespace {

using db::Row;
using db::Rows;
using db::Transaction;

// Of these the durations are read.
constexpr int64_t kFigureRuns = 1'000;
constexpr int64_t kFigureSteps = 100'000;

absl::Status InState(const RunRow& run, std::string_view what) {
  return MakeError("RUN_STATE", "workflow", StrCat("the run is ", run.state, what));
}

absl::Status Unchanged(const RunRow& run, int64_t event_seq) {
  if (run.event_seq == event_seq) return absl::OkStatus();
  return InState(run, " and has just changed; look again");
}

absl::Status Supersede(Transaction& tx, const std::string& id, const std::vector<StepKey>& rows) {
  for (const StepKey& row : rows) {
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE workflow_steps SET state = 'superseded', unsettled = 0 WHERE run_id = "
                   ":id AND path = :path AND attempt = :attempt",
                   {{"id", id}, {"path", row.path}, {"attempt", row.attempt}})
            .status());
  }
  return absl::OkStatus();
}

// What failed is to run again, and the run is due.
absl::Status MakeDue(Transaction& tx, const std::string& id, int64_t now_us) {
  METAMCP_RETURN_IF_ERROR(
      // A time limit begins anew with the attempt.
      tx.Execute("DELETE FROM workflow_steps WHERE run_id = :id AND state = 'mark'", {{"id", id}})
          .status());
  METAMCP_RETURN_IF_ERROR(
      tx.Execute("UPDATE workflow_steps SET state = 'retried' WHERE run_id = :id AND state IN "
                 "('failed', 'cancelled')",
                 {{"id", id}})
          .status());
  METAMCP_RETURN_IF_ERROR(
      tx.Execute("UPDATE workflow_runs SET state = 'pending', error = '', output = '', ended_us = "
                 "0, control = 0, due_us = :now, began_us = :began, wake = wake + 1 WHERE id = :id",
                 {{"now", now_us}, {"began", now_us}, {"id", id}})
          .status());
  EventRow event;
  event.time_us = now_us;
  event.type = "run.state";
  event.data = R"({"state":"pending","why":"retry"})";
  return AddOutsideEvent(tx, id, std::move(event));
}

absl::Status AddTimes(Transaction& tx, const std::string& sql, const db::Params& params,
                      std::map<std::pair<std::string, std::string>, RunFigures::Step>* steps) {
  METAMCP_ASSIGN_OR_RETURN(const Rows rows, tx.Query(sql, params));
  for (const Row& row : rows) {
    METAMCP_ASSIGN_OR_RETURN(const std::string name, row.Get<std::string>("name"));
    METAMCP_ASSIGN_OR_RETURN(const std::string tool, row.Get<std::string>("tool"));
    METAMCP_ASSIGN_OR_RETURN(const std::string state, row.Get<std::string>("state"));
    METAMCP_ASSIGN_OR_RETURN(const int64_t took, row.Get<int64_t>("took"));
    RunFigures::Step& step = (*steps)[{name, tool}];
    step.name = name;
    step.tool = tool;
    if (state == "done" || state == "effect") {
      ++step.done;
      step.took_us.push_back(took);
    } else {
      ++step.failed;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SqlStore::Retry(const std::string& tenant, const std::string& id, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(LockRun(tx, id));
    METAMCP_ASSIGN_OR_RETURN(const RunRow run, OneRun(tx, tenant, id));
    if (run.state != run_state::kFailed && run.state != run_state::kCancelled) {
      return InState(run, "; only a failed or cancelled run can be retried");
    }
    if (run.phase != "forward") {
      return InState(run, " after a rollback began; start a new one");
    }
    return MakeDue(tx, id, now_us);
  });
}

absl::Status SqlStore::RetryFrom(const std::string& tenant, const std::string& id,
                                 const std::vector<StepKey>& again, int64_t event_seq,
                                 int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(LockRun(tx, id));
    METAMCP_ASSIGN_OR_RETURN(const RunRow run, OneRun(tx, tenant, id));
    if (!IsFinal(run.state)) return InState(run, "; only a run that has ended can be retried");
    if (run.phase != "forward") {
      return InState(run, " after a rollback began; start a new one");
    }
    METAMCP_RETURN_IF_ERROR(Unchanged(run, event_seq));
    METAMCP_RETURN_IF_ERROR(Supersede(tx, id, again));
    return MakeDue(tx, id, now_us);
  });
}

absl::Status SqlStore::EditRun(const std::string& tenant, const std::string& id, const Edit& edit,
                               int64_t event_seq, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(LockRun(tx, id));
    METAMCP_ASSIGN_OR_RETURN(const RunRow run, OneRun(tx, tenant, id));
    const bool rests = run.state == run_state::kPaused || run.state == run_state::kFailed ||
                       run.state == run_state::kCancelled;
    if (!rests || !run.owner.empty() || run.phase != "forward") {
      return InState(run, "; pause it first");
    }
    METAMCP_RETURN_IF_ERROR(Unchanged(run, event_seq));
    // Nobody may take it up while it changes.
    METAMCP_ASSIGN_OR_RETURN(
        const int64_t mine,
        tx.Execute("UPDATE workflow_runs SET version = :version WHERE id = :id AND owner = ''",
                   {{"version", edit.version.empty() ? run.version : edit.version}, {"id", id}}));
    if (mine == 0) return InState(run, " no more");
    METAMCP_RETURN_IF_ERROR(Supersede(tx, id, edit.again));
    if (edit.step) {
      METAMCP_ASSIGN_OR_RETURN(const std::string output, StoreValue(tx, id, edit.output));
      METAMCP_RETURN_IF_ERROR(
          tx.Execute("UPDATE workflow_steps SET state = 'effect', output = :output, unsettled = 0 "
                     "WHERE run_id = :id AND path = :path AND attempt = :attempt",
                     {{"output", output},
                      {"id", id},
                      {"path", edit.step->path},
                      {"attempt", edit.step->attempt}})
              .status());
    }
    EventRow event;
    event.time_us = now_us;
    event.type = "run.edited";
    event.data = edit.event;
    return AddOutsideEvent(tx, id, std::move(event));
  });
}

absl::Status SqlStore::EditArguments(const std::string& tenant, const std::string& id,
                                     const std::string& path, const std::string& decision,
                                     const std::string& by, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(LockRun(tx, id));
    METAMCP_ASSIGN_OR_RETURN(const RunRow run, OneRun(tx, tenant, id));
    if (run.state == run_state::kCompleted || run.phase != "forward") {
      return InState(run, "; nothing of it is to come");
    }
    METAMCP_ASSIGN_OR_RETURN(
        const Row row, tx.QueryOne("SELECT COALESCE(MAX(attempt), 0) AS n FROM workflow_decisions "
                                   "WHERE run_id = :id AND path = :path",
                                   {{"id", id}, {"path", path}}));
    METAMCP_ASSIGN_OR_RETURN(const int64_t edits, row.Get<int64_t>("n"));
    METAMCP_RETURN_IF_ERROR(
        tx.Upsert("workflow_decisions", {{"run_id", id}, {"path", path}, {"attempt", edits + 1}},
                  {{"decision", decision}, {"decided_us", now_us}, {"decided_by", by}}));
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE workflow_runs SET wake = wake + 1 WHERE id = :id", {{"id", id}})
            .status());
    EventRow event;
    event.time_us = now_us;
    event.type = "run.edited";
    event.path = path.substr(0, path.rfind('#'));
    event.data = decision;
    return AddOutsideEvent(tx, id, std::move(event));
  });
}

absl::StatusOr<RunFigures> SqlStore::Figures(const std::string& tenant,
                                             const std::string& name_space, const std::string& name,
                                             int64_t since_us) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<RunFigures> {
    const std::string of =
        "tenant = :tenant AND namespace = :namespace AND name = :name AND created_us >= :since AND "
        "mode = ''";
    db::Params params = {
        {"tenant", tenant}, {"namespace", name_space}, {"name", name}, {"since", since_us}};
    RunFigures out;
    METAMCP_ASSIGN_OR_RETURN(
        const Rows states, tx.Query(StrCat("SELECT state, COUNT(*) AS n FROM workflow_runs WHERE ",
                                           of, " GROUP BY state"),
                                    params));
    for (const Row& row : states) {
      METAMCP_ASSIGN_OR_RETURN(const std::string state, row.Get<std::string>("state"));
      METAMCP_ASSIGN_OR_RETURN(out.by_state[state], row.Get<int64_t>("n"));
    }
    params.emplace_back("limit", kFigureRuns);
    METAMCP_ASSIGN_OR_RETURN(
        const Rows times,
        tx.Query(StrCat("SELECT ended_us - created_us AS took FROM workflow_runs WHERE ", of,
                        " AND state = 'completed' ORDER BY created_us DESC LIMIT :limit"),
                 params));
    for (const Row& row : times) {
      METAMCP_ASSIGN_OR_RETURN(const int64_t took, row.Get<int64_t>("took"));
      out.completed_us.push_back(took);
    }
    std::sort(out.completed_us.begin(), out.completed_us.end());
    params.emplace_back("most", kFigureSteps);
    std::map<std::pair<std::string, std::string>, RunFigures::Step> steps;
    METAMCP_RETURN_IF_ERROR(AddTimes(
        tx,
        StrCat("SELECT name, tool, state, ended_us - started_us AS took FROM workflow_steps WHERE "
               "run_id IN (SELECT id FROM workflow_runs WHERE ",
               of,
               " ORDER BY created_us DESC LIMIT :limit) AND tool <> '' AND kind <> 'decision' AND "
               "state IN ('done', 'effect', 'failed', 'retried') LIMIT :most"),
        params, &steps));
    for (auto& [key, step] : steps) {
      std::sort(step.took_us.begin(), step.took_us.end());
      out.steps.push_back(std::move(step));
    }
    return out;
  });
}

}  // namespace metamcp::workflow
