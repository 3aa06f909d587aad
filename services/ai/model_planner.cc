#include "services/ai/model_planner.h"

#include <set>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "services/ai/plan/repair.h"
#include "services/ai/prompt.h"

namespace metamcp::ai {
namespace {

constexpr int kPerGoal = 8;
constexpr size_t kToolsMax = 40;

std::string Who(const CallContext& ctx) {
  return ctx.principal == nullptr ? std::string() : ctx.principal->subject;
}

void AddPart(std::string_view part, std::string* to) { *to += StrCat(part.size(), ":", part, "|"); }

// The same words, the same tools as they are now, the same person who may use the same: the same
// answer. The tools themselves, not the catalog's revision, which other tools' changes raise, too.
std::string KeyOf(const CallContext& ctx, const ToolScope& scope, const std::string& task,
                  const std::vector<std::string>& refinements, const std::vector<Tool>& known) {
  std::string identity;
  for (const std::string_view part :
       {std::string_view(kPromptVersion), std::string_view(ctx.tenant())}) {
    AddPart(part, &identity);
  }
  AddPart(Who(ctx), &identity);
  AddPart(scope.virtual_server, &identity);
  AddPart(task, &identity);
  for (const std::string& one : refinements) AddPart(one, &identity);
  AddPart("hidden", &identity);
  for (const std::string& one : scope.hidden) AddPart(one, &identity);
  AddPart(PlanPrompt(task, refinements, known).messages[0].parts[0].text, &identity);
  return json::Sha256Hex(identity);
}

}  // namespace

const ModelPlan* ModelPlanner::Cached(const std::string& key) {
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return nullptr;
  if (it->second->until <= std::chrono::steady_clock::now()) {
    kept_.erase(it->second);
    by_key_.erase(it);
    return nullptr;
  }
  kept_.splice(kept_.begin(), kept_, it->second);
  return &kept_.front().plan;
}

void ModelPlanner::Keep(std::string key, ModelPlan plan) {
  if (cache_options_.entries == 0 || cache_options_.lifetime.count() == 0) return;
  if (const auto it = by_key_.find(key); it != by_key_.end()) {
    kept_.erase(it->second);
    by_key_.erase(it);
  }
  Kept kept;
  kept.key = key;
  kept.plan = std::move(plan);
  kept.plan.cached = true;
  kept.until = std::chrono::steady_clock::now() + cache_options_.lifetime;
  kept_.push_front(std::move(kept));
  by_key_[key] = kept_.begin();
  while (kept_.size() > cache_options_.entries) {
    by_key_.erase(kept_.back().key);
    kept_.pop_back();
  }
}

Awaitable<absl::StatusOr<std::vector<Tool>>> ModelPlanner::Gather(
    const CallContext& ctx, const ToolScope& scope, const std::vector<std::string>& goals,
    std::vector<Tool> known) {
  std::vector<Tool> out;
  std::set<std::string> seen;
  const auto add = [&](Tool tool) {
    if (out.size() < kToolsMax && seen.insert(tool.name).second) out.push_back(std::move(tool));
  };
  for (const std::string& goal : goals) {
    std::string text = goal;
    for (const Clause& clause : SplitTask(goal)) text += StrCat(" ", SearchText(clause));
    auto finding = finder_.Find(ctx, scope, text.substr(0, 2000), kPerGoal);
    METAMCP_CO_ASSIGN_OR_RETURN(std::vector<Tool> tools, co_await std::move(finding));
    for (Tool& tool : tools) add(std::move(tool));
  }
  for (Tool& tool : known) add(std::move(tool));
  co_return out;
}

Awaitable<absl::StatusOr<ModelReply>> ModelPlanner::Ask(const CallContext& ctx,
                                                        const ModelRequest& request,
                                                        ModelPlan* sum) {
  auto asking = pool_.Ask(ctx, request);
  absl::StatusOr<ModelReply> reply = co_await std::move(asking);
  if (reply.ok()) {
    sum->provider = reply->provider;
    sum->model = reply->model;
    sum->usage.input_tokens += reply->usage.input_tokens;
    sum->usage.output_tokens += reply->usage.output_tokens;
    sum->cost_micros += reply->cost_micros;
  }
  co_return reply;
}

Awaitable<absl::StatusOr<std::vector<std::string>>> ModelPlanner::Check(
    const CallContext& ctx, const std::string& answer, const std::string& task,
    const std::vector<Tool>& tools, Plan* plan) {
  METAMCP_CO_ASSIGN_OR_RETURN(ReadPlan read, ReadPlanAnswer(answer, task, tools));
  std::vector<std::string> problems = std::move(read.problems);
  std::vector<const Tool*> pointers;
  for (const Tool& tool : tools) pointers.push_back(&tool);
  Repair(pointers, &read.plan);
  if (problems.empty() && !read.plan.steps.empty()) {
    metamcp::workflow::v1::ValidateWorkflowRequest request;
    request.set_source(json::DumpJson(ToFlat(read.plan)));
    auto checking = workflows_.ValidateWorkflow(ctx, std::move(request));
    METAMCP_CO_ASSIGN_OR_RETURN(const auto checked, co_await std::move(checking));
    for (const auto& problem : checked.problems()) {
      problems.push_back(StrCat(problem.path(), ": ", problem.message()));
    }
  }
  if (problems.empty() && read.plan.steps.empty() && read.plan.gaps.empty()) {
    problems.emplace_back("there is neither a step nor a question");
  }
  *plan = std::move(read.plan);
  co_return problems;
}

Awaitable<absl::StatusOr<ModelPlan>> ModelPlanner::Make(const CallContext& ctx,
                                                        const ToolScope& scope, std::string task,
                                                        std::vector<std::string> refinements,
                                                        std::vector<Tool> known) {
  const std::string key = KeyOf(ctx, scope, task, refinements, known);
  if (const ModelPlan* kept = Cached(key)) co_return *kept;

  ModelPlan out;
  const ModelRequest ask_goals = GoalsPrompt(task, refinements);
  auto asking = Ask(ctx, ask_goals, &out);
  METAMCP_CO_ASSIGN_OR_RETURN(const ModelReply goals_reply, co_await std::move(asking));
  METAMCP_CO_ASSIGN_OR_RETURN(const auto goals, ReadGoals(goals_reply.text));
  auto gathering = Gather(ctx, scope, goals, std::move(known));
  METAMCP_CO_ASSIGN_OR_RETURN(const std::vector<Tool> tools, co_await std::move(gathering));
  if (tools.empty())
    co_return MakeError("AI_ANSWER_INVALID", "ai", "no tool was found to plan with");

  ModelRequest request = PlanPrompt(task, refinements, tools);
  for (int round = 0; round < 2; ++round) {
    auto planning = Ask(ctx, request, &out);
    METAMCP_CO_ASSIGN_OR_RETURN(const ModelReply reply, co_await std::move(planning));
    std::vector<std::string> problems;
    auto checking = Check(ctx, reply.text, task, tools, &out.plan);
    absl::StatusOr<std::vector<std::string>> checked = co_await std::move(checking);
    if (checked.ok()) {
      problems = *std::move(checked);
    } else if (absl::IsInternal(checked.status())) {
      problems.emplace_back(checked.status().message());
    } else {
      co_return checked.status();
    }
    if (problems.empty()) {
      for (const Tool& tool : tools) {
        if (out.plan.considered.size() < 20) out.plan.considered.push_back(tool.name);
        out.exposed[tool.name] = tool.exposed;
      }
      Keep(key, out);
      co_return out;
    }
    AddRepair(reply.text, problems, &request);
  }
  co_return MakeError("AI_ANSWER_INVALID", "ai", "the model made no plan that passes the checks");
}

}  // namespace metamcp::ai
