// The walk over a definition: lists, tasks and the data between them.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/error_registry.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "services/workflow/engine/paths.h"
#include "services/workflow/engine/run_task.h"

namespace metamcp::workflow {
namespace {

constexpr std::string_view kErrorTypes =
    "https://open-workflow-specification.org/dsl/errors/types/";

// How long the answer holds that a run's principal may still act.
constexpr int64_t kAdmitUs = 500'000;

// Rows that may wait for the next commit.
constexpr size_t kDeferredMax = 256;
constexpr size_t kDeferredBytesMax = 4u << 20;

}  // namespace

Outcome RunTask::Stop() {
  Outcome out;
  out.kind = Outcome::kStop;
  return out;
}

Outcome RunTask::Fault(std::string_view type, int64_t status, std::string_view title,
                       std::string_view detail, const std::string& path) {
  json::ObjectWriter error;
  error.AddString("type", StrCat(kErrorTypes, type));
  error.AddInt("status", status);
  error.AddString("title", title);
  if (!detail.empty()) error.AddString("detail", detail);
  error.AddString("instance", PlainPath(path));
  Outcome out;
  out.kind = Outcome::kFault;
  out.error = std::move(error).Build();
  return out;
}

Outcome RunTask::FaultOf(const absl::Status& status, const std::string& path) {
  const auto info = GetErrorInfo(status);
  const std::string reason = info ? info->reason : "";
  const std::string_view message = Sv(status.message());
  if (reason == "EXPRESSION_INVALID" || reason == "EXPRESSION_FAILED") {
    return Fault("expression", 400, "Expression failed", message, path);
  }
  if (absl::IsDeadlineExceeded(status)) return Fault("timeout", 408, "Timeout", message, path);
  if (absl::IsPermissionDenied(status) || absl::IsUnauthenticated(status)) {
    return Fault("authorization", 403, "Not allowed", message, path);
  }
  const ErrorEntry* entry = FindError(reason);
  const int http = entry == nullptr || entry->http == 200 ? 500 : entry->http;
  return Fault("communication", http, reason.empty() ? "Call failed" : reason, message, path);
}

Awaitable<Outcome> RunTask::RunList(const std::vector<Task>& tasks, std::string base,
                                    std::string input, std::string context, Scope scope) {
  std::map<size_t, int> visits;
  size_t at = 0;
  while (at < tasks.size()) {
    const Task& task = tasks[at];
    std::string path = StrCat(base, "/", at, "/", EscapePart(task.name));
    const int visit = ++visits[at];
    if (visit > 1) path += StrCat("@", visit);
    auto running = RunOne(task, path, input, context, scope);
    Outcome outcome = co_await std::move(running);
    if (outcome.kind != Outcome::kDone) co_return outcome;
    input = std::move(outcome.output);
    context = std::move(outcome.context);
    if (outcome.next == "end" || outcome.next == "exit") {
      Outcome out;
      out.output = std::move(input);
      out.context = std::move(context);
      if (outcome.next == "end") out.next = "end";
      co_return out;
    }
    ++at;
    if (!outcome.next.empty()) {
      const auto target = std::find_if(tasks.begin(), tasks.end(),
                                       [&](const Task& one) { return one.name == outcome.next; });
      at = static_cast<size_t>(target - tasks.begin());
    }
  }
  Outcome out;
  out.output = std::move(input);
  out.context = std::move(context);
  co_return out;
}

Awaitable<Outcome> RunTask::RunOne(const Task& task, std::string path, std::string input,
                                   std::string context, Scope scope) {
  StepRow* known = Find(path);
  if (known != nullptr && (known->state == "done" || known->state == "skipped")) {
    Outcome out;
    out.output = known->output;
    out.context = known->context;
    out.next = known->next;
    co_return out;
  }
  if (lost_) co_return Stop();
  if (NowMicros() >= admit_again_us_) {
    const CallContext ctx = Context();
    auto admitting = parts_.caller.Admit(ctx);
    const absl::Status admitted = co_await std::move(admitting);
    if (absl::IsUnauthenticated(admitted)) co_return FaultOf(admitted, path);
    admit_again_us_ = NowMicros() + kAdmitUs;
  }
  if (++executed_ > parts_.limits.steps_per_run_max) {
    co_return Fault("runtime", 500, "Too many steps",
                    StrCat("the run takes more than ", parts_.limits.steps_per_run_max, " steps"),
                    path);
  }
  if (stored_bytes_ > parts_.limits.run_bytes_max && run_.phase == "forward") {
    co_return Fault(
        "runtime", 500, "Too much data",
        StrCat("the results of the run's steps exceed ", parts_.limits.run_bytes_max, " bytes"),
        path);
  }
  // What needs no storing by itself is stored now and then, which also lets others have a turn.
  if (deferred_.size() >= kDeferredMax || deferred_bytes_ >= kDeferredBytesMax) {
    auto storing = Durable(MakeCommit());
    const absl::Status stored = co_await std::move(storing);
    if (!stored.ok()) co_return Stop();
  }
  auto acting = RunAction(task, path, std::move(input), std::move(context), std::move(scope));
  if (!task.timeout) {
    Outcome outcome = co_await std::move(acting);
    if (outcome.kind == Outcome::kFault && outcome.next.empty()) outcome.next = task.on_error;
    co_return outcome;
  }
  int64_t ms = task.timeout->ms;
  if (task.timeout->expression) {
    Frame frame;
    auto reading = Milliseconds(*task.timeout, &task, path, frame);
    const auto read = co_await std::move(reading);
    if (!read.ok()) co_return FaultOf(read.status(), path);
    ms = *read;
  }
  // After a crash the time goes on from where the task began.
  const std::string mark_path = path + "#timeout";
  if (Find(mark_path) == nullptr) {
    StepRow mark = NewRow(task, mark_path);
    mark.kind = "timeout";
    mark.state = "mark";
    mark.compensable = false;
    Defer(std::move(mark), "");
  }
  const int64_t left_us = Find(mark_path)->started_us + ms * 1000 - NowMicros();
  auto outcome = std::make_shared<Outcome>(Stop());
  struct Runner {
    static Awaitable<absl::Status> Run(Awaitable<Outcome> op, std::shared_ptr<Outcome> out) {
      *out = co_await std::move(op);
      co_return absl::OkStatus();
    }
  };
  const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(left_us);
  auto bounded = RunUntil(until, Runner::Run(std::move(acting), outcome));
  const absl::Status status = co_await std::move(bounded);
  if (absl::IsDeadlineExceeded(status)) {
    Abandon(path, "failed");
    *outcome = Fault("timeout", 408, "Timeout", "the task took longer than it may", path);
  }
  if (outcome->kind == Outcome::kFault && outcome->next.empty()) outcome->next = task.on_error;
  co_return *outcome;
}

// What was under way there was cut off. A later walk must not take it for what a crash left.
void RunTask::Abandon(const std::string& path, const std::string& state) {
  Orphan(path);
  std::vector<StepRow> left;
  for (auto it = steps_.lower_bound(path); it != steps_.end() && it->first.starts_with(path);
       ++it) {
    const StepRow& row = it->second;
    if ((row.state == "started" || row.state == "waiting") && IsBelow(it->first, path)) {
      left.push_back(row);
    }
  }
  for (StepRow& row : left) {
    row.unsettled = row.state == "started";
    row.state = row.unsettled ? state : "cancelled";
    if (row.unsettled && state == "failed") {
      row.error = Fault("timeout", 408, "Timeout", "the task took longer than it may", path).error;
    }
    row.ended_us = NowMicros();
    const bool failed = row.state == "failed";
    Defer(std::move(row), failed ? "step.failed" : "");
  }
}

Awaitable<Outcome> RunTask::RunAction(const Task& task, std::string path, std::string input,
                                      std::string context, Scope scope) {
  auto resolving = Resolve(&input, &context);
  const absl::Status resolved = co_await std::move(resolving);
  if (!resolved.ok()) co_return FaultOf(resolved, path);
  Frame frame;
  frame.input = input;
  frame.context = context;
  frame.scope = std::move(scope);
  if (task.condition) {
    auto testing = Test(*task.condition, input, &task, path, frame);
    const auto holds = co_await std::move(testing);
    if (!holds.ok()) co_return FaultOf(holds.status(), path);
    if (!*holds) {
      StepRow row = NewRow(task, path);
      row.state = "skipped";
      row.compensable = false;
      row.output = input;
      row.context = context;
      row.ended_us = row.started_us;
      Defer(std::move(row), "step.skipped");
      Outcome out;
      out.output = std::move(input);
      out.context = std::move(context);
      co_return out;
    }
  }
  if (task.input_from) {
    auto evaluating = Evaluate(*task.input_from, std::move(input), &task, path, frame, "");
    auto filtered = co_await std::move(evaluating);
    if (!filtered.ok()) co_return FaultOf(filtered.status(), path);
    frame.input = *std::move(filtered);
  }
  StepRow* known = Find(path);
  Outcome outcome;
  outcome.context = frame.context;
  if (known != nullptr && known->state == "effect") {
    outcome.output = known->output;
  } else {
    auto dispatching = Dispatch(task, path, frame);
    outcome = co_await std::move(dispatching);
    if (outcome.kind != Outcome::kDone) co_return outcome;
  }
  auto concluding = Conclude(task, path, std::move(frame), std::move(outcome));
  co_return co_await std::move(concluding);
}

Awaitable<Outcome> RunTask::Dispatch(const Task& task, std::string path, Frame frame) {
  switch (task.kind) {
    case TaskKind::kDo:
      return RunList(task.tasks, path + "/do", frame.input, frame.context, frame.scope);
    case TaskKind::kFor:
      return DoFor(task, std::move(path), std::move(frame));
    case TaskKind::kFork:
      return DoFork(task, std::move(path), std::move(frame));
    case TaskKind::kSwitch:
      return DoSwitch(task, std::move(path), std::move(frame));
    case TaskKind::kTry:
      return DoTry(task, std::move(path), std::move(frame));
    case TaskKind::kRaise:
      return DoRaise(task, std::move(path), std::move(frame));
    case TaskKind::kSet:
      return DoSet(task, std::move(path), std::move(frame));
    case TaskKind::kTool:
      return DoTool(task, std::move(path), std::move(frame));
    case TaskKind::kHttp:
      return DoHttp(task, std::move(path), std::move(frame));
    case TaskKind::kApproval:
      return DoApproval(task, std::move(path), std::move(frame));
    case TaskKind::kWait:
      return DoWait(task, std::move(path), std::move(frame));
    case TaskKind::kListen:
      return DoListen(task, std::move(path), std::move(frame));
    case TaskKind::kEmit:
      return DoEmit(task, std::move(path), std::move(frame));
    case TaskKind::kRun:
      return DoRun(task, std::move(path), std::move(frame));
  }
  return DoSet(task, std::move(path), std::move(frame));
}

// The output and the context as the task shapes them, and its checkpoint.
Awaitable<Outcome> RunTask::Conclude(const Task& task, std::string path, Frame frame,
                                     Outcome outcome) {
  if (task.output_as || task.export_as) {
    auto resolving = Resolve(&outcome.output, &outcome.context);
    const absl::Status resolved = co_await std::move(resolving);
    if (!resolved.ok()) co_return FaultOf(resolved, path);
  }
  const std::string raw = outcome.output;
  frame.context = outcome.context;
  if (task.output_as) {
    auto evaluating = Evaluate(*task.output_as, raw, &task, path, frame, raw);
    auto shaped = co_await std::move(evaluating);
    if (!shaped.ok()) co_return FaultOf(shaped.status(), path);
    outcome.output = *std::move(shaped);
  }
  if (task.export_as) {
    auto evaluating = Evaluate(*task.export_as, outcome.output, &task, path, frame, outcome.output);
    auto exported = co_await std::move(evaluating);
    if (!exported.ok()) co_return FaultOf(exported.status(), path);
    outcome.context = *std::move(exported);
  }
  if (outcome.next.empty()) outcome.next = task.then;
  StepRow* known = Find(path);
  StepRow row = known != nullptr && known->state == "effect" ? *known : NewRow(task, path);
  if (known != nullptr && known->state != "effect") {
    const bool again = known->state == "retried" || known->state == "failed" ||
                       known->state == "superseded" || known->state == "cancelled";
    row.attempt = known->attempt + (again ? 1 : 0);
    row.started_us = known->started_us;
  }
  row.state = "done";
  row.output = outcome.output;
  row.context = outcome.context;
  row.next = outcome.next;
  row.ended_us = NowMicros();
  if (row.compensable) {
    nlohmann::ordered_json names = nlohmann::ordered_json::object();
    for (const auto& [name, value] : frame.scope) {
      if (auto parsed = json::ParseOrderedJson(value); parsed.ok())
        names[name] = *std::move(parsed);
    }
    row.detail = json::DumpJson(names);
  }
  Defer(std::move(row), "step.done");
  co_return outcome;
}

Awaitable<absl::StatusOr<std::string>> RunTask::Evaluate(const Template& body, std::string data,
                                                         const Task* task, std::string path,
                                                         const Frame& frame, std::string output) {
  if (body.constant) co_return body.text;
  std::set<std::string> bound = {"context", "input",   "workflow",
                                 "runtime", "secrets", "authorization"};
  json::ObjectWriter names;
  const auto wanted = [&](const char* name) { return body.variables.count(name) > 0; };
  if (wanted("context")) names.Add("context", frame.context);
  if (wanted("input")) names.Add("input", frame.input);
  if (!output.empty()) {
    bound.insert("output");
    if (wanted("output")) names.Add("output", output);
  }
  if (wanted("workflow")) {
    json::ObjectWriter workflow;
    workflow.AddString("id", run_.id);
    workflow.Add("input", run_.input);
    workflow.Add("definition", definition_->document);
    workflow.AddInt("startedAtMs", run_.created_us / 1000);
    names.Add("workflow", std::move(workflow).Build());
  }
  if (wanted("runtime")) names.Add("runtime", R"({"name":"meta-mcp","version":"0.1.0"})");
  if (wanted("secrets")) names.Add("secrets", "{}");
  if (wanted("authorization")) names.Add("authorization", "null");
  if (task != nullptr) {
    bound.insert("task");
    if (wanted("task")) {
      json::ObjectWriter self;
      self.AddString("name", task->name);
      self.AddString("reference", PlainPath(path));
      self.Add("input", frame.input);
      names.Add("task", std::move(self).Build());
    }
  }
  for (const auto& [name, value] : frame.scope) {
    bound.insert(name);
    if (body.variables.count(name) > 0) names.Add(name, value);
  }
  std::string input = StrCat("{\"d\":", data, ",\"v\":", std::move(names).Build(), "}");
  auto evaluating = parts_.jq.Evaluate(MakeProgram(body, bound), std::move(input));
  co_return co_await std::move(evaluating);
}

Awaitable<absl::StatusOr<bool>> RunTask::Test(const Template& body, std::string data,
                                              const Task* task, std::string path,
                                              const Frame& frame) {
  auto evaluating = Evaluate(body, std::move(data), task, path, frame, "");
  const auto value = co_await std::move(evaluating);
  if (!value.ok()) co_return value.status();
  co_return *value != "false" && *value != "null";
}

Awaitable<absl::StatusOr<int64_t>> RunTask::Milliseconds(const DurationSpec& spec, const Task* task,
                                                         std::string path, const Frame& frame) {
  if (!spec.expression) co_return spec.ms;
  auto evaluating = Evaluate(*spec.expression, frame.input, task, path, frame, "");
  const auto value = co_await std::move(evaluating);
  if (!value.ok()) co_return value.status();
  const auto ms = DurationMs(*value);
  if (!ms.ok()) {
    co_return MakeError("EXPRESSION_FAILED", "workflow",
                        StrCat("the duration ", Sv(ms.status().message())));
  }
  co_return *ms;
}

}  // namespace metamcp::workflow
