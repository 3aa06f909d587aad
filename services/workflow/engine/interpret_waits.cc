// Tasks that wait: for time, people, events and other runs. A wait is on record before it begins
// and goes on after a crash.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/splice.h"
#include "services/workflow/engine/run_task.h"

namespace metamcp::workflow {

Awaitable<RunTask::Answer> RunTask::WaitFor(StepRow row) {
  Answer answer;
  const StepRow* known = Find(row.path);
  const bool on_record =
      known != nullptr && known->state == "waiting" && known->attempt == row.attempt;
  if (on_record) {
    row = *known;
  } else if (known != nullptr && (known->state == "done" || known->state == "failed") &&
             known->attempt == row.attempt) {
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
  Outcome passed;
  passed.output = frame.input;
  passed.context = frame.context;
  auto reading = Milliseconds(task.wait, &task, path, frame);
  const auto ms = co_await std::move(reading);
  if (!ms.ok()) co_return FaultOf(ms.status(), path);
  if (dry()) co_return passed;
  auto waiting = WaitUntil(task, path + "#wait", *ms);
  const Outcome out = co_await std::move(waiting);
  if (out.kind != Outcome::kDone) co_return out;
  co_return passed;
}

Awaitable<Outcome> RunTask::DoApproval(const Task& task, std::string path, Frame frame) {
  auto evaluating = Evaluate(task.value, frame.input, &task, path, frame, "");
  const auto shown = co_await std::move(evaluating);
  if (!shown.ok()) co_return FaultOf(shown.status(), path);
  auto reading = Milliseconds(task.wait, &task, path, frame);
  const auto expires = co_await std::move(reading);
  if (!expires.ok()) co_return FaultOf(expires.status(), path);
  if (dry()) {
    Outcome out;
    out.context = frame.context;
    out.output = R"({"action":"approve","by":"dry run"})";
    co_return out;
  }
  StepRow row = NewRow(task, path + "#approval");
  row.kind = "approval";
  row.compensable = false;
  row.detail = *shown;
  if (*expires > 0) row.due_us = row.started_us + *expires * 1000;
  auto waiting = WaitFor(row);
  const Answer answer = co_await std::move(waiting);
  if (answer.kind == Answer::kStopped) co_return Stop();
  row = *Find(path + "#approval");
  row.output = answer.kind == Answer::kDue ? R"({"action":"expired"})" : answer.decision;
  row.ended_us = NowMicros();
  const auto decision = json::ParseOrderedJson(row.output);
  const std::string action =
      decision.ok() && decision->contains("action") ? (*decision)["action"].get<std::string>() : "";
  // A retry of the run asks again where the answer was no.
  row.state = action == "approve" ? "done" : "failed";
  Defer(row, "");
  Outcome out;
  out.context = frame.context;
  out.output = row.output;
  if (action == "approve") co_return out;
  co_return Fault("authorization", 403, action == "expired" ? "Approval expired" : "Not approved",
                  decision.ok() && decision->contains("comment")
                      ? (*decision)["comment"].get<std::string>()
                      : std::string(),
                  path);
}

Awaitable<Outcome> RunTask::DoRun(const Task& task, std::string path, Frame frame) {
  auto evaluating = Evaluate(task.value, frame.input, &task, path, frame, "");
  const auto input = co_await std::move(evaluating);
  if (!input.ok()) co_return FaultOf(input.status(), path);
  const std::string at = path + "#run";
  StepRow row = NewRow(task, at);
  row.kind = "child";
  row.compensable = false;
  const StepRow* known = Find(at);
  if (known != nullptr && known->attempt >= row.attempt) row = *known;
  // Its place and attempt are its key, so that a crash starts it once.
  ChildSpec spec;
  spec.path = path;
  spec.attempt = row.attempt;
  spec.name_space = task.child_namespace;
  spec.name = task.child_name;
  spec.version = task.child_version;
  spec.input = *input;
  spec.awaited = task.child_await;
  auto starting = parts_.host.StartChild(run_, std::move(spec));
  auto child = co_await std::move(starting);
  if (!child.ok()) co_return FaultOf(child.status(), path);
  Outcome out;
  out.context = frame.context;
  if (!task.child_await) {
    out.output = frame.input;
    co_return out;
  }
  started_children_ = true;
  if (row.state.empty()) {
    row.detail = StrCat("{\"run\":", json::JsonQuote(child->id), "}");
    row.state = "waiting";
    Defer(row, "step.waiting");
  }
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
      const bool completed = now->state == run_state::kCompleted;
      // A retry of the run starts it anew where it did not end well.
      row.state = completed ? "done" : "failed";
      row.ended_us = NowMicros();
      Defer(row, "");
      if (completed) {
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
