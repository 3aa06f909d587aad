// Tasks that wait: for time, people, events and other runs. A wait is on record before it begins
// and goes on after a crash.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/time/time.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "services/workflow/engine/run_task.h"

namespace metamcp::workflow {

const DecisionRow* RunTask::DecisionFor(const std::string& path, int64_t attempt) const {
  for (const DecisionRow& one : decisions_) {
    if (one.path == path && one.attempt == attempt) return &one;
  }
  return nullptr;
}

Awaitable<RunTask::Answer> RunTask::WaitFor(StepRow row) {
  Answer answer;
  const StepRow* known = Find(row.path);
  const bool on_record =
      known != nullptr && known->state == "waiting" && known->attempt == row.attempt;
  if (on_record) {
    row = *known;
  } else if (known != nullptr && known->state == "done" && known->attempt == row.attempt) {
    answer.kind = Answer::kAnswered;
    answer.decision = known->output;
    co_return answer;
  } else {
    row.state = "waiting";
    Defer(row, "step.waiting");
  }
  ++waits_;
  const auto due = dues_.insert(row.due_us > 0 ? row.due_us : INT64_MAX);
  struct Counted {
    ~Counted() {
      --self->waits_;
      self->dues_.erase(due);
    }
    RunTask* self;
    std::multiset<int64_t>::iterator due;
  } counted{this, due};
  if (!on_record || DesiredState() != state_) {
    auto committing = Durable(MakeCommit());
    const absl::Status stored = co_await std::move(committing);
    if (!stored.ok()) co_return answer;
  }
  for (;;) {
    if (lost_ || Paused()) co_return answer;
    if (const DecisionRow* decision = DecisionFor(row.path, row.attempt)) {
      answer.kind = Answer::kAnswered;
      answer.decision = decision->decision;
      co_return answer;
    }
    const int64_t now = NowMicros();
    if (row.due_us > 0 && now >= row.due_us) {
      answer.kind = Answer::kDue;
      co_return answer;
    }
    std::optional<boost::asio::steady_timer> timer;
    if (row.due_us > 0) {
      timer.emplace(parts_.executor, std::chrono::microseconds(row.due_us - now));
      timer->async_wait([this](const boost::system::error_code& error) {
        if (!error) changed_.Notify();
      });
    }
    co_await changed_.Wait();
  }
}

Awaitable<Outcome> RunTask::WaitUntil(const Task& task, std::string path, int64_t ms) {
  const StepRow* known = Find(path);
  if (known != nullptr && known->state == "done") co_return Outcome();
  StepRow row = NewRow(task, path);
  row.kind = "wait";
  row.compensable = false;
  row.due_us = row.started_us + std::max<int64_t>(ms, 1) * 1000;
  auto waiting = WaitFor(row);
  const Answer answer = co_await std::move(waiting);
  if (answer.kind == Answer::kStopped) co_return Stop();
  row = *Find(path);
  row.state = "done";
  row.ended_us = NowMicros();
  Defer(std::move(row), "");
  co_return Outcome();
}

Awaitable<Outcome> RunTask::DoWait(const Task& task, std::string path, Frame frame) {
  auto reading = Milliseconds(task.wait, &task, path, frame);
  const auto ms = co_await std::move(reading);
  if (!ms.ok()) co_return FaultOf(ms.status(), path);
  auto waiting = WaitUntil(task, path + "#wait", *ms);
  Outcome out = co_await std::move(waiting);
  out.output = frame.input;
  out.context = frame.context;
  co_return out;
}

Awaitable<Outcome> RunTask::DoApproval(const Task& task, std::string path, Frame frame) {
  auto evaluating = Evaluate(task.value, frame.input, &task, path, frame, "");
  const auto shown = co_await std::move(evaluating);
  if (!shown.ok()) co_return FaultOf(shown.status(), path);
  auto reading = Milliseconds(task.wait, &task, path, frame);
  const auto expires = co_await std::move(reading);
  if (!expires.ok()) co_return FaultOf(expires.status(), path);
  StepRow row = NewRow(task, path + "#approval");
  row.kind = "approval";
  row.compensable = false;
  row.detail = *shown;
  if (*expires > 0) row.due_us = row.started_us + *expires * 1000;
  auto waiting = WaitFor(row);
  const Answer answer = co_await std::move(waiting);
  if (answer.kind == Answer::kStopped) co_return Stop();
  row = *Find(path + "#approval");
  row.state = "done";
  row.output = answer.kind == Answer::kDue ? R"({"action":"expired"})" : answer.decision;
  row.ended_us = NowMicros();
  const auto decision = json::ParseOrderedJson(row.output);
  Defer(row, "");
  Outcome out;
  out.context = frame.context;
  out.output = row.output;
  const std::string action =
      decision.ok() && decision->contains("action") ? (*decision)["action"].get<std::string>() : "";
  if (action == "approve") co_return out;
  co_return Fault("authorization", 403, action == "expired" ? "Approval expired" : "Not approved",
                  decision.ok() && decision->contains("comment")
                      ? (*decision)["comment"].get<std::string>()
                      : std::string(),
                  path);
}

Awaitable<Outcome> RunTask::DoEmit(const Task& task, std::string path, Frame frame) {
  auto evaluating = Evaluate(task.value, frame.input, &task, path, frame, "");
  const auto value = co_await std::move(evaluating);
  if (!value.ok()) co_return FaultOf(value.status(), path);
  auto event = json::ParseOrderedJson(*value);
  if (!event.ok() || !event->is_object()) {
    co_return Fault("validation", 400, "Not an event", "an event is an object", path);
  }
  if (!event->contains("id")) (*event)["id"] = ItemUuidV5(StrCat(run_.id, path));
  if (!event->contains("specversion")) (*event)["specversion"] = "1.0";
  if (!event->contains("time")) {
    (*event)["time"] = absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone());
  }
  StepRow row = NewRow(task, path);
  row.state = "effect";
  row.output = json::DumpJson(*event);
  row.context = frame.context;
  row.ended_us = NowMicros();
  Outcome out;
  out.output = row.output;
  out.context = frame.context;
  Defer(std::move(row), "");
  RunCommit commit = MakeCommit();
  commit.bus.push_back(out.output);
  auto committing = Durable(std::move(commit));
  const absl::Status stored = co_await std::move(committing);
  if (!stored.ok()) co_return Stop();
  parts_.host.PokeListeners();
  co_return out;
}

