#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <string>

#include "common/async/call_context.h"
#include "common/async/sink.h"
#include "common/async/task_group.h"
#include "common/db/executor.h"
#include "services/workflow/engine/caller.h"
#include "services/workflow/store/sql_store.h"

namespace metamcp::workflow {

// The approval that a step of kind "consent" waits for.
std::string ApprovalOf(const StepRow& question);

// What an approval's state means for the step that waits for it, as a decision {action, by}:
// approve, deny, or again where it is gone and must be asked for anew. Empty: nothing yet.
std::string ConsentDecision(const ApprovalInfo& approval);

// Tells runs that wait for approvals of the policy what became of them: these are decided in the
// approval service, which knows nothing of runs. Several processes may do so; each answer is stored
// once. Single-threaded. Await Stop before destruction.
class Consents {
 public:
  // What it refers to must outlive it. `look_now`: runs are due.
  Consents(boost::asio::any_io_executor executor, db::DbExecutor& database, Caller& caller,
           std::function<void()> look_now);
  void Start();
  Awaitable<void> Stop();

  // A person's answer to the question at `answer.path` of a run of the caller's tenant: decides the
  // approval, then tells the run. Its decision is {action: approve or deny, …}. Errors: as
  // Caller::DecideApproval and SqlStore::Decide; NOT_FOUND where nothing waits there.
  Awaitable<absl::Status> Decide(const CallContext& ctx, std::string run_id, DecisionRow answer);

 private:
  Awaitable<void> Watch();
  // Looks at a page of those that wait; where the next page begins, empty at the end.
  Awaitable<std::string> LookAt(std::string after);

  db::DbExecutor& database_;
  Caller& caller_;
  const std::function<void()> look_now_;
  bool stopping_ = false;
  TaskGroup tasks_;
};

}  // namespace metamcp::workflow
