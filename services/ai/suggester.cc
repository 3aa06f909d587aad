#include "services/ai/suggester.h"

#include <algorithm>
#include <chrono>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/telemetry/log.h"
#include "services/ai/plan/repair.h"
#include "services/ai/prompt.h"
#include "services/ai/show.h"
#include "services/ai/store/sql_store.h"

namespace metamcp::ai {
namespace {

constexpr size_t kTaskBytesMax = 8 << 10;
constexpr int kRefinementsMax = 20;
constexpr size_t kNameBytesMax = 256;
constexpr int kCandidates = 60;
// Suggestions that people took, of which the tools are remembered.
constexpr int64_t kRemembered = 100;
// Kept of the time for the answer itself.
constexpr std::chrono::milliseconds kReserve(150);

absl::Status Invalid(std::string_view why) { return MakeError("ARGUMENT_INVALID", "ai", why); }

absl::Status CheckRequest(const v1::SuggestRequest& request) {
  if (request.task().size() > kTaskBytesMax) return Invalid("task is longer than 8 KiB");
  if (request.refinements_size() > kRefinementsMax) return Invalid("more than 20 refinements");
  for (const std::string& one : request.refinements()) {
    if (one.size() > kTaskBytesMax) return Invalid("a refinement is longer than 8 KiB");
  }
  if (request.virtual_server().size() > kNameBytesMax) return Invalid("no such virtual server");
  return absl::OkStatus();
}

ToolScope ScopeOf(const v1::SuggestRequest& request) {
  ToolScope out;
  out.virtual_server = request.virtual_server();
  out.hidden.insert(request.hidden().begin(), request.hidden().end());
  return out;
}

ToolNames NamesOf(const PlanRequest& gathered) {
  ToolNames out;
  for (const std::vector<Tool>& tools : gathered.candidates) {
    for (const Tool& tool : tools) out[tool.name] = tool.exposed;
  }
  return out;
}

}  // namespace

Awaitable<absl::StatusOr<PlanRequest>> Suggester::Gather(const CallContext& ctx,
                                                         const ToolScope& scope,
                                                         const v1::SuggestRequest& request) {
  PlanRequest out;
  out.task = request.task();
  out.model = models_ != nullptr && !request.without_model();
  const std::vector<std::string> refinements(request.refinements().begin(),
                                             request.refinements().end());
  Refined refined = Refine(request.task(), refinements);
  out.clauses = WithImplied(std::move(refined.clauses));
  out.preferences = std::move(refined.preferences);
  auto looking = finder_.Down(ctx);
  METAMCP_CO_ASSIGN_OR_RETURN(const std::set<std::string> down, co_await std::move(looking));
  auto remembering = Trusted(ctx);
  const std::set<std::string> trusted = co_await std::move(remembering);
  std::vector<Tool> chosen;
  for (const auto& [step, name] : request.choices()) {
    auto naming = finder_.Named(ctx, scope, name);
    METAMCP_CO_ASSIGN_OR_RETURN(std::vector<Tool> tools, co_await std::move(naming));
    if (tools.empty()) co_return Invalid(StrCat("there is no tool \"", name, "\""));
    out.choices[step] = tools[0].name;
    chosen.push_back(std::move(tools[0]));
  }
  for (const Clause& clause : out.clauses) {
    auto finding = finder_.Find(ctx, scope, SearchText(clause), kCandidates);
    METAMCP_CO_ASSIGN_OR_RETURN(std::vector<Tool> tools, co_await std::move(finding));
    for (const Tool& one : chosen) {
      bool there = false;
      for (const Tool& tool : tools) there = there || tool.name == one.name;
      if (!there) tools.push_back(one);
    }
    for (Tool& tool : tools) {
      tool.reachable = down.count(tool.server) == 0;
      tool.trusted = trusted.count(tool.name) > 0;
    }
    out.candidates.push_back(std::move(tools));
  }
  co_return out;
}

Awaitable<std::set<std::string>> Suggester::Trusted(const CallContext& ctx) {
  std::function<absl::StatusOr<std::vector<std::string>>(db::Database&)> op =
      [tenant = ctx.tenant()](db::Database& database) {
        return SqlStore(database).Accepted(tenant, kRemembered);
      };
  auto reading = database_.Run<std::vector<std::string>>(ctx, std::move(op));
  const auto workflows = co_await std::move(reading);
  std::set<std::string> out;
  if (!workflows.ok()) co_return out;
  for (const std::string& text : *workflows) {
    const auto workflow = json::ParseOrderedJson(text);
    if (!workflow.ok() || !workflow->is_object() || !workflow->contains("steps")) continue;
    for (const Json& step : (*workflow)["steps"]) {
      if (step.is_object() && step.contains("tool") && step["tool"].is_string()) {
        out.insert(step["tool"].get<std::string>());
      }
    }
  }
  co_return out;
}

// Says which servers of a plan are not there now.
static void NoteDown(const PlanRequest& gathered, Plan* plan) {
  std::set<std::string> said;
  for (const PlanStep& step : plan->steps) {
    for (const auto& tools : gathered.candidates) {
      for (const Tool& tool : tools) {
        if (tool.name != step.tool || tool.reachable || !said.insert(tool.server).second) continue;
        plan->notes.push_back(StrCat("The server ", tool.server, " is not connected now."));
      }
    }
  }
}

Awaitable<void> Suggester::AskModel(const CallContext& ctx, const v1::SuggestRequest& request,
                                    const ToolScope& scope, const PlanRequest& gathered,
                                    std::chrono::steady_clock::time_point until,
                                    v1::SuggestResponse* response) {
  std::vector<Tool> known;
  for (const std::string& name : response->considered()) {
    for (const std::vector<Tool>& tools : gathered.candidates) {
      const auto it = std::find_if(tools.begin(), tools.end(),
                                   [&](const Tool& tool) { return tool.name == name; });
      if (it == tools.end()) continue;
      known.push_back(*it);
      break;
    }
  }
  std::vector<std::string> refinements(request.refinements().begin(), request.refinements().end());
  CallContext capped = ctx;
  capped.deadline = std::min(ctx.deadline, until);
  auto making =
      models_->Make(capped, scope, request.task(), std::move(refinements), std::move(known));
  auto bounded = RunUntil(capped.deadline, std::move(making));
  absl::StatusOr<ModelPlan> made = co_await std::move(bounded);
  if (!made.ok()) {
    const bool late = absl::IsDeadlineExceeded(made.status());
    response->add_notes(
        StrCat("No model helped (",
               late ? std::string("none answered in time") : std::string(made.status().message()),
               "): this was made without one."));
    Log(LogLevel::kWarning, "ai.fallback", {{"error", std::string(made.status().message())}});
    co_return;
  }
  if (!request.name().empty()) made->plan.name = request.name();
  v1::SuggestResponse own;
  own.set_task(request.task());
  own.set_made_by("model");
  own.set_provider(made->provider);
  own.set_model(made->model);
  own.set_prompt_version(std::string(kPromptVersion));
  own.set_input_tokens(made->usage.input_tokens);
  own.set_output_tokens(made->usage.output_tokens);
  own.set_cost_micros(made->cost_micros);
  own.set_cached(made->cached);
  own.set_virtual_server(response->virtual_server());
  Show(made->plan, made->exposed, &own);
  if (!made->plan.steps.empty()) {
    const Json flat = ToFlat(made->plan);
    own.set_workflow(json::DumpJson(flat));
    // It has passed the checks, but perhaps a while ago.
    auto checking = CheckPlan(ctx, workflows_, flat, &own);
    const absl::Status checked = co_await std::move(checking);
    if (!checked.ok() || !own.valid()) co_return;
  }
  *response = std::move(own);
}

Awaitable<absl::StatusOr<v1::SuggestResponse>> Suggester::Suggest(const CallContext& ctx,
                                                                  v1::SuggestRequest request) {
  const auto began = std::chrono::steady_clock::now();
  METAMCP_CO_RETURN_IF_ERROR(CheckRequest(request));
  const ToolScope scope = ScopeOf(request);
  auto gathering = Gather(ctx, scope, request);
  METAMCP_CO_ASSIGN_OR_RETURN(const PlanRequest gathered, co_await std::move(gathering));
  if (gathered.clauses.empty()) co_return Invalid("the task has no words");
  Plan plan = MakePlan(gathered);
  std::vector<const Tool*> tools;
  for (const auto& list : gathered.candidates) {
    for (const Tool& tool : list) tools.push_back(&tool);
  }
  Repair(tools, &plan);
  NoteDown(gathered, &plan);
  if (!request.name().empty()) plan.name = request.name();
  v1::SuggestResponse response;
  response.set_task(request.task());
  response.set_made_by("planner");
  response.set_virtual_server(request.virtual_server().empty() ? "default"
                                                               : request.virtual_server());
  Show(plan, NamesOf(gathered), &response);
  if (!plan.steps.empty()) {
    const Json flat = ToFlat(plan);
    response.set_workflow(json::DumpJson(flat));
    auto checking = CheckPlan(ctx, workflows_, flat, &response);
    METAMCP_CO_RETURN_IF_ERROR(co_await std::move(checking));
  }
  // What a person chose is not for a model to change.
  if (models_ != nullptr && !request.without_model() && request.choices().empty()) {
    auto asking = AskModel(ctx, request, scope, gathered, began + time_ - kReserve, &response);
    co_await std::move(asking);
  }
  const auto took = std::chrono::steady_clock::now() - began;
  response.set_took_ms(std::chrono::duration_cast<std::chrono::milliseconds>(took).count());
  co_return response;
}

}  // namespace metamcp::ai