Awaitable<absl::StatusOr<bool>> RunTask::Matches(const EventFilter& filter, const Task* task,
                                                 std::string path, const Frame& frame,
                                                 std::string event) {
  const auto parsed = json::ParseOrderedJson(event);
  if (!parsed.ok() || !parsed->is_object()) co_return false;
  for (const auto& [attribute, wanted] : filter.with) {
    const auto it = parsed->find(attribute);
    if (wanted.constant) {
      const auto value = json::ParseOrderedJson(wanted.text);
      if (it == parsed->end() || !value.ok() || *value != *it) co_return false;
      continue;
    }
    // An expression is a condition on the attribute's value, or the value that it must have.
    auto evaluating = Evaluate(wanted, event, task, path, frame, "");
    const auto value = co_await std::move(evaluating);
    if (!value.ok()) co_return value.status();
    if (*value == "true") continue;
    const auto text = json::ParseOrderedJson(*value);
    if (*value == "false" || it == parsed->end() || !text.ok() || *text != *it) co_return false;
  }
  co_return true;
}

// The output is a list of the events' data, one for `one` and `any`, one each for `all`.
Awaitable<Outcome> RunTask::DoListen(const Task& task, std::string path, Frame frame) {
  const std::string at = path + "#listen";
  StepRow row = NewRow(task, at);
  row.kind = "listen";
  row.compensable = false;
  if (const StepRow* known = Find(at); known != nullptr && known->state == "waiting") {
    row = *known;
  } else {
    // Events from now on count. The place goes with the record, so that a crash misses none.
    auto heading = parts_.host.BusHead(run_.tenant);
    const auto head = co_await std::move(heading);
    if (!head.ok()) co_return FaultOf(head.status(), path);
    row.detail = StrCat("{\"after\":", *head, "}");
    row.state = "waiting";
    Defer(row, "step.waiting");
  }
  const auto start = json::ParseOrderedJson(row.detail);
  int64_t after = start.ok() ? (*start)["after"].get<int64_t>() : 0;
  ++waits_;
  ++listening_;
  struct Counted {
    ~Counted() {
      --self->waits_;
      --self->listening_;
    }
    RunTask* self;
  } counted{this};
  auto committing = Durable(MakeCommit());
  const absl::Status stored = co_await std::move(committing);
  if (!stored.ok()) co_return Stop();
  std::vector<std::string> taken(task.events.size());
  for (;;) {
    if (lost_ || Paused()) co_return Stop();
    auto reading = parts_.host.ReadBus(run_.tenant, after);
    const auto events = co_await std::move(reading);
    if (events.ok()) {
      for (const BusEvent& event : *events) {
        after = event.seq;
        for (size_t i = 0; i < task.events.size(); ++i) {
          if (!taken[i].empty()) continue;
          auto matching = Matches(task.events[i], &task, path, frame, event.event);
          const auto matches = co_await std::move(matching);
          if (!matches.ok()) co_return FaultOf(matches.status(), path);
          if (!*matches) continue;
          const auto parsed = json::ParseOrderedJson(event.event);
          taken[i] = parsed->contains("data") ? json::DumpJson((*parsed)["data"]) : "null";
          break;
        }
        const auto have = std::count_if(taken.begin(), taken.end(),
                                        [](const std::string& one) { return !one.empty(); });
        const size_t wanted = task.listen_all ? taken.size() : 1;
        if (static_cast<size_t>(have) < wanted) continue;
        std::vector<std::string> list;
        for (std::string& one : taken) {
          if (!one.empty()) list.push_back(std::move(one));
        }
        row.state = "done";
        row.ended_us = NowMicros();
        Outcome out;
        out.output = json::JoinArray(list);
        out.context = frame.context;
        row.output = out.output;
        Defer(row, "");
        StepRow result = NewRow(task, path);
        result.state = "effect";
        result.output = out.output;
        result.context = out.context;
        Defer(std::move(result), "");
        co_return out;
      }
      if (!events->empty()) continue;
    }
    co_await changed_.Wait();
  }
}

