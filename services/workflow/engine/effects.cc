// Effects outside happen once. One that may not be repeated is on record before it begins; its
// result is stored before anything is made of it.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/async/run.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "services/workflow/engine/changes.h"
#include "services/workflow/engine/paths.h"
#include "services/workflow/engine/run_task.h"

namespace metamcp::workflow {
namespace {

// By itself a step is tried so often where the outcome is unknown and it may be repeated.
constexpr int kAutomaticAttempts = 4;
// What was not sent at all is tried for so many times the first pause: a server that moves to
// another process is back within that.
constexpr int kNotSentPauses = 120;
constexpr int kPauseGrowthMax = 4;  // to 16 times the first

// Adds to a counter while it lives.
class Counted {
 public:
  Counted(int* count, int by) : count_(count), by_(by) { *count_ += by_; }
  ~Counted() { *count_ -= by_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  int* count_;
  int by_;
};

std::string ArgumentsIn(const DecisionRow& decision) {
  const auto object = json::ScanObject(decision.decision);
  return object.ok() ? std::string(object->Raw("arguments")) : std::string();
}

}  // namespace

const DecisionRow* RunTask::EditFor(const std::string& path) const {
  const DecisionRow* last = nullptr;
  for (const DecisionRow& one : decisions_) {
    const bool its = one.path == path + "#edit" || one.path == path + "#decision";
    if (its && !ArgumentsIn(one).empty()) last = &one;
  }
  return last;
}

// The next attempt, as a person wants it. With other arguments it is another effect.
void RunTask::TakeDecision(const std::string& path, StepRow* row) {
  const int64_t asked = Find(path)->attempt;
  row->attempt = asked + 1;
  const DecisionRow* edit = EditFor(path);
  if (edit == nullptr) return;
  row->arguments = ArgumentsIn(*edit);
  if (edit->path.ends_with("#decision") && edit->attempt == asked) {
    unsettled_.erase(EffectOf(path));
  }
}

Outcome RunTask::Simulate(const Task& task, const std::string& path, const Frame& frame,
                          const Effect& effect) {
  StepRow row = NewRow(task, path);
  row.tool = effect.tool;
  row.arguments = effect.arguments;
  row.state = "effect";
  row.compensable = false;
  row.detail = R"({"dryRun":"simulated"})";
  row.output = effect.http ? "null" : AsToolResult(effect.sample.empty() ? "{}" : effect.sample);
  row.context = frame.context;
  row.ended_us = row.started_us;
  Outcome out;
  out.output = row.output;
  out.context = row.context;
  Defer(std::move(row), "step.simulated");
  return out;
}

Awaitable<Outcome> RunTask::RunEffect(const Task& task, std::string path, Frame frame,
                                      Effect effect) {
  if (const DecisionRow* edit = EditFor(path); edit != nullptr && !effect.http) {
    effect.arguments = ArgumentsIn(*edit);
  }
  if (dry() && (!effect.reads || run_.mode == run_mode::kNothing)) {
    co_return Simulate(task, path, frame, effect);
  }
  StepRow row = NewRow(task, path);
  row.tool = effect.tool;
  row.repeatable = effect.repeatable;
  row.arguments = effect.arguments;
  const StepRow* question = Find(path + "#consent");
  const bool asked = question != nullptr && question->state == "waiting";
  if (const StepRow* known = Find(path)) {
    if (known->state == "failed") {
      Outcome out;
      out.kind = Outcome::kFault;
      out.error = known->error;
      co_return out;
    }
    row.attempt = known->attempt + 1;
    const bool in_flight = known->state == "started" || known->state == "unknown";
    if ((in_flight || known->unsettled) && known->state != "superseded" && !asked) {
      if (!known->repeatable && !effect.repeatable) {
        row.key = known->key;
        bool again = false;
        auto deciding = Decide(task, path, frame, *known, &again);
        Outcome decided = co_await std::move(deciding);
        if (!again) co_return decided;
        TakeDecision(path, &row);
      } else if (in_flight) {
        StepRow before = *known;
        before.state = "unknown";
        before.ended_us = NowMicros();
        Defer(std::move(before), "step.unknown");
      }
    }
  }
  if (asked) {
    auto asking = WaitForConsent(task, path, "");
    Outcome answered = co_await std::move(asking);
    if (answered.kind != Outcome::kDone) {
      if (answered.kind == Outcome::kFault) FailAsked(path, answered.error);
      co_return answered;
    }
  }
  row.key = KeyFor(row);
  // Whether an earlier attempt took effect is unknown, and what is not sent does not tell.
  const bool unsettled = unsettled_.count(EffectOf(path)) > 0;
  int64_t not_sent_since = 0;
  int unknowns = 0;  // what was not sent does not count against them
  for (int tries = 1;; ++tries) {
    if (Paused() || lost_) co_return Stop();
    effect.arguments = row.arguments;
    row.state = "started";
    row.unsettled = false;
    row.error.clear();
    row.started_us = NowMicros();
    Defer(row, "step.started");
    const Counted under_way(&calls_, 1);
    if (!effect.repeatable || DesiredState() != state_) {
      auto committing = Durable(MakeCommit());
      const absl::Status stored = co_await std::move(committing);
      if (!stored.ok()) co_return Stop();
    }
    AttemptNote note;
    auto attempting = Attempt(effect, path, row.key, &note);
    Outcome outcome = co_await std::move(attempting);
    // Cut off: its start stays on record, and whatever came of it is not known.
    const auto cut = co_await boost::asio::this_coro::cancellation_state;
    if (cut.cancelled() != boost::asio::cancellation_type::none) co_return Stop();
    row.ended_us = NowMicros();
    const bool unknown = note.unknown;
    const bool unsent = note.not_sent || !note.approval.empty();
    row.unsettled = unknown || (unsent && unsettled);
    if (!note.approval.empty() && !dry()) {
      row.state = "retried";
      row.error = outcome.error;
      Defer(row, "");
      {
        const Counted waits_for_a_person(&calls_, -1);
        auto asking = WaitForConsent(task, path, note.approval);
        outcome = co_await std::move(asking);
      }
      if (outcome.kind == Outcome::kStop) co_return outcome;
      if (outcome.kind == Outcome::kDone) {
        ++row.attempt;
        row.ord = ++ord_;
        if (const DecisionRow* edit = EditFor(path)) row.arguments = ArgumentsIn(*edit);
        tries = 0;
        not_sent_since = 0;
        continue;
      }
    }
    if (not_sent_since == 0) not_sent_since = row.started_us;
    const int64_t patience_us = parts_.retry_pause.count() * kNotSentPauses * 1000;
    const bool patient = note.not_sent && row.ended_us - not_sent_since < patience_us;
    unknowns += unknown ? 1 : 0;
    if (patient || (unknown && effect.repeatable && unknowns < kAutomaticAttempts)) {
      // Not failed for good: a crash before the next attempt must not end it.
      row.state = "retried";
      row.error = outcome.error;
      Defer(row, "step.failed");
      ++row.attempt;
      row.ord = ++ord_;
      auto pause = Sleep(parts_.retry_pause * (1 << std::min(2 * (tries - 1), kPauseGrowthMax)));
      (void)co_await std::move(pause);
      continue;
    }
    if (unknown && !effect.repeatable) {
      row.state = "unknown";
      row.error = outcome.error;
      Defer(row, "step.unknown");
      bool again = false;
      {
        const Counted waits_for_a_person(&calls_, -1);
        auto deciding = Decide(task, path, frame, row, &again);
        outcome = co_await std::move(deciding);
      }
      if (!again) co_return outcome;
      row.ord = ++ord_;
      TakeDecision(path, &row);
      row.key = KeyFor(row);
      tries = 0;
      unknowns = 0;
      continue;
    }
    if (outcome.kind == Outcome::kDone) {
      row.state = "effect";
      row.output = outcome.output;
      row.context = frame.context;
      if (dry()) row.detail = R"({"dryRun":"called"})";
    } else {
      row.state = "failed";
      row.error = outcome.error;
    }
    Defer(row, row.state == "failed" ? "step.failed" : "");
    auto committing = Durable(MakeCommit());
    const absl::Status stored = co_await std::move(committing);
    if (!stored.ok()) co_return Stop();
    outcome.context = frame.context;
    co_return outcome;
  }
}

// Asks a person about a step whose effect is unknown: again, again with other arguments, done with
// a result, skip or roll back.
Awaitable<Outcome> RunTask::Decide(const Task& task, std::string path, const Frame& frame,
                                   StepRow row, bool* again) {
  row.state = "unknown";
  row.unsettled = true;
  Defer(row, "step.unknown");
  StepRow question = NewRow(task, path + "#decision");
  question.kind = "decision";
  question.compensable = false;
  question.attempt = row.attempt;
  question.tool = row.tool;
  json::ObjectWriter detail;
  detail.AddString("tool", row.tool);
  if (!row.arguments.empty() && !IsReference(row.arguments)) {
    detail.Add("arguments", row.arguments);
  }
  detail.AddString("why",
                   "the step was under way when contact was lost; whether it took effect is "
                   "unknown");
  detail.Add("actions", R"(["retry","edit","done","skip","rollback"])");
  question.detail = std::move(detail).Build();
  const Counted asked(&questions_, 1);
  auto waiting = WaitFor(question);
  const Answer answer = co_await std::move(waiting);
  if (answer.kind != Answer::kAnswered) co_return Stop();
  question.state = "done";
  question.output = answer.decision;
  question.ended_us = NowMicros();
  Defer(question, "");
  const auto decision = json::ParseOrderedJson(answer.decision);
  const std::string action =
      decision.ok() && decision->contains("action") ? (*decision)["action"].get<std::string>() : "";
  if (action == "retry" || action == "edit") {
    *again = true;
    co_return Outcome();
  }
  if (action == "rollback") {
    Outcome out = Fault("runtime", 500, "Rolled back by decision", "", path);
    out.kind = Outcome::kRollback;
    co_return out;
  }
  Outcome out;
  out.context = frame.context;
  out.output = frame.input;
  row.state = "effect";
  row.unsettled = false;
  if (action == "done" && decision->contains("result")) {
    out.output = json::DumpJson((*decision)["result"]);
    if (task.kind == TaskKind::kTool) out.output = AsToolResult(out.output);
  }
  row.output = out.output;
  row.context = out.context;
  row.ended_us = NowMicros();
  if (action == "skip") row.compensable = false;
  Defer(std::move(row), "");
  auto committing = Durable(MakeCommit());
  const absl::Status stored = co_await std::move(committing);
  if (!stored.ok()) co_return Stop();
  co_return out;
}

}  // namespace metamcp::workflow
