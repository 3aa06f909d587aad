#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/db/executor.h"
#include "metamcp/ai/v1/ai_service.pb.h"
#include "metamcp/workflow/v1/workflow_service.metamcp.h"
#include "services/ai/finder.h"
#include "services/ai/model_planner.h"
#include "services/ai/plan/plan.h"

namespace metamcp::ai {

// From a task to a checked proposal: by a model where one is there and answers in time, else by the
// planner, which asks nobody. What it refers to must outlive it. Thread: the io thread.
class Suggester {
 public:
  // `models` may be null.
  Suggester(ToolFinder& finder, metamcp::workflow::v1::WorkflowService& workflows,
            ModelPlanner* models, db::DbExecutor& database, std::chrono::milliseconds time)
      : finder_(finder), workflows_(workflows), models_(models), database_(database), time_(time) {}

  // Errors: ARGUMENT_INVALID; as the catalog and the workflow service.
  Awaitable<absl::StatusOr<v1::SuggestResponse>> Suggest(const CallContext& ctx,
                                                         v1::SuggestRequest request);

 private:
  Awaitable<absl::StatusOr<PlanRequest>> Gather(const CallContext& ctx, const ToolScope& scope,
                                                const v1::SuggestRequest& request);
  // Tools of suggestions that people took; none where that cannot be read.
  Awaitable<std::set<std::string>> Trusted(const CallContext& ctx);
  // A model's plan instead of `response`, where one is made in time; else a note says why not.
  Awaitable<void> AskModel(const CallContext& ctx, const v1::SuggestRequest& request,
                           const ToolScope& scope, const PlanRequest& gathered,
                           std::chrono::steady_clock::time_point until,
                           v1::SuggestResponse* response);

  ToolFinder& finder_;
  metamcp::workflow::v1::WorkflowService& workflows_;
  ModelPlanner* models_;
  db::DbExecutor& database_;
  const std::chrono::milliseconds time_;
};

}  // namespace metamcp::ai
