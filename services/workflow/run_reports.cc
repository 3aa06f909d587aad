// Requests that tell of runs.
#include <algorithm>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/workflow/convert.h"
#include "services/workflow/engine/explain.h"
#include "services/workflow/workflow_service.h"

namespace metamcp::workflow {
namespace {

constexpr int64_t kFiguresOfUs = 30ll * 24 * 3600 * 1'000'000;
// Explanations and results are of runs that people look through.
constexpr int64_t kStepsMax = 5'000;

struct Told {
  RunRow run;
  std::vector<StepRow> steps;
  std::shared_ptr<const Definition> definition;
};

absl::StatusOr<Told> ReadTold(SqlStore& store, const std::string& tenant, const std::string& id,
                              bool with_definition) {
  Told out;
  METAMCP_ASSIGN_OR_RETURN(out.run, store.RunHead(tenant, id));
  METAMCP_ASSIGN_OR_RETURN(out.run.error, store.GetValue(id, out.run.error));
  METAMCP_ASSIGN_OR_RETURN(out.steps, store.StepsPage(id, 0, kStepsMax));
  if (!with_definition) return out;
  METAMCP_ASSIGN_OR_RETURN(
      const DefinitionRow row,
      store.GetDefinition(tenant, out.run.name_space, out.run.name, out.run.version));
  std::vector<Problem> problems;
  out.definition = ReadDefinition(row.document, Limits(), &problems);
  if (out.definition == nullptr) {
    return MakeError("WORKFLOW_INVALID", "workflow", "the run's version cannot be read");
  }
  return out;
}

int64_t Percentile(const std::vector<int64_t>& sorted, int percent) {
  if (sorted.empty()) return 0;
  const size_t at = sorted.size() * static_cast<size_t>(percent) / 100;
  return sorted[std::min(at, sorted.size() - 1)];
}

}  // namespace

Awaitable<absl::StatusOr<v1::GetRunValueResponse>> WorkflowService::GetRunValue(
    const CallContext& ctx, v1::GetRunValueRequest request) {
  std::function<absl::StatusOr<std::string>(db::Database&)> op =
      [tenant = ctx.tenant(), request](db::Database& database) -> absl::StatusOr<std::string> {
    SqlStore store(database);
    METAMCP_ASSIGN_OR_RETURN(const RunRow run, store.RunHead(tenant, request.id()));
    return store.GetValue(run.id, StrCat("@", request.ref()));
  };
  auto reading = database_.Run<std::string>(ctx, std::move(op));
  auto value = co_await std::move(reading);
  if (!value.ok()) co_return value.status();
  v1::GetRunValueResponse response;
  response.set_value(*std::move(value));
  co_return response;
}

Awaitable<absl::StatusOr<v1::ExplainRunResponse>> WorkflowService::ExplainRun(
    const CallContext& ctx, v1::ExplainRunRequest request) {
  std::function<absl::StatusOr<Told>(db::Database&)> op =
      [tenant = ctx.tenant(), id = request.id()](db::Database& database) {
        SqlStore store(database);
        return ReadTold(store, tenant, id, true);
      };
  auto reading = database_.Run<Told>(ctx, std::move(op));
  const auto told = co_await std::move(reading);
  if (!told.ok()) co_return told.status();
  v1::ExplainRunResponse response;
  response.set_summary(workflow::ExplainRun(told->run, told->steps));
  for (const StepExplanation& one : ExplainSteps(*told->definition, told->run, told->steps)) {
    v1::StepExplanation& step = *response.add_steps();
    step.set_path(one.path);
    step.set_name(one.name);
    step.set_state(one.state);
    step.set_why(one.why);
    step.set_arguments(one.arguments);
    for (const std::string& used : one.uses) step.add_uses(used);
    step.set_outcome(one.outcome);
    step.set_attempts(static_cast<int32_t>(one.attempts));
  }
  co_return response;
}

Awaitable<absl::StatusOr<v1::GetRunResultResponse>> WorkflowService::GetRunResult(
    const CallContext& ctx, v1::GetRunResultRequest request) {
  const std::string& format = request.format();
  if (!format.empty() && format != "json" && format != "markdown" && format != "text") {
    co_return MakeError("ARGUMENT_INVALID", "workflow", "format must be json, markdown or text");
  }
  std::function<absl::StatusOr<Told>(db::Database&)> op =
      [tenant = ctx.tenant(), id = request.id()](db::Database& database) {
        SqlStore store(database);
        return ReadTold(store, tenant, id, false);
      };
  auto reading = database_.Run<Told>(ctx, std::move(op));
  const auto told = co_await std::move(reading);
  if (!told.ok()) co_return told.status();
  v1::GetRunResultResponse response;
  if (format.empty() || format == "json") {
    response.set_result(ResultJson(told->run, told->steps));
  } else {
    response.set_text(ResultText(told->run, told->steps, format == "markdown"));
  }
  co_return response;
}

Awaitable<absl::StatusOr<v1::GetWorkflowFiguresResponse>> WorkflowService::GetWorkflowFigures(
    const CallContext& ctx, v1::GetWorkflowFiguresRequest request) {
  const int64_t since = request.since_us() > 0 ? request.since_us() : NowMicros() - kFiguresOfUs;
  const std::string name_space = request.namespace_().empty() ? "default" : request.namespace_();
  std::function<absl::StatusOr<RunFigures>(db::Database&)> op =
      [tenant = ctx.tenant(), name_space, name = request.name(), since](db::Database& database) {
        return SqlStore(database).Figures(tenant, name_space, name, since);
      };
  auto reading = database_.Run<RunFigures>(ctx, std::move(op));
  const auto figures = co_await std::move(reading);
  if (!figures.ok()) co_return figures.status();
  v1::GetWorkflowFiguresResponse response;
  int64_t runs = 0, ended = 0;
  for (const auto& [state, count] : figures->by_state) {
    runs += count;
    if (IsFinal(state)) ended += count;
  }
  const auto count = [&](const char* state) {
    const auto it = figures->by_state.find(state);
    return it == figures->by_state.end() ? int64_t{0} : it->second;
  };
  response.set_runs(runs);
  response.set_active(runs - ended);
  response.set_completed(count(run_state::kCompleted));
  response.set_failed(count(run_state::kFailed));
  response.set_cancelled(count(run_state::kCancelled));
  response.set_rolled_back(count(run_state::kRolledBack));
  const int64_t judged = response.completed() + response.failed() + response.rolled_back();
  response.set_success_rate(
      judged == 0 ? -1.0 : static_cast<double>(response.completed()) / static_cast<double>(judged));
  response.set_p50_us(Percentile(figures->completed_us, 50));
  response.set_p95_us(Percentile(figures->completed_us, 95));
  for (const RunFigures::Step& one : figures->steps) {
    v1::StepFigures& step = *response.add_steps();
    step.set_name(one.name);
    step.set_tool(one.tool);
    step.set_done(one.done);
    step.set_failed(one.failed);
    step.set_p50_us(Percentile(one.took_us, 50));
    step.set_p95_us(Percentile(one.took_us, 95));
  }
  co_return response;
}

}  // namespace metamcp::workflow
