#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/async/async_lock.h"
#include "common/async/task_group.h"
#include "services/workflow/definition/definition.h"
#include "services/workflow/engine/caller.h"
#include "services/workflow/engine/committer.h"
#include "services/workflow/jq/jq_worker.h"
#include "services/workflow/store/records.h"

namespace metamcp::workflow {

// A run that a step starts.
struct ChildSpec {
  ChildSpec() = default;
  std::string path;
  int64_t attempt = 1;
  std::string name_space, name, version, input;
  bool awaited = true;
};

// What runs need of the engine.
class RunHost {
 public:
  virtual ~RunHost() = default;
  virtual Awaitable<absl::StatusOr<std::vector<DecisionRow>>> Decisions(std::string run_id) = 0;
  virtual Awaitable<absl::StatusOr<std::vector<BusEvent>>> ReadBus(std::string tenant,
                                                                   int64_t after) = 0;
  virtual Awaitable<absl::StatusOr<int64_t>> BusHead(std::string tenant) = 0;
  // Starts a run of another workflow, or returns the one that was started for this place and
  // attempt. Errors: as Engine::StartRun.
  virtual Awaitable<absl::StatusOr<RunRow>> StartChild(const RunRow& parent, ChildSpec spec) = 0;
  virtual Awaitable<absl::StatusOr<RunRow>> GetRun(std::string tenant, std::string id) = 0;
  // What a reference of that run stands for. Waits for a database that is away.
  virtual Awaitable<absl::StatusOr<std::string>> LoadValue(std::string run_id,
                                                           std::string reference) = 0;
  // A run that waits for this one's end, and those that listen, look at once.
  virtual void Poke(const std::string& run_id) = 0;
  virtual void PokeListeners() = 0;
  // Others may be due.
  virtual void LookNow() = 0;
};

struct RunParts {
  RunParts(boost::asio::any_io_executor e, Committer& c, JqWorkers& j, Caller& o, RunHost& h)
      : executor(e), committer(c), jq(j), caller(o), host(h) {}
  boost::asio::any_io_executor executor;
  Committer& committer;
  JqWorkers& jq;
  Caller& caller;
  RunHost& host;
  Limits limits;
  std::chrono::milliseconds call_timeout{120'000};
  std::chrono::milliseconds retry_pause{250};  // before the first automatic attempt
  size_t branches_at_once_max = 64;            // of one fork
};

// What a task came to.
struct Outcome {
  enum Kind {
    kDone,
    kFault,     // `error` is the error as JSON
    kStop,      // paused, or this process lost the run: nothing was decided
    kRollback,  // an operator decided so
  };
  Kind kind = kDone;
  std::string output = "null";
  std::string context = "null";
  // Where the flow goes: empty, exit, end or the name of a task. Of a fault: what the failed task
  // says of errors, rollback or stop.
  std::string next;
  std::string error;
};

// Names that expressions see beside the standard ones: loop variables, caught errors. As JSON.
using Scope = std::map<std::string, std::string>;

// One claimed run. It walks its definition from the beginning; where a checkpoint tells what came
// of a task, that is taken instead of running it, so that after a crash the walk reaches the point
// where it was. Single-threaded.
class RunTask {
 public:
  RunTask(RunParts parts, RunRow run, std::shared_ptr<const Definition> definition,
          std::vector<StepRow> steps, std::vector<DecisionRow> decisions);
  ~RunTask();

  // Runs until the run has ended, rests, or belongs to another. Spawned once.
  Awaitable<void> Main();
  // Others changed something.
  void Changed(int64_t control, int64_t wake);
  // What it waits for may have come.
  void Look() { changed_.Notify(); }
  // Finishes what is under way, begins nothing, and gives the run up for others.
  void Drain();
  // The lease is lost: stop at once, store nothing.
  void Lose();

  const RunRow& run() const { return run_; }
  bool listens() const { return !listens_.empty(); }

 private:
  struct Branches;

  // run_task.cc
  Awaitable<Outcome> Forward();
  Awaitable<Outcome> Body();
  static Awaitable<void> RunForward(RunTask* self, std::shared_ptr<Outcome> out,
                                    std::shared_ptr<bool> ended);
  Awaitable<bool> RunPhase(bool forward, Outcome* out);
  bool ShouldRollBack(const Outcome& outcome) const;
  Awaitable<void> Finish(Outcome outcome);
  Awaitable<void> Rest(std::string state, std::optional<int64_t> due_us);
  void TellOthers();
  // Puts down a run that stopped before its end.
  Awaitable<void> RestStopped();
  bool Resting(int64_t now_us) const;
  CallContext Context() const;

