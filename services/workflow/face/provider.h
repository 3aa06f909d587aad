#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <optional>
#include <string>

#include "common/async/task_group.h"
#include "common/db/executor.h"
#include "metamcp/provider/v1/provider_service.metamcp.h"
#include "services/workflow/engine/engine.h"
#include "services/workflow/face/face_store.h"
#include "services/workflow/face/run_view.h"

namespace metamcp::workflow {

// The run whose step makes this call; empty for other callers.
std::string CallingRun(const CallContext& ctx);

// Published workflows as tools. A call starts a run for its caller and follows it; a caller that
// cancels cancels the run. A client that knows tasks gets a long run as a task, whose id is the
// run's. Approvals that the caller may give are asked for by elicitation. The state of a call that
// waits for an answer names the run, so that any process of the service can go on with it.
// Single-threaded. Await Stop before destruction, and before the engine's.
class WorkflowProvider final : public metamcp::provider::v1::ProviderService {
 public:
  WorkflowProvider(boost::asio::any_io_executor executor, db::DbExecutor& database, Engine& engine)
      : executor_(executor), database_(database), engine_(engine), tasks_(executor) {}

  Awaitable<absl::Status> Call(const CallContext& ctx, metamcp::provider::v1::CallRequest request,
                               Sink<metamcp::provider::v1::CallResponse>& sink) override;
  Awaitable<absl::Status> Listen(const CallContext& ctx,
                                 metamcp::provider::v1::ListenRequest request,
                                 Sink<metamcp::provider::v1::ListenResponse>& sink) override;

  // Callers are let go; their runs stay.
  Awaitable<void> Stop();

 private:
  using CallRequest = metamcp::provider::v1::CallRequest;
  using CallSink = Sink<metamcp::provider::v1::CallResponse>;
  // A call that follows a run.
  struct Following {
    std::string run_id;
    std::string output_schema;
    Sharing sharing;
    int64_t after = 0;     // the last event that was looked at
    int64_t progress = 0;  // the last number told
    bool asks = false;     // the client can be asked
    bool tells = false;    // it wants progress
    bool tasks = false;    // it knows tasks
    bool look = true;      // there may be an approval that was not looked at
  };
  struct Snapshot {
    RunRow run;
    std::vector<EventRow> events;
    std::vector<StepRow> steps;  // that wait for a person
    std::vector<DecisionRow> decisions;
  };

  Awaitable<absl::Status> StartCall(const CallContext& ctx, const CallRequest& request,
                                    CallSink& sink);
  Awaitable<absl::Status> ResumeCall(const CallContext& ctx, const CallRequest& request,
                                     CallSink& sink);
  Awaitable<absl::Status> TaskCall(const CallContext& ctx, const CallRequest& request,
                                   CallSink& sink);
  Awaitable<absl::Status> Follow(const CallContext& ctx, Following following, CallSink& sink);
  Awaitable<absl::StatusOr<bool>> LookOnce(const CallContext& ctx, Following& following,
                                           CallSink& sink);
  Awaitable<absl::StatusOr<Snapshot>> Read(const CallContext& ctx, std::string run_id,
                                           int64_t after, bool steps);
  // The run of that id as this caller may see it. Errors: TASK_NOT_FOUND.
  Awaitable<absl::StatusOr<Following>> Find(const CallContext& ctx, std::string run_id);
  Awaitable<absl::StatusOr<std::string>> TaskOf(const CallContext& ctx, const Following& following);
  // Stores what the client answered; true where it put a question off.
  Awaitable<absl::StatusOr<bool>> TakeAnswers(const CallContext& ctx, const Following& following,
                                              const std::string& responses);
  Awaitable<absl::Status> CancelRun(std::string tenant, std::string run_id);
  static Awaitable<void> CallerLeft(WorkflowProvider* self, std::string tenant, std::string run_id,
                                    std::string caller);
  Awaitable<absl::Status> SendResult(CallSink& sink, metamcp::provider::v1::ResultKind kind,
                                     std::string json);

  boost::asio::any_io_executor executor_;
  db::DbExecutor& database_;
  Engine& engine_;
  TaskGroup tasks_;
  bool stopping_ = false;
};

}  // namespace metamcp::workflow
