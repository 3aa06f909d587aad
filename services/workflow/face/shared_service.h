#pragma once

#include <functional>
#include <string>

#include "services/workflow/face/face_store.h"
#include "services/workflow/face/publisher.h"
#include "services/workflow/face/scheduler.h"
#include "services/workflow/face/webhook_sender.h"
#include "services/workflow/workflow_service.h"

namespace metamcp::workflow {

// The service as callers have it: who may see, change and run a workflow, and whose runs somebody
// may see and control. What somebody may not see does not exist for him. Thread: the executor's one
// thread.
class SharedWorkflowService final : public WorkflowService {
 public:
  SharedWorkflowService(db::DbExecutor& database, Engine& engine, JqWorkers& jq, Caller& caller,
                        Publisher& publisher, Scheduler& scheduler, WebhookSender& webhooks,
                        const KeyRing& keys, Limits limits)
      : WorkflowService(database, engine, jq, caller, limits),
        database_(database),
        engine_(engine),
        publisher_(publisher),
        scheduler_(scheduler),
        webhooks_(webhooks),
        keys_(keys),
        limits_(limits) {}

  Awaitable<absl::StatusOr<v1::CreateWorkflowResponse>> CreateWorkflow(
      const CallContext& ctx, v1::CreateWorkflowRequest request) override;
  Awaitable<absl::StatusOr<v1::ListWorkflowsResponse>> ListWorkflows(
      const CallContext& ctx, v1::ListWorkflowsRequest request) override;
  Awaitable<absl::StatusOr<v1::GetWorkflowResponse>> GetWorkflow(
      const CallContext& ctx, v1::GetWorkflowRequest request) override;
  Awaitable<absl::StatusOr<v1::DeleteWorkflowResponse>> DeleteWorkflow(
      const CallContext& ctx, v1::DeleteWorkflowRequest request) override;
  Awaitable<absl::StatusOr<v1::PublishWorkflowResponse>> PublishWorkflow(
      const CallContext& ctx, v1::PublishWorkflowRequest request) override;
  Awaitable<absl::StatusOr<v1::UnpublishWorkflowResponse>> UnpublishWorkflow(
      const CallContext& ctx, v1::UnpublishWorkflowRequest request) override;
  Awaitable<absl::StatusOr<v1::ShareWorkflowResponse>> ShareWorkflow(
      const CallContext& ctx, v1::ShareWorkflowRequest request) override;
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

  Awaitable<absl::StatusOr<v1::ListSchedulesResponse>> ListSchedules(
      const CallContext& ctx, v1::ListSchedulesRequest request) override;
  Awaitable<absl::StatusOr<v1::PauseScheduleResponse>> PauseSchedule(
      const CallContext& ctx, v1::PauseScheduleRequest request) override;
  Awaitable<absl::StatusOr<v1::ResumeScheduleResponse>> ResumeSchedule(
      const CallContext& ctx, v1::ResumeScheduleRequest request) override;

  Awaitable<absl::StatusOr<v1::CreateWebhookResponse>> CreateWebhook(
      const CallContext& ctx, v1::CreateWebhookRequest request) override;
  Awaitable<absl::StatusOr<v1::ListWebhooksResponse>> ListWebhooks(
      const CallContext& ctx, v1::ListWebhooksRequest request) override;
  Awaitable<absl::StatusOr<v1::DeleteWebhookResponse>> DeleteWebhook(
      const CallContext& ctx, v1::DeleteWebhookRequest request) override;
  Awaitable<absl::StatusOr<v1::ListDeliveriesResponse>> ListDeliveries(
      const CallContext& ctx, v1::ListDeliveriesRequest request) override;
  Awaitable<absl::StatusOr<v1::CreateHookResponse>> CreateHook(
      const CallContext& ctx, v1::CreateHookRequest request) override;
  Awaitable<absl::StatusOr<v1::ListHooksResponse>> ListHooks(const CallContext& ctx,
                                                             v1::ListHooksRequest request) override;
  Awaitable<absl::StatusOr<v1::DeleteHookResponse>> DeleteHook(
      const CallContext& ctx, v1::DeleteHookRequest request) override;
  Awaitable<absl::StatusOr<v1::ReceiveHookResponse>> ReceiveHook(
      const CallContext& ctx, v1::ReceiveHookRequest request) override;
  Awaitable<absl::StatusOr<v1::ListTemplatesResponse>> ListTemplates(
      const CallContext& ctx, v1::ListTemplatesRequest request) override;
  Awaitable<absl::StatusOr<v1::GetTemplateResponse>> GetTemplate(
      const CallContext& ctx, v1::GetTemplateRequest request) override;
  Awaitable<absl::StatusOr<v1::FillTemplateResponse>> FillTemplate(
      const CallContext& ctx, v1::FillTemplateRequest request) override;

 private:
  enum class Need { kSee, kChange };
  // The workflow as it is shared, for somebody who may. Errors: NOT_FOUND where he may not see it;
  // PERMISSION_DENIED where he may only see it.
  Awaitable<absl::StatusOr<ObjectRow>> Object(const CallContext& ctx, std::string name_space,
                                              std::string name, Need need);
  // A run with its workflow's sharing. `handle`: of somebody who may see and control it, NOT_FOUND
  // for others.
  struct Owned {
    RunRow run;
    std::string starter;
    Sharing sharing;
    std::vector<StepRow> steps;  // that wait for a person
    std::vector<DecisionRow> decisions;
  };
  Awaitable<absl::StatusOr<Owned>> Run(const CallContext& ctx, std::string id);
  Awaitable<absl::Status> MaySeeChildren(const CallContext& ctx, const Definition& definition);
  Awaitable<absl::Status> MayHandle(const CallContext& ctx, std::string id);
  // Stores it, and waits until the catalog shows what is published.
  Awaitable<absl::Status> Store(const CallContext& ctx, ObjectRow row, bool tools_change);
  // The schedule of a version that has become the newest, or that it has none.
  Awaitable<absl::Status> StoreSchedule(const CallContext& ctx, const Definition& definition);
  Awaitable<absl::StatusOr<ScheduleRow>> SetPaused(const CallContext& ctx, std::string name_space,
                                                   std::string name, bool paused);
  Awaitable<absl::StatusOr<v1::Workflow>> Shown(const CallContext& ctx, std::string name_space,
                                                std::string name);

  db::DbExecutor& database_;
  Engine& engine_;
  Publisher& publisher_;
  Scheduler& scheduler_;
  WebhookSender& webhooks_;
  const KeyRing& keys_;
  const Limits limits_;
};

}  // namespace metamcp::workflow
