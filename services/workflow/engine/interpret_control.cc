// Tasks that steer others.

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "services/workflow/engine/run_task.h"

namespace metamcp::workflow {
namespace {

using Json = nlohmann::ordered_json;

// The part of an error type that names it, of the prefixes that the specification has used.
std::string_view TypeName(std::string_view type) {
  for (const std::string_view prefix :
       {"https://open-workflow-specification.org/dsl/errors/types/",
        "https://open-workflow-specification.org/spec/1.0.0/errors/",
        "https://serverlessworkflow.io/dsl/errors/types/",
        "https://serverlessworkflow.io/spec/1.0.0/errors/"}) {
    if (type.starts_with(prefix)) return type.substr(prefix.size());
  }
  return type;
}

bool FilterMatches(const ErrorFilter& filter, const Json& error) {
  const auto text = [&](const char* key) {
    const auto it = error.find(key);
    return it != error.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  if (filter.type && TypeName(*filter.type) != TypeName(text("type"))) return false;
  if (filter.title && *filter.title != text("title")) return false;
  if (filter.detail && *filter.detail != text("detail")) return false;
  if (filter.instance && *filter.instance != text("instance")) return false;
  if (!filter.status) return true;
  const auto status = error.find("status");
  return status != error.end() && status->is_number_integer() &&
         status->get<int64_t>() == *filter.status;
}

}  // namespace

Awaitable<Outcome> RunTask::DoSet(const Task& task, std::string path, Frame frame) {
  auto evaluating = Evaluate(task.value, frame.input, &task, path, frame, "");
  auto value = co_await std::move(evaluating);
  if (!value.ok()) co_return FaultOf(value.status(), path);
  Outcome out;
  out.output = *std::move(value);
  out.context = frame.context;
  co_return out;
}

Awaitable<Outcome> RunTask::DoFor(const Task& task, std::string path, Frame frame) {
  auto evaluating = Evaluate(task.in, frame.input, &task, path, frame, "");
  const auto list = co_await std::move(evaluating);
  if (!list.ok()) co_return FaultOf(list.status(), path);
  const auto items = json::ScanArray(*list);
  if (!items.ok()) {
    co_return Fault("validation", 400, "Nothing to go through", "`in` is not a list", path);
  }
  if (static_cast<int64_t>(items->size()) > parts_.limits.rounds_max) {
    co_return Fault("runtime", 500, "Too many rounds",
                    StrCat("the list has more than ", parts_.limits.rounds_max, " elements"), path);
  }
  Outcome out;
  out.output = frame.input;
  out.context = frame.context;
  for (size_t i = 0; i < items->size(); ++i) {
    Scope scope = frame.scope;
    scope[task.each] = std::string((*items)[i].raw);
    scope[task.at] = StrCat(i);
    Frame round;
    round.input = out.output;
    round.context = out.context;
    round.scope = scope;
    if (task.while_true) {
      auto resolving = Resolve(&out.output, &out.context);
      const absl::Status resolved = co_await std::move(resolving);
      if (!resolved.ok()) co_return FaultOf(resolved, path);
      round.input = out.output;
      round.context = out.context;
      auto testing = Test(*task.while_true, out.output, &task, path, round);
      const auto holds = co_await std::move(testing);
      if (!holds.ok()) co_return FaultOf(holds.status(), path);
      if (!*holds) break;
    }
    std::string base = StrCat(path, "[", i, "]/do");
    auto running = RunList(task.tasks, std::move(base), out.output, out.context, std::move(scope));
    Outcome one = co_await std::move(running);
    if (one.kind != Outcome::kDone) co_return one;
    out.output = std::move(one.output);
    out.context = std::move(one.context);
    if (one.next == "end") {
      out.next = "end";
      break;
    }
  }
  co_return out;
}

Awaitable<Outcome> RunTask::DoSwitch(const Task& task, std::string path, Frame frame) {
  Outcome out;
  out.output = frame.input;
  out.context = frame.context;
  const SwitchCase* chosen = nullptr;
  for (const SwitchCase& one : task.cases) {
    if (!one.when) {
      if (chosen == nullptr) chosen = &one;
      continue;
    }
    auto testing = Test(*one.when, frame.input, &task, path, frame);
    const auto holds = co_await std::move(testing);
    if (!holds.ok()) co_return FaultOf(holds.status(), path);
    if (!*holds) continue;
    chosen = &one;
    break;
  }
  if (chosen != nullptr && chosen->then != "continue") out.next = chosen->then;
  if (chosen != nullptr && chosen->then == "continue") out.next.clear();
  co_return out;
}

Awaitable<absl::StatusOr<bool>> RunTask::Catches(const Task& task, std::string path,
                                                 const Frame& frame, std::string error) {
  const auto parsed = json::ParseOrderedJson(error);
  if (!parsed.ok() || !FilterMatches(task.filter, *parsed)) co_return false;
  if (task.catch_when) {
    auto testing = Test(*task.catch_when, frame.input, &task, path, frame);
    const auto holds = co_await std::move(testing);
    if (!holds.ok() || !*holds) co_return holds;
  }
  if (task.catch_except_when) {
    auto testing = Test(*task.catch_except_when, frame.input, &task, path, frame);
    const auto holds = co_await std::move(testing);
    if (!holds.ok()) co_return holds;
    co_return !*holds;
  }
  co_return true;
}

// How long to wait before the next attempt; none: there is none.
Awaitable<absl::StatusOr<std::optional<int64_t>>> RunTask::RetryDelay(const Task& task,
                                                                      std::string path,
                                                                      const Frame& frame,
                                                                      int64_t attempt) {
  using Result = absl::StatusOr<std::optional<int64_t>>;
  if (!task.retry) co_return Result(std::nullopt);
  const RetryPolicy& retry = *task.retry;
  if (retry.count_max > 0 && attempt >= retry.count_max) co_return Result(std::nullopt);
  if (retry.when) {
    auto testing = Test(*retry.when, frame.input, &task, path, frame);
    const auto holds = co_await std::move(testing);
    if (!holds.ok()) co_return holds.status();
    if (!*holds) co_return Result(std::nullopt);
  }
  if (retry.except_when) {
    auto testing = Test(*retry.except_when, frame.input, &task, path, frame);
    const auto holds = co_await std::move(testing);
    if (!holds.ok()) co_return holds.status();
    if (*holds) co_return Result(std::nullopt);
  }
  auto reading = Milliseconds(retry.delay, &task, path, frame);
  const auto delay = co_await std::move(reading);
  if (!delay.ok()) co_return delay.status();
  int64_t ms = *delay;
  if (retry.backoff == RetryPolicy::Backoff::kLinear) ms *= attempt;
  if (retry.backoff == RetryPolicy::Backoff::kExponential) {
    ms <<= std::min<int64_t>(attempt - 1, 20);
  }
  if (retry.jitter_to_ms > retry.jitter_from_ms) {
    thread_local std::mt19937_64 random{std::random_device{}()};
    ms += std::uniform_int_distribution<int64_t>(retry.jitter_from_ms, retry.jitter_to_ms)(random);
  }
  if (retry.duration_max) {
    const StepRow* mark = Find(path + "#timeout");
    const int64_t began = mark != nullptr ? mark->started_us : NowMicros();
    auto bounding = Milliseconds(*retry.duration_max, &task, path, frame);
    const auto most = co_await std::move(bounding);
    if (!most.ok()) co_return most.status();
    if (NowMicros() + ms * 1000 > began + *most * 1000) co_return Result(std::nullopt);
  }
  co_return Result(ms);
}

Awaitable<Outcome> RunTask::DoTry(const Task& task, std::string path, Frame frame) {
  if (task.retry && task.retry->duration_max && Find(path + "#timeout") == nullptr) {
    StepRow mark = NewRow(task, path + "#timeout");
    mark.kind = "timeout";
    mark.state = "mark";
    mark.compensable = false;
    Defer(std::move(mark), "");
  }
  for (int64_t attempt = 1;; ++attempt) {
    std::string base = path + "/try";
    if (attempt > 1) base += StrCat("#", attempt);
    auto running = RunList(task.tasks, std::move(base), frame.input, frame.context, frame.scope);
    Outcome outcome = co_await std::move(running);
    if (outcome.kind != Outcome::kFault) co_return outcome;
    Frame caught = frame;
    caught.scope[task.error_as] = outcome.error;
    auto catching = Catches(task, path, caught, outcome.error);
    const auto catches = co_await std::move(catching);
    if (!catches.ok()) co_return FaultOf(catches.status(), path);
    if (!*catches) co_return outcome;
    auto delaying = RetryDelay(task, path, caught, attempt);
    const auto delay = co_await std::move(delaying);
    if (!delay.ok()) co_return FaultOf(delay.status(), path);
    if (*delay) {
      auto waiting = WaitUntil(task, StrCat(path, "/retry#", attempt), **delay);
      Outcome waited = co_await std::move(waiting);
      if (waited.kind != Outcome::kDone) co_return waited;
      continue;
    }
    // With a policy whose attempts are used up the error stands, unless something handles it.
    if (task.retry && task.handler.empty() && task.catch_then.empty()) co_return outcome;
    Outcome out;
    out.output = frame.input;
    out.context = frame.context;
    if (!task.handler.empty()) {
      auto handling =
          RunList(task.handler, path + "/catch/do", frame.input, frame.context, caught.scope);
      out = co_await std::move(handling);
    }
    if (out.kind == Outcome::kDone && out.next.empty()) out.next = task.catch_then;
    co_return out;
  }
}

Awaitable<Outcome> RunTask::DoRaise(const Task& task, std::string path, Frame frame) {
  auto evaluating = Evaluate(task.value, frame.input, &task, path, frame, "");
  const auto value = co_await std::move(evaluating);
  if (!value.ok()) co_return FaultOf(value.status(), path);
  auto error = json::ParseOrderedJson(*value);
  if (!error.ok() || !error->is_object()) {
    co_return Fault("validation", 400, "Not an error", "raise needs an object", path);
  }
  if (!error->contains("instance")) (*error)["instance"] = path;
  Outcome out;
  out.kind = Outcome::kFault;
  out.error = json::DumpJson(*error);
  co_return out;
}

}  // namespace metamcp::workflow
