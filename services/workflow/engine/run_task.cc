#include "services/workflow/engine/run_task.h"

#include <algorithm>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/workflow/engine/run_principal.h"

namespace metamcp::workflow {
namespace {

// A run that only waits, and for longer than this, is put down until then.
constexpr int64_t kRestUs = 5'000'000;
constexpr std::chrono::milliseconds kLook(1000);

}  // namespace

RunTask::RunTask(RunParts parts, RunRow run, std::shared_ptr<const Definition> definition,
                 std::vector<StepRow> steps, std::vector<DecisionRow> decisions)
    : parts_(std::move(parts)),
      run_(std::move(run)),
      definition_(std::move(definition)),
      decisions_(std::move(decisions)),
      control_(run_.control),
      wake_(run_.wake),
      state_(run_.state),
      changed_(parts_.executor) {
  for (StepRow& step : steps) {
    ord_ = std::max(ord_, step.ord);
    stored_bytes_ += SizeOf(step.output) + SizeOf(step.context) + SizeOf(step.arguments);
    NoteKey(step);
    steps_[step.path] = std::move(step);
  }
}

RunTask::~RunTask() = default;

void RunTask::Changed(int64_t control, int64_t wake) {
  control_ = control;
  if (wake != wake_) reload_decisions_ = true;
  wake_ = wake;
  changed_.Notify();
}

void RunTask::Drain() {
  draining_ = true;
  changed_.Notify();
}

Awaitable<void> RunTask::RestStopped() {
  const bool paused = (control_ & kPause) != 0;
  auto resting = paused ? Rest(run_state::kPaused, std::nullopt) : Rest(state_, NowMicros());
  co_await std::move(resting);
}

void RunTask::Lose() {
  lost_ = true;
  if (tasks_) tasks_->CancelAll();
  changed_.Notify();
}

CallContext RunTask::Context() const {
  CallContext ctx(PrincipalOf(run_), CallContext::Clock::now() + parts_.call_timeout);
  ctx.request_id = NewRequestId();
  return ctx;
}

bool RunTask::Resting(int64_t now_us) const {
  if (calls_ > 0 || waits_ == 0 || lost_) return false;
  if (static_cast<size_t>(waits_) != dues_.size()) return false;
  return *dues_.begin() > now_us + kRestUs;
}

Awaitable<void> RunTask::RunForward(RunTask* self, std::shared_ptr<Outcome> out,
                                    std::shared_ptr<bool> ended) {
  const bool forward = self->run_.phase == "forward";
  auto body = forward ? self->Forward() : self->Rollback();
  *out = co_await std::move(body);
  *ended = true;
  self->changed_.Notify();
}

// The failed task's own word counts; without one, what can be undone is.
bool RunTask::ShouldRollBack(const Outcome& outcome) const {
  if (outcome.kind == Outcome::kRollback) return true;
  if (outcome.kind != Outcome::kFault) return false;
  if (!outcome.next.empty()) return outcome.next == "rollback";
  return std::any_of(steps_.begin(), steps_.end(), [](const auto& one) {
    return one.second.compensable && (one.second.state == "done" || one.second.state == "effect");
  });
}

// Runs a phase to its end; false where it was put down, cancelled or lost before.
Awaitable<bool> RunTask::RunPhase(bool forward, Outcome* out) {
  if (forward && (control_ & kCancel) != 0) co_return false;
  tasks_ = std::make_unique<TaskGroup>(parts_.executor);
  auto outcome = std::make_shared<Outcome>(Stop());
  auto ended = std::make_shared<bool>(false);
  tasks_->Spawn("workflow.run", RunForward(this, outcome, ended));
  int64_t resting_since = 0;
  bool rest = false;
  while (!*ended && !lost_ && !rest) {
    if (forward && (control_ & kCancel) != 0) break;
    if (reload_decisions_) {
      reload_decisions_ = false;
      auto loading = parts_.host.Decisions(run_.id);
      auto decisions = co_await std::move(loading);
      if (decisions.ok()) {
        decisions_ = *std::move(decisions);
        changed_.Notify();
        continue;
      }
      reload_decisions_ = true;  // at the next look
    }
    boost::asio::steady_timer tick(parts_.executor, kLook);
    tick.async_wait([this](const boost::system::error_code& error) {
      if (!error) changed_.Notify();
    });
    co_await changed_.Wait();
    tick.cancel();
    const int64_t now = NowMicros();
    if (!Resting(now)) {
      resting_since = 0;
    } else if (resting_since == 0) {
      resting_since = now;
    } else if (now - resting_since > 2'000'000) {
      rest = true;
    }
  }
  const std::optional<int64_t> due =
      rest && *dues_.begin() != INT64_MAX ? std::make_optional(*dues_.begin()) : std::nullopt;
  // What it listens for stays as it is, although nobody listens here.
  const std::multiset<std::string> listens = listens_;
  const bool listens_changed = listens_changed_;
  if (!*ended) tasks_->CancelAll();
  co_await tasks_->Join(std::chrono::seconds(30));
  if (rest && !*ended) {
    listens_ = listens;
    listens_changed_ = listens_changed;
  }
  if (rest && !*ended) {
    auto resting = Rest(state_, due);
    co_await std::move(resting);
    lost_ = true;
    co_return false;
  }
  *out = *outcome;
  co_return *ended;
}

Awaitable<void> RunTask::Main() {
  Outcome outcome = Stop();
  const bool began_forward = run_.phase == "forward";
  if (began_forward) {
    auto phase = RunPhase(true, &outcome);
    const bool ended = co_await std::move(phase);
    if (lost_) co_return;
    if (!ended) {  // cancelled
      if ((control_ & kRollback) == 0) {
        RunCommit commit = MakeCommit();
        commit.mark_started_as = true;
        commit.started_as = "cancelled";
        commit.state = run_state::kCancelled;
        commit.ended = commit.release = true;
        commit.seen_wake = wake_;
        auto storing = Durable(std::move(commit));
        (void)co_await std::move(storing);
        TellOthers();
        co_return;
      }
      auto beginning = BeginRollback("cancel", "");
      co_await std::move(beginning);
    } else if (outcome.kind == Outcome::kStop) {
      auto resting = RestStopped();
      co_await std::move(resting);
      co_return;
    } else if (!ShouldRollBack(outcome)) {
      auto finishing = Finish(std::move(outcome));
      co_await std::move(finishing);
      co_return;
    } else {
      auto beginning = BeginRollback("fault", outcome.error);
      co_await std::move(beginning);
    }
  }
  if (lost_) co_return;
  auto phase = RunPhase(false, &outcome);
  const bool ended = co_await std::move(phase);
  if (lost_ || !ended) co_return;
  if (outcome.kind == Outcome::kStop) {
    auto resting = RestStopped();
    co_await std::move(resting);
    co_return;
  }
  auto finishing = Finish(std::move(outcome));
  co_await std::move(finishing);
}

Awaitable<void> RunTask::Rest(std::string state, std::optional<int64_t> due_us) {
  RunCommit commit = MakeCommit();
  commit.state = std::move(state);
  commit.release = true;
  commit.due_us = due_us;
  commit.seen_wake = wake_;
  auto storing = Durable(std::move(commit));
  (void)co_await std::move(storing);
}

// Runs above and below have something to do.
void RunTask::TellOthers() {
  if (!run_.parent_run.empty()) parts_.host.Poke(run_.parent_run);
  if (!run_.parent_run.empty() || started_children_) parts_.host.LookNow();
}

// The end of a run, by what its body or its rollback came to.
Awaitable<void> RunTask::Finish(Outcome outcome) {
  RunCommit commit = MakeCommit();
  commit.ended = commit.release = true;
  commit.seen_wake = wake_;
  if (run_.phase == "forward" && outcome.kind == Outcome::kDone) {
    commit.state = run_state::kCompleted;
    commit.output = outcome.output;
  } else if (outcome.kind == Outcome::kDone) {
    commit.state = run_.phase == "cancel" ? run_state::kCancelled : run_state::kRolledBack;
  } else {
    commit.state = run_state::kFailed;
    commit.error = outcome.error;
  }
  auto storing = Durable(std::move(commit));
  (void)co_await std::move(storing);
  TellOthers();
}

Awaitable<Outcome> RunTask::Forward() {
  auto body = Body();
  if (!definition_->timeout || definition_->timeout->ms <= 0) co_return co_await std::move(body);
  const int64_t left_us = run_.began_us + definition_->timeout->ms * 1000 - NowMicros();
  auto outcome = std::make_shared<Outcome>(Stop());
  const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(left_us);
  struct Runner {
    static Awaitable<absl::Status> Run(Awaitable<Outcome> op, std::shared_ptr<Outcome> out) {
      *out = co_await std::move(op);
      co_return absl::OkStatus();
    }
  };
  auto bounded = RunUntil(until, Runner::Run(std::move(body), outcome));
  const absl::Status status = co_await std::move(bounded);
  if (absl::IsDeadlineExceeded(status)) {
    co_return Fault("timeout", 408, "Timeout", "the workflow took longer than it may", "/");
  }
  if (!status.ok()) co_return Stop();
  co_return *outcome;
}

Awaitable<Outcome> RunTask::Body() {
  Frame frame;
  frame.input = run_.input;
  frame.context = "null";
  if (definition_->input_from) {
    auto evaluating = Evaluate(*definition_->input_from, run_.input, nullptr, "/", frame, "");
    auto input = co_await std::move(evaluating);
    if (!input.ok()) co_return FaultOf(input.status(), "/input");
    frame.input = *std::move(input);
  }
  auto running = RunList(definition_->tasks, "/do", frame.input, "null", Scope());
  Outcome outcome = co_await std::move(running);
  if (outcome.kind != Outcome::kDone || !definition_->output_as) co_return outcome;
  frame.context = outcome.context;
  auto resolving = Resolve(&outcome.output, &frame.context);
  const absl::Status resolved = co_await std::move(resolving);
  if (!resolved.ok()) co_return FaultOf(resolved, "/output");
  auto evaluating =
      Evaluate(*definition_->output_as, outcome.output, nullptr, "/", frame, outcome.output);
  auto output = co_await std::move(evaluating);
  if (!output.ok()) co_return FaultOf(output.status(), "/output");
  outcome.output = *std::move(output);
  co_return outcome;
}

}  // namespace metamcp::workflow