  // checkpoints.cc
  Awaitable<absl::Status> Durable(RunCommit commit);
  RunCommit MakeCommit();
  // Notes a checkpoint that goes with the next commit, and an event where that is named.
  void Defer(StepRow row, std::string_view event);
  StepRow* Find(const std::string& path);
  // A new row, of a new attempt where that of before is to be run again.
  StepRow NewRow(const Task& task, const std::string& path);
  std::string DesiredState() const;
  // Puts the texts in the place of references.
  Awaitable<absl::Status> Resolve(std::string* one, std::string* other);
  std::string KeyFor(const StepRow& row);
  void NoteKey(const StepRow& row);
  void Orphan(const std::string& path);
  const DecisionRow* DecisionFor(const std::string& path, int64_t attempt) const;

  // rollback.cc
  Awaitable<Outcome> Rollback();
  Awaitable<Outcome> Compensate(const StepRow step, const Task& task);
  Awaitable<void> BeginRollback(std::string why, std::string error);

  // interpret.cc
  struct Frame {
    std::string input;  // transformed
    std::string context;
    Scope scope;
  };
  Awaitable<Outcome> RunList(const std::vector<Task>& tasks, std::string base, std::string input,
                             std::string context, Scope scope);
  Awaitable<Outcome> RunOne(const Task& task, std::string path, std::string input,
                            std::string context, Scope scope);
  Awaitable<Outcome> RunAction(const Task& task, std::string path, std::string input,
                               std::string context, Scope scope);
  Awaitable<Outcome> Dispatch(const Task& task, std::string path, Frame frame);
  Awaitable<Outcome> Conclude(const Task& task, std::string path, Frame frame, Outcome outcome);
  Awaitable<absl::StatusOr<std::string>> Evaluate(const Template& body, std::string data,
                                                  const Task* task, std::string path,
                                                  const Frame& frame, std::string output);
  Awaitable<absl::StatusOr<bool>> Test(const Template& body, std::string data, const Task* task,
                                       std::string path, const Frame& frame);
  Awaitable<absl::StatusOr<int64_t>> Milliseconds(const DurationSpec& spec, const Task* task,
                                                  std::string path, const Frame& frame);
  void Abandon(const std::string& path, const std::string& state);
  static Outcome Fault(std::string_view type, int64_t status, std::string_view title,
                       std::string_view detail, const std::string& path);
  static Outcome FaultOf(const absl::Status& status, const std::string& path);
  static Outcome Stop();

  // interpret_control.cc
  Awaitable<Outcome> DoSet(const Task& task, std::string path, Frame frame);
  Awaitable<Outcome> DoFor(const Task& task, std::string path, Frame frame);
  Awaitable<Outcome> DoSwitch(const Task& task, std::string path, Frame frame);
  Awaitable<Outcome> DoTry(const Task& task, std::string path, Frame frame);
  Awaitable<absl::StatusOr<bool>> Catches(const Task& task, std::string path, const Frame& frame,
                                          std::string error);
  Awaitable<absl::StatusOr<std::optional<int64_t>>> RetryDelay(const Task& task, std::string path,
                                                               const Frame& frame, int64_t attempt);
  Awaitable<Outcome> DoRaise(const Task& task, std::string path, Frame frame);

  // interpret_fork.cc
  Awaitable<Outcome> DoFork(const Task& task, std::string path, Frame frame);
  Awaitable<Outcome> JoinBranches(const Branches& branches, Frame frame);
  static Awaitable<void> Branch(RunTask* self, const Task* task, std::string path, Frame frame,
                                size_t index, std::shared_ptr<Branches> branches);

