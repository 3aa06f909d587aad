#include "services/ai/show.h"

#include "common/json/dom.h"

namespace metamcp::ai {
namespace {

void AddAlternatives(const std::vector<Alternative>& from, const ToolNames& names,
                     google::protobuf::RepeatedPtrField<v1::Alternative>* to) {
  for (const Alternative& one : from) {
    v1::Alternative& out = *to->Add();
    out.set_tool(one.tool);
    out.set_score(one.score);
    if (const auto name = names.find(one.tool); name != names.end()) out.set_exposed(name->second);
  }
}

}  // namespace

void Show(const Plan& plan, const ToolNames& names, v1::SuggestResponse* out) {
  for (const PlanStep& step : plan.steps) {
    v1::SuggestedStep& one = *out->add_steps();
    one.set_id(step.id);
    one.set_title(step.title);
    one.set_tool(step.tool);
    if (const auto name = names.find(step.tool); name != names.end()) {
      one.set_exposed(name->second);
    }
    one.set_effect(step.effect);
    one.set_confidence(step.confidence);
    one.set_arguments(json::DumpJson(step.arguments));
    one.set_for_each(step.for_each);
    AddAlternatives(step.alternatives, names, one.mutable_alternatives());
  }
  for (const Gap& gap : plan.gaps) {
    v1::SuggestedGap& one = *out->add_gaps();
    one.set_id(gap.id);
    one.set_text(gap.text);
    one.set_question(gap.question);
    AddAlternatives(gap.nearest, names, one.mutable_nearest());
  }
  for (const std::string& note : plan.notes) out->add_notes(note);
  for (const std::string& tool : plan.considered) out->add_considered(tool);
  out->set_confidence(plan.confidence);
  out->set_sure(std::string(ConfidenceName(plan.confidence)));
}

Awaitable<absl::Status> CheckPlan(const CallContext& ctx,
                                  metamcp::workflow::v1::WorkflowService& workflows, Json flat,
                                  v1::SuggestResponse* response) {
  metamcp::workflow::v1::ValidateWorkflowRequest request;
  request.set_source(json::DumpJson(flat));
  auto checking = workflows.ValidateWorkflow(ctx, std::move(request));
  const auto checked = co_await std::move(checking);
  if (!checked.ok()) co_return checked.status();
  response->set_valid(checked->valid());
  for (const auto& problem : checked->problems()) {
    v1::SuggestedProblem& out = *response->add_problems();
    out.set_path(problem.path());
    out.set_message(problem.message());
  }
  co_return absl::OkStatus();
}

}  // namespace metamcp::ai
