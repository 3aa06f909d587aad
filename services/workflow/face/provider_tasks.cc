// Runs as tasks: the extension io.modelcontextprotocol/tasks over what the database says of a run.
#include <chrono>
#include <map>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "services/workflow/engine/run_principal.h"
#include "services/workflow/face/provider.h"

namespace metamcp::workflow {
namespace {

namespace pb = metamcp::provider::v1;

constexpr std::chrono::milliseconds kLook(200);

}  // namespace

Awaitable<absl::StatusOr<std::string>> WorkflowProvider::TaskOf(const CallContext& ctx,
                                                                const Following& following) {
  auto reading = Read(ctx, following.run_id, 0, true);
  const auto now = co_await std::move(reading);
  if (!now.ok()) co_return now.status();
  std::vector<OpenApproval> mine;
  const std::string starter = PrincipalOf(now->run)->subject;
  for (OpenApproval& approval : OpenApprovals(now->steps, now->decisions)) {
    const bool may =
        ctx.principal != nullptr && !HasApproved(approval, ctx.principal->subject) &&
        MayApprove(*ctx.principal, starter, following.sharing, ReadApprovers(approval.detail));
    if (may) mine.push_back(std::move(approval));
  }
  int64_t updated = now->run.created_us;
  for (const EventRow& event : now->events) updated = std::max(updated, event.time_us);
  const std::string requests = mine.empty() ? std::string() : ApprovalRequests(now->run, mine);
  co_return TaskResult(now->run, following.output_schema, requests, updated);
}

Awaitable<absl::Status> WorkflowProvider::TaskCall(const CallContext& ctx,
                                                   const CallRequest& request, CallSink& sink) {
  auto finding = Find(ctx, request.target());
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  std::string result = R"({"resultType":"complete"})";
  if (request.method() == "tasks/get") {
    auto describing = TaskOf(ctx, *found);
    auto task = co_await std::move(describing);
    if (!task.ok()) co_return task.status();
    result = *std::move(task);
  } else if (request.method() == "tasks/update") {
    // A question that is put off stays open, and is asked again.
    auto taking = TakeAnswers(ctx, *found, request.input_responses());
    const auto taken = co_await std::move(taking);
    if (!taken.ok()) co_return taken.status();
  } else {
    auto cancelling = CancelRun(ctx.tenant(), found->run_id);
    const absl::Status cancelled = co_await std::move(cancelling);
    if (!cancelled.ok()) co_return cancelled;
  }
  auto sending = SendResult(sink, pb::RESULT_KIND_COMPLETE, std::move(result));
  co_return co_await std::move(sending);
}

Awaitable<absl::Status> WorkflowProvider::Listen(const CallContext& ctx, pb::ListenRequest request,
                                                 Sink<pb::ListenResponse>& sink) {
  std::vector<Following> watched;
  pb::ListenResponse ack;
  ack.mutable_ack();
  for (const pb::TaskRef& ref : request.tasks()) {
    auto finding = Find(ctx, ref.task_id());
    auto found = co_await std::move(finding);
    if (!found.ok()) continue;
    watched.push_back(*std::move(found));
    ack.mutable_ack()->add_task_ids(ref.task_id());
  }
  auto acknowledging = sink.Write(std::move(ack));
  const absl::Status acknowledged = co_await std::move(acknowledging);
  if (!acknowledged.ok()) co_return acknowledged;
  std::map<std::string, std::string> told;
  while (!stopping_) {
    for (const Following& one : watched) {
      auto describing = TaskOf(ctx, one);
      auto task = co_await std::move(describing);
      if (!task.ok()) continue;
      std::string& last = told[one.run_id];
      if (last == *task) continue;
      last = *task;
      pb::ListenResponse event;
      event.set_task(*std::move(task));
      auto writing = sink.Write(std::move(event));
      const absl::Status written = co_await std::move(writing);
      if (!written.ok()) co_return written;
    }
    auto waiting = engine_.Changed();
    co_await std::move(waiting);
    const bool slept = co_await Sleep(kLook);
    if (!slept) co_return absl::CancelledError("cancelled");
  }
  co_return MakeError("SHUTTING_DOWN", "workflow", "the service is stopping");
}

}  // namespace metamcp::workflow
