// Undoing what was done: compensations in reverse order, each of them checkpointed like any step.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/strings.h"
#include "common/json/dom.h"
#include "services/workflow/engine/paths.h"
#include "services/workflow/engine/run_task.h"

namespace metamcp::workflow {
Awaitable<void> RunTask::BeginRollback(std::string why, std::string error) {
  RunCommit commit = MakeCommit();
  commit.mark_started_as = true;
  commit.started_as = "cancelled";
  commit.phase = why;
  if (!error.empty()) commit.error = error;
  run_.phase = why;
  run_.error = error;
  for (auto& [path, row] : steps_) {
    if (row.state == "started" || row.state == "waiting") row.state = "cancelled";
  }
  auto storing = Durable(std::move(commit));
  (void)co_await std::move(storing);
}

Awaitable<Outcome> RunTask::Rollback() {
  std::vector<StepRow> done;
  for (const auto& [path, row] : steps_) {
    const bool happened = row.state == "done" || row.state == "effect";
    if (row.compensable && happened) done.push_back(row);
  }
  std::sort(done.begin(), done.end(),
            [](const StepRow& a, const StepRow& b) { return a.ord > b.ord; });
  for (const StepRow& step : done) {
    const auto task = definition_->by_path.find(PlaceOf(step.path));
    if (task == definition_->by_path.end()) continue;
    auto undoing = Compensate(step, *task->second);
    Outcome outcome = co_await std::move(undoing);
    if (outcome.kind != Outcome::kDone) co_return outcome;
  }
  co_return Outcome();
}

Awaitable<Outcome> RunTask::Compensate(const StepRow step, const Task& task) {
  const std::string base = step.path + "/metadata/compensate";
  Scope scope;
  if (const auto names = json::ParseOrderedJson(step.detail); names.ok() && names->is_object()) {
    for (auto it = names->begin(); it != names->end(); ++it) scope[it.key()] = json::DumpJson(*it);
  }
  std::string output = step.output.empty() ? "null" : step.output;
  std::string context = step.context.empty() ? "null" : step.context;
  auto running =
      RunList(task.compensate, base, std::move(output), std::move(context), std::move(scope));
  Outcome outcome = co_await std::move(running);
  if (outcome.kind == Outcome::kFault) outcome.next.clear();
  co_return outcome;
}

}  // namespace metamcp::workflow
