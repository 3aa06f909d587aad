#pragma once

#include <map>
#include <string>

#include "common/async/call_context.h"
#include "common/async/sink.h"
#include "metamcp/ai/v1/ai_service.pb.h"
#include "metamcp/workflow/v1/workflow_service.metamcp.h"
#include "services/ai/plan/plan.h"

// Plans as answers.
namespace metamcp::ai {

// What clients of the virtual server call the tools, by their qualified names.
using ToolNames = std::map<std::string, std::string>;

void Show(const Plan& plan, const ToolNames& names, v1::SuggestResponse* out);

// Checks a plan as a workflow that is stored is checked, and adds the problems. `workflows` and
// `response` must outlive the call. Errors: those of the workflow service.
Awaitable<absl::Status> CheckPlan(const CallContext& ctx,
                                  metamcp::workflow::v1::WorkflowService& workflows, Json flat,
                                  v1::SuggestResponse* response);

}  // namespace metamcp::ai
