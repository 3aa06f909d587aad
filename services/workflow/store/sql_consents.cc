// Steps that wait for what the policy wants a person to allow.
#include "common/base/status_macros.h"
#include "services/workflow/store/rows.h"
#include "services/workflow/store/sql_store.h"

namespace metamcp::workflow {
namespace {

using db::Row;
using db::Rows;
using db::Transaction;

absl::Status AddConsents(Transaction& tx, const std::string& run_id,
                         std::vector<SqlStore::Consent>* out) {
  METAMCP_ASSIGN_OR_RETURN(
      const Rows heads,
      tx.Query("SELECT * FROM workflow_runs WHERE id = :id AND ended_us = 0", {{"id", run_id}}));
  if (heads.empty()) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(const RunRow run, ReadRunHead(heads[0]));
  METAMCP_ASSIGN_OR_RETURN(
      const Rows rows,
      tx.Query("SELECT * FROM workflow_steps WHERE run_id = :id AND kind = 'consent' AND state = "
               "'waiting' AND NOT EXISTS (SELECT 1 FROM workflow_decisions d WHERE d.run_id = "
               "workflow_steps.run_id AND d.path = workflow_steps.path AND d.attempt = "
               "workflow_steps.attempt)",
               {{"id", run_id}}));
  METAMCP_ASSIGN_OR_RETURN(const std::vector<StepRow> questions, ReadSteps(rows));
  for (const StepRow& question : questions) out->push_back({run, question});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SqlStore::Consents> SqlStore::WaitingConsents(const std::string& after,
                                                             int64_t runs_max) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<Consents> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows runs,
        tx.Query("SELECT DISTINCT run_id FROM workflow_steps WHERE kind = 'consent' AND state = "
                 "'waiting' AND run_id > :after ORDER BY run_id LIMIT :limit",
                 {{"after", after}, {"limit", runs_max}}));
    Consents out;
    for (const Row& row : runs) {
      METAMCP_ASSIGN_OR_RETURN(const std::string id, row.Get<std::string>("run_id"));
      METAMCP_RETURN_IF_ERROR(AddConsents(tx, id, &out.waiting));
      out.next = id;
    }
    if (static_cast<int64_t>(runs.size()) < runs_max) out.next.clear();
    return out;
  });
}

}  // namespace metamcp::workflow