Awaitable<Outcome> RunTask::DoRun(const Task& task, std::string path, Frame frame) {
  auto evaluating = Evaluate(task.value, frame.input, &task, path, frame, "");
  const auto input = co_await std::move(evaluating);
  if (!input.ok()) co_return FaultOf(input.status(), path);
  // The child's key is its place, so that a crash starts it once.
  auto starting = parts_.host.StartChild(run_, path, task.child_namespace, task.child_name,
                                         task.child_version, *input);
  auto child = co_await std::move(starting);
  if (!child.ok()) co_return FaultOf(child.status(), path);
  Outcome out;
  out.context = frame.context;
  if (!task.child_await) {
    out.output = frame.input;
    co_return out;
  }
  const std::string at = path + "#run";
  StepRow row = NewRow(task, at);
  row.kind = "child";
  row.compensable = false;
  row.detail = StrCat("{\"run\":", json::JsonQuote(child->id), "}");
  row.state = "waiting";
  if (Find(at) == nullptr) Defer(row, "step.waiting");
  ++waits_;
  const auto due = dues_.insert(INT64_MAX);
  struct Counted {
    ~Counted() {
      --self->waits_;
      self->dues_.erase(due);
    }
    RunTask* self;
    std::multiset<int64_t>::iterator due;
  } counted{this, due};
  if (!deferred_.empty()) {
    auto committing = Durable(MakeCommit());
    const absl::Status stored = co_await std::move(committing);
    if (!stored.ok()) co_return Stop();
  }
  for (;;) {
    auto reading = parts_.host.GetRun(run_.tenant, child->id);
    const auto now = co_await std::move(reading);
    if (now.ok() && IsFinal(now->state)) {
      row.state = "done";
      row.ended_us = NowMicros();
      Defer(row, "");
      if (now->state == run_state::kCompleted) {
        out.output = now->output.empty() ? "null" : now->output;
        co_return out;
      }
      if (now->state == run_state::kFailed && !now->error.empty()) {
        out.kind = Outcome::kFault;
        out.error = now->error;
        co_return out;
      }
      co_return Fault("runtime", 500, StrCat("The run of ", task.child_name, " is ", now->state),
                      "", path);
    }
    if (lost_ || Paused()) co_return Stop();
    co_await changed_.Wait();
  }
}

}  // namespace metamcp::workflow
