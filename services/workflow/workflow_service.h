#pragma once

#include <functional>
#include <string>

#include "common/db/executor.h"
#include "metamcp/workflow/v1/workflow_service.metamcp.h"
#include "services/workflow/engine/caller.h"
#include "services/workflow/engine/engine.h"
#include "services/workflow/jq/jq_worker.h"

namespace metamcp::workflow {

// The service's interface over store and engine, for whoever may do all of it:
// face/shared_service.h asks first who may. Thread: the executor's one thread.
class WorkflowService : public v1::WorkflowService {
 public:
  WorkflowService(db::DbExecutor& database, Engine& engine, JqWorkers& jq, Caller& caller,
                  Limits limits)
      : database_(database), engine_(engine), jq_(jq), caller_(caller), limits_(limits) {}

  Awaitable<absl::StatusOr<v1::CreateWorkflowResponse>> CreateWorkflow(
      const CallContext& ctx, v1::CreateWorkflowRequest request) override;
  Awaitable<absl::StatusOr<v1::ValidateWorkflowResponse>> ValidateWorkflow(
      const CallContext& ctx, v1::ValidateWorkflowRequest request) override;
  Awaitable<absl::StatusOr<v1::ListWorkflowsResponse>> ListWorkflows(
      const CallContext& ctx, v1::ListWorkflowsRequest request) override;
  Awaitable<absl::StatusOr<v1::GetWorkflowResponse>> GetWorkflow(
      const CallContext& ctx, v1::GetWorkflowRequest request) override;
  Awaitable<absl::StatusOr<v1::DeleteWorkflowResponse>> DeleteWorkflow(
      const CallContext& ctx, v1::DeleteWorkflowRequest request) override;
  Awaitable<absl::StatusOr<v1::StartRunResponse>> StartRun(const CallContext& ctx,
                                                           v1::StartRunRequest request) override;
  Awaitable<absl::StatusOr<v1::ListRunsResponse>> ListRuns(const CallContext& ctx,
                                                           v1::ListRunsRequest request) override;
  Awaitable<absl::StatusOr<v1::GetRunResponse>> GetRun(const CallContext& ctx,
                                                       v1::GetRunRequest request) override;
  Awaitable<absl::Status> WatchRun(const CallContext& ctx, v1::WatchRunRequest request,
                                   Sink<v1::WatchRunResponse>& sink) override;
  Awaitable<absl::StatusOr<v1::PauseRunResponse>> PauseRun(const CallContext& ctx,
                                                           v1::PauseRunRequest request) override;
  Awaitable<absl::StatusOr<v1::ResumeRunResponse>> ResumeRun(const CallContext& ctx,
                                                             v1::ResumeRunRequest request) override;
  Awaitable<absl::StatusOr<v1::CancelRunResponse>> CancelRun(const CallContext& ctx,
                                                             v1::CancelRunRequest request) override;
  Awaitable<absl::StatusOr<v1::RetryRunResponse>> RetryRun(const CallContext& ctx,
                                                           v1::RetryRunRequest request) override;
  Awaitable<absl::StatusOr<v1::DecideRunResponse>> DecideRun(const CallContext& ctx,
                                                             v1::DecideRunRequest request) override;

  Awaitable<absl::StatusOr<v1::GetRunValueResponse>> GetRunValue(
      const CallContext& ctx, v1::GetRunValueRequest request) override;
  Awaitable<absl::StatusOr<v1::ExplainRunResponse>> ExplainRun(
      const CallContext& ctx, v1::ExplainRunRequest request) override;
  Awaitable<absl::StatusOr<v1::GetRunResultResponse>> GetRunResult(
      const CallContext& ctx, v1::GetRunResultRequest request) override;
  Awaitable<absl::StatusOr<v1::GetWorkflowFiguresResponse>> GetWorkflowFigures(
      const CallContext& ctx, v1::GetWorkflowFiguresRequest request) override;
  Awaitable<absl::StatusOr<v1::RerunRunResponse>> RerunRun(const CallContext& ctx,
                                                           v1::RerunRunRequest request) override;
  Awaitable<absl::StatusOr<v1::EditRunResponse>> EditRun(const CallContext& ctx,
                                                         v1::EditRunRequest request) override;

 private:
  // Stores a new run for the caller.
  Awaitable<absl::StatusOr<RunRow>> Begin(const CallContext& ctx, v1::StartRunRequest request,
                                          std::string origin);
  Awaitable<absl::Status> Control(const CallContext& ctx, std::string id, int64_t set,
                                  int64_t clear);

  db::DbExecutor& database_;
  Engine& engine_;
  JqWorkers& jq_;
  Caller& caller_;
  const Limits limits_;
};

}  // namespace metamcp::workflow
