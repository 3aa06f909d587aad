#include "services/workflow/checker.h"

#include <set>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "services/workflow/check_arguments.h"

namespace metamcp::workflow {
namespace {

void AddNames(const std::vector<Task>& tasks, std::set<std::string>* names) {
  for (const Task& task : tasks) {
    if (task.kind == TaskKind::kFor) {
      names->insert(task.each);
      names->insert(task.at);
    }
    if (task.kind == TaskKind::kTry) names->insert(task.error_as);
    AddNames(task.tasks, names);
    AddNames(task.handler, names);
    AddNames(task.compensate, names);
  }
}

}  // namespace

Awaitable<absl::StatusOr<Checked>> CheckDocument(const CallContext& ctx, std::string source,
                                                 const Limits& limits, JqWorkers& jq,
                                                 Caller& caller) {
  Checked out;
  out.definition = ReadDefinition(source, limits, &out.problems);
  if (out.definition == nullptr) co_return out;
  std::set<std::string> names = {"context",  "input",   "output",        "task",
                                 "workflow", "runtime", "authorization", "secrets"};
  AddNames(out.definition->tasks, &names);
  // Equal expressions are compiled once.
  std::set<std::string> seen;
  for (const PlacedExpression& one : ExpressionsOf(*out.definition)) {
    std::string program = MakeProgram(*one.expression, names);
    if (!seen.insert(program).second) continue;
    auto checking = jq.Check(std::move(program));
    const absl::Status status = co_await std::move(checking);
    if (status.ok()) continue;
    const auto info = GetErrorInfo(status);
    if (!info || info->reason != "EXPRESSION_INVALID") co_return status;
    std::string why(status.message());
    why = why.substr(0, why.find(" at <top-level>"));
    out.problems.push_back({one.path, StrCat("the expression does not compile: ", why)});
  }
  for (const auto& [path, task] : out.definition->by_path) {
    if (task->tool.empty()) continue;
    auto describing = caller.Describe(ctx, task->tool);
    const auto info = co_await std::move(describing);
    if (!info.ok() && absl::IsNotFound(info.status())) {
      out.problems.push_back({path, StrCat("no server offers the tool \"", task->tool, "\"")});
    } else if (info.ok() && !task->pin.empty() && !info->fingerprint.starts_with(task->pin)) {
      out.problems.push_back(
          {path, StrCat("the definition of ", task->tool, " is not the pinned one")});
    } else if (info.ok()) {
      CheckArguments(out.definition->document, *task, info->input_schema, &out.problems);
    }
  }
  if (!out.problems.empty()) out.definition.reset();
  co_return out;
}

}  // namespace metamcp::workflow