  // interpret_calls.cc
  Awaitable<Outcome> DoTool(const Task& task, std::string path, Frame frame);
  Awaitable<Outcome> DoHttp(const Task& task, std::string path, Frame frame);
  struct Effect {
    std::string tool;
    std::string arguments;
    bool repeatable = false;
    bool reads = false;  // changes nothing
    std::string sample;  // of a tool: a result as its schema describes it
    bool http = false;
    HttpCall request;
    std::string output;  // of http: content, response or raw
  };
  // What else is known of an attempt that failed.
  struct AttemptNote {
    bool unknown = false;   // nobody knows whether it took effect
    bool not_sent = false;  // nothing was sent, and it may work shortly
    std::string approval;   // nothing was sent: a person must allow it, by this approval
  };
  Awaitable<Outcome> Attempt(const Effect& effect, std::string path, std::string key,
                             AttemptNote* note);

  // effects.cc
  // Runs an effect once, with its start on record where it may not be repeated.
  Awaitable<Outcome> RunEffect(const Task& task, std::string path, Frame frame, Effect effect);
  Awaitable<Outcome> Decide(const Task& task, std::string path, const Frame& frame, StepRow row,
                            bool* again);
  // What a dry run makes of an effect that it leaves out.
  Outcome Simulate(const Task& task, const std::string& path, const Frame& frame,
                   const Effect& effect);
  void TakeDecision(const std::string& path, StepRow* row);
  // Arguments that an operator has put in the place of the definition's.
  const DecisionRow* EditFor(const std::string& path) const;
  bool dry() const { return run_.mode != run_mode::kReal; }

  // interpret_waits.cc
  struct Answer {
    enum Kind { kAnswered, kDue, kStopped } kind = kStopped;
    std::string decision;
  };
  // Waits until somebody decides, or until `row.due_us`.
  Awaitable<Answer> WaitFor(StepRow row);
  Awaitable<Outcome> DoWait(const Task& task, std::string path, Frame frame);
  Awaitable<Outcome> WaitUntil(const Task& task, std::string path, int64_t ms);
  Awaitable<Outcome> DoApproval(const Task& task, std::string path, Frame frame);
  Awaitable<Outcome> DoRun(const Task& task, std::string path, Frame frame);

  // interpret_consent.cc
  // Waits until a person has decided whether the step's call may be made. Done: it may be tried
  // again.
  Awaitable<Outcome> WaitForConsent(const Task& task, std::string path, std::string approval);
  void FailAsked(const std::string& path, const std::string& error);

  // interpret_events.cc
  class Listening;
  struct Heard;
  Awaitable<absl::StatusOr<bool>> Hear(const Task& task, std::string path, const Frame& frame,
                                       std::string event, Heard* heard);
  Awaitable<Outcome> DoEmit(const Task& task, std::string path, Frame frame);
  Awaitable<Outcome> DoListen(const Task& task, std::string path, Frame frame);
  Awaitable<absl::StatusOr<bool>> Matches(const EventFilter& filter, const Task* task,
                                          std::string path, const Frame& frame, std::string event);

  bool Paused() const {
    return draining_ || ((control_ & kPause) != 0 && (control_ & kCancel) == 0);
  }

  RunParts parts_;
  RunRow run_;
  const std::shared_ptr<const Definition> definition_;
  std::map<std::string, StepRow> steps_;  // latest attempts by path
  std::vector<DecisionRow> decisions_;
  std::vector<StepRow> deferred_;  // checkpoints that go with the next transaction
  std::vector<EventRow> deferred_events_;
  size_t deferred_bytes_ = 0;
  std::map<std::string, std::string> unsettled_;  // keys of effects with an unknown outcome
  std::vector<std::string> orphans_;              // paths whose children are to be cancelled
  std::multiset<std::string> listens_;            // types of events, as listens go on
  bool listens_changed_ = false;
  int64_t stored_bytes_ = 0;  // of all checkpoints
  bool started_children_ = false;
  int64_t control_ = 0;
  int64_t wake_ = 0;
  int64_t ord_ = 0;
  int64_t executed_ = 0;
  int64_t admit_again_us_ = 0;  // when it is asked again whether the principal may act
  bool lost_ = false;
  bool draining_ = false;
  bool reload_decisions_ = false;
  int calls_ = 0;                // effects under way
  int waits_ = 0;                // waits of any kind
  int questions_ = 0;            // waits for a decision about an unknown effect
  std::multiset<int64_t> dues_;  // of the waits; none: max
  std::string state_;            // as last stored
  Signal changed_;
  std::unique_ptr<TaskGroup> tasks_;  // of the current phase
};

}  // namespace metamcp::workflow
