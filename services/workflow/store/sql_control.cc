// What operators write.
#include "services/workflow/store/sql_store.h"

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "services/workflow/store/rows.h"

namespace metamcp::workflow {
namespace {

using db::Params;
using db::Rows;
using db::Transaction;

absl::Status InState(const RunRow& run, std::string_view what) {
  return MakeError("RUN_STATE", "workflow", StrCat("the run is ", run.state, what));
}

// How many different persons must approve what waits there.
absl::StatusOr<int64_t> QuorumOf(Transaction& tx, const std::string& run_id,
                                 const DecisionRow& decision) {
  METAMCP_ASSIGN_OR_RETURN(
      const Rows rows,
      tx.Query("SELECT detail FROM workflow_steps WHERE run_id = :run_id AND path = :path AND "
               "attempt = :attempt",
               {{"run_id", run_id}, {"path", decision.path}, {"attempt", decision.attempt}}));
  if (rows.empty()) return 1;
  METAMCP_ASSIGN_OR_RETURN(const std::string stored, rows[0].Get<std::string>("detail"));
  METAMCP_ASSIGN_OR_RETURN(const std::string detail, LoadValue(tx, run_id, stored));
  const auto object = json::ScanObject(detail);
  if (!object.ok() || !object->Has("quorum")) return 1;
  return json::RawInt64(object->Raw("quorum")).value_or(1);
}

// Notes an approval of one where several must approve. Whether it decides: the last of them does,
// and any denial.
absl::StatusOr<bool> Vote(Transaction& tx, const RunRow& run, const DecisionRow& decision,
                          const std::string& by, int64_t now_us) {
  const auto object = json::ScanObject(decision.decision);
  if (!object.ok() || object->String("action") != "approve") return true;
  METAMCP_ASSIGN_OR_RETURN(const int64_t quorum, QuorumOf(tx, run.id, decision));
  if (quorum <= 1) return true;
  const std::string votes = decision.path + kVoteMark;
  const Params mine = {{"run_id", run.id}, {"path", votes + by}, {"attempt", decision.attempt}};
  METAMCP_ASSIGN_OR_RETURN(const Rows known,
                           tx.Query("SELECT path FROM workflow_decisions WHERE run_id = :run_id "
                                    "AND path = :path AND attempt = :attempt",
                                    mine));
  if (!known.empty()) return InState(run, "; you have approved this, and others must, too");
  METAMCP_RETURN_IF_ERROR(
      tx.Upsert("workflow_decisions", mine,
                {{"decision", decision.decision}, {"decided_us", now_us}, {"decided_by", by}}));
  // From the mark to what sorts behind all names.
  std::string behind = votes;
  ++behind.back();
  METAMCP_ASSIGN_OR_RETURN(
      const db::Row row,
      tx.QueryOne("SELECT COUNT(*) AS n FROM workflow_decisions WHERE run_id = :run_id AND path > "
                  ":votes AND path < :behind AND attempt = :attempt",
                  {{"run_id", run.id},
                   {"votes", votes},
                   {"behind", behind},
                   {"attempt", decision.attempt}}));
  METAMCP_ASSIGN_OR_RETURN(const int64_t given, row.Get<int64_t>("n"));
  return given >= quorum;
}

}  // namespace

absl::StatusOr<RunRow> SqlStore::SetControl(const std::string& tenant, const std::string& id,
                                            int64_t set, int64_t clear, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<RunRow> {
    METAMCP_RETURN_IF_ERROR(LockRun(tx, id));
    METAMCP_ASSIGN_OR_RETURN(RunRow run, OneRun(tx, tenant, id));
    if (IsFinal(run.state)) return InState(run, " already");
    run.control = (run.control | set) & ~clear;
    // Its owner may have ended it since it was read.
    METAMCP_ASSIGN_OR_RETURN(
        const int64_t changed,
        tx.Execute("UPDATE workflow_runs SET control = :control, due_us = :now, wake = wake + 1 "
                   "WHERE id = :id AND ended_us = 0",
                   {{"control", run.control}, {"now", now_us}, {"id", id}}));
    if (changed == 0) return InState(run, " no more");
    return run;
  });
}

absl::Status SqlStore::Decide(const std::string& tenant, const std::string& run_id,
                              const DecisionRow& decision, const std::string& by, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(LockRun(tx, run_id));
    METAMCP_ASSIGN_OR_RETURN(const RunRow run, OneRun(tx, tenant, run_id));
    if (IsFinal(run.state)) return InState(run, " already");
    const Params key = {{"run_id", run_id}, {"path", decision.path}, {"attempt", decision.attempt}};
    METAMCP_ASSIGN_OR_RETURN(
        const Rows known, tx.Query("SELECT path FROM workflow_decisions WHERE run_id = :run_id AND "
                                   "path = :path AND attempt = :attempt",
                                   key));
    if (!known.empty()) return InState(run, "; this has been answered");
    METAMCP_ASSIGN_OR_RETURN(const bool enough, Vote(tx, run, decision, by, now_us));
    if (!enough) {
      EventRow event;
      event.time_us = now_us;
      event.type = "step.voted";
      event.path = decision.path;
      event.data = decision.decision;
      return AddOutsideEvent(tx, run_id, std::move(event));
    }
    METAMCP_RETURN_IF_ERROR(
        tx.Upsert("workflow_decisions", key,
                  {{"decision", decision.decision}, {"decided_us", now_us}, {"decided_by", by}}));
    METAMCP_ASSIGN_OR_RETURN(
        const int64_t changed,
        tx.Execute("UPDATE workflow_runs SET due_us = :now, wake = wake + 1 WHERE id = :id AND "
                   "ended_us = 0",
                   {{"now", now_us}, {"id", run_id}}));
    if (changed == 0) return InState(run, " no more");
    EventRow event;
    event.time_us = now_us;
    event.type = "step.decided";
    event.path = decision.path;
    event.data = decision.decision;
    return AddOutsideEvent(tx, run_id, std::move(event));
  });
}

}  // namespace metamcp::workflow
