#include "services/workflow/face/provider.h"

#include <chrono>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "services/workflow/engine/run_principal.h"
#include "services/workflow/face/tool_definition.h"
#include "services/workflow/store/sql_store.h"

namespace metamcp::workflow {
namespace {

namespace pb = metamcp::provider::v1;
using Clock = CallContext::Clock;

// A run that is longer becomes a task for a client that knows tasks.
constexpr std::chrono::milliseconds kTaskAfter(1000);
// What is left of a call's time when its caller is told that the run goes on.
constexpr std::chrono::milliseconds kReserve(1500);
// Between two looks at a run; commits of other runs wake up all who wait.
constexpr std::chrono::milliseconds kPace(20);
constexpr int64_t kEventsPage = 500;
// Results over 1 MiB travel in chunks.
constexpr size_t kWholeMax = 1u << 20;
constexpr size_t kChunk = 256u << 10;
constexpr size_t kAskedMax = 8;

std::string State(const std::string& run_id, int64_t after, int64_t progress) {
  json::ObjectWriter out;
  out.AddString("r", run_id);
  out.AddInt("a", after);
  out.AddInt("p", progress);
  return std::move(out).Build();
}

}  // namespace

Awaitable<void> WorkflowProvider::Stop() {
  stopping_ = true;
  co_await tasks_.Join(std::chrono::seconds(2));
  tasks_.CancelAll();
  co_await tasks_.Join(std::chrono::seconds(5));
}

Awaitable<absl::Status> WorkflowProvider::SendResult(CallSink& sink, pb::ResultKind kind,
                                                     std::string json) {
  const size_t step = json.size() > kWholeMax ? kChunk : json.size();
  size_t at = 0;
  do {
    pb::CallResponse event;
    event.mutable_result()->set_kind(kind);
    event.mutable_result()->set_data(json.substr(at, step));
    at += step;
    event.mutable_result()->set_last(at >= json.size());
    auto writing = sink.Write(std::move(event));
    const absl::Status written = co_await std::move(writing);
    if (!written.ok()) co_return written;
  } while (at < json.size());
  co_return absl::OkStatus();
}

Awaitable<absl::Status> WorkflowProvider::Call(const CallContext& ctx, pb::CallRequest request,
                                               CallSink& sink) {
  if (stopping_) co_return MakeError("SHUTTING_DOWN", "workflow", "the service is stopping");
  const std::string& method = request.method();
  if (method.rfind("tasks/", 0) == 0) {
    auto doing = TaskCall(ctx, request, sink);
    co_return co_await std::move(doing);
  }
  if (method != "tools/call") {
    co_return MakeError("METHOD_NOT_FOUND", "workflow", StrCat("workflows have no ", method));
  }
  auto doing =
      request.has_request_state() ? ResumeCall(ctx, request, sink) : StartCall(ctx, request, sink);
  co_return co_await std::move(doing);
}

Awaitable<absl::StatusOr<WorkflowProvider::Snapshot>> WorkflowProvider::Read(const CallContext& ctx,
                                                                             std::string run_id,
                                                                             int64_t after,
                                                                             bool steps) {
  std::function<absl::StatusOr<Snapshot>(db::Database&)> op =
      [tenant = ctx.tenant(), run_id, after,
       steps](db::Database& database) -> absl::StatusOr<Snapshot> {
    SqlStore store(database);
    Snapshot out;
    METAMCP_ASSIGN_OR_RETURN(out.run, store.RunHead(tenant, run_id));
    if (IsFinal(out.run.state)) {
      METAMCP_ASSIGN_OR_RETURN(out.run, store.GetRun(tenant, run_id));
    }
    METAMCP_ASSIGN_OR_RETURN(out.events, store.Events(run_id, after, kEventsPage));
    if (!steps) return out;
    METAMCP_ASSIGN_OR_RETURN(out.steps, store.Pending(run_id));
    METAMCP_ASSIGN_OR_RETURN(out.decisions, store.Decisions(run_id));
    return out;
  };
  auto reading = database_.Run<Snapshot>(ctx, std::move(op));
  co_return co_await std::move(reading);
}

// True where the call has its result.
Awaitable<absl::StatusOr<bool>> WorkflowProvider::LookOnce(const CallContext& ctx,
                                                           Following& following, CallSink& sink) {
  auto reading = Read(ctx, following.run_id, following.after, following.look && following.asks);
  const auto now = co_await std::move(reading);
  if (!now.ok()) co_return now.status();
  for (const EventRow& event : now->events) {
    following.after = event.seq;
    following.look = following.look || event.type.rfind("step.", 0) == 0;
    const std::string text = following.tells ? ProgressText(event) : std::string();
    if (text.empty()) continue;
    json::ObjectWriter progress;
    progress.AddInt("progress", ++following.progress);
    progress.AddString("message", text);
    pb::CallResponse message;
    message.set_progress(std::move(progress).Build());
    auto writing = sink.Write(std::move(message));
    const absl::Status written = co_await std::move(writing);
    if (!written.ok()) co_return absl::CancelledError("the caller has left");
  }
  if (IsFinal(now->run.state)) {
    auto sending =
        SendResult(sink, pb::RESULT_KIND_COMPLETE, EndResult(now->run, following.output_schema));
    (void)co_await std::move(sending);
    co_return true;
  }
  following.look = !now->events.empty();
  if (!following.asks || now->steps.empty()) co_return false;
  std::vector<OpenApproval> mine;
  const std::string starter = PrincipalOf(now->run)->subject;
  for (OpenApproval& approval : OpenApprovals(now->steps, now->decisions)) {
    const bool may =
        ctx.principal != nullptr && !HasApproved(approval, ctx.principal->subject) &&
        MayApprove(*ctx.principal, starter, following.sharing, ReadApprovers(approval.detail));
    if (may && mine.size() < kAskedMax) mine.push_back(std::move(approval));
  }
  if (mine.empty()) co_return false;
  if (following.tasks) {
    // What a person must do may take long: the client answers the task's questions.
    auto describing = TaskOf(ctx, following);
    const auto task = co_await std::move(describing);
    if (!task.ok()) co_return task.status();
    auto telling = SendResult(sink, pb::RESULT_KIND_TASK, AsNewTask(*task));
    (void)co_await std::move(telling);
    co_return true;
  }
  json::ObjectWriter result;
  result.AddString("resultType", "input_required");
  result.Add("inputRequests", ApprovalRequests(now->run, mine));
  result.AddString("requestState", State(following.run_id, following.after, following.progress));
  auto sending = SendResult(sink, pb::RESULT_KIND_INPUT_REQUIRED, std::move(result).Build());
  (void)co_await std::move(sending);
  co_return true;
}

Awaitable<absl::Status> WorkflowProvider::Follow(const CallContext& ctx, Following following,
                                                 CallSink& sink) {
  // A caller that leaves takes its run along.
  struct Leave {
    WorkflowProvider& provider;
    std::string tenant, run_id, caller;
    bool settled = false;
    ~Leave() {
      if (settled || provider.stopping_) return;
      provider.tasks_.Spawn("workflow.caller_left", CallerLeft(&provider, tenant, run_id, caller));
    }
  } leave{*this, ctx.tenant(), following.run_id, CallingRun(ctx)};
  const auto began = Clock::now();
  for (;;) {
    auto looking = LookOnce(ctx, following, sink);
    const auto ended = co_await std::move(looking);
    leave.settled = ended.ok() ? *ended : !absl::IsCancelled(ended.status());
    if (!ended.ok()) co_return ended.status();
    if (*ended) co_return absl::OkStatus();
    if (stopping_) {
      co_return MakeError("SHUTTING_DOWN", "workflow",
                          StrCat("the service is stopping; the run ", following.run_id,
                                 " goes on at its next start"));
    }
    const auto now = Clock::now();
    const bool as_task = following.tasks && now >= began + kTaskAfter;
    if (as_task || now + kReserve >= ctx.deadline) {
      leave.settled = true;
      if (!as_task && !leave.caller.empty()) {
        co_return MakeError("UPSTREAM_TIMEOUT", "workflow",
                            StrCat("the run ", following.run_id, " has not ended in time"));
      }
      auto describing = TaskOf(ctx, following);
      const auto task = co_await std::move(describing);
      if (!task.ok()) co_return task.status();
      auto reading = Read(ctx, following.run_id, following.after, false);
      const auto last = co_await std::move(reading);
      if (!last.ok()) co_return last.status();
      auto sending = as_task
                         ? SendResult(sink, pb::RESULT_KIND_TASK, AsNewTask(*task))
                         : SendResult(sink, pb::RESULT_KIND_COMPLETE,
                                      GoesOnResult(last->run, "The time of this call is over."));
      co_return co_await std::move(sending);
    }
    auto waiting = engine_.Changed();
    co_await std::move(waiting);
    const bool slept = co_await Sleep(kPace);
    if (!slept) co_return absl::CancelledError("the caller has left");
  }
}

Awaitable<absl::Status> WorkflowProvider::CancelRun(std::string tenant, std::string run_id) {
  std::function<absl::StatusOr<RunRow>(db::Database&)> op = [tenant,
                                                             run_id](db::Database& database) {
    return SqlStore(database).SetControl(tenant, run_id, kCancel, kPause, NowMicros());
  };
  const CallContext ctx;
  auto changing = database_.Run<RunRow>(ctx, std::move(op));
  const auto changed = co_await std::move(changing);
  engine_.LookNow();
  // Over already is as good.
  const auto info = GetErrorInfo(changed.status());
  if (info && info->reason == "RUN_STATE") co_return absl::OkStatus();
  co_return changed.status();
}

// `caller`: the run whose step made the call. It may only have been put down, to go on elsewhere:
// then this run is waited for again.
Awaitable<void> WorkflowProvider::CallerLeft(WorkflowProvider* self, std::string tenant,
                                             std::string run_id, std::string caller) {
  if (!caller.empty()) {
    const bool slept = co_await Sleep(std::chrono::milliseconds(200));
    if (!slept) co_return;
    auto reading = self->engine_.GetRun(tenant, caller);
    const auto run = co_await std::move(reading);
    if (!run.ok()) co_return;
    const bool ends = IsFinal(run->state) || (run->control & kCancel) != 0;
    if (!ends && !self->engine_.Holds(caller)) co_return;
  }
  auto cancelling = self->CancelRun(tenant, run_id);
  (void)co_await std::move(cancelling);
}

}  // namespace metamcp::workflow
