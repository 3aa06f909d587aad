#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace metamcp::workflow {

// One stored version of a workflow.
struct DefinitionRow {
  std::string tenant, name_space, name, version, title, summary, source, document, digest;
  std::string created_by;
  int64_t created_us = 0;
};

// States of a run, as stored and shown.
namespace run_state {
inline constexpr char kPending[] = "pending";
inline constexpr char kRunning[] = "running";
inline constexpr char kWaiting[] = "waiting";
inline constexpr char kPaused[] = "paused";
inline constexpr char kRollingBack[] = "rolling-back";
inline constexpr char kRolledBack[] = "rolled-back";
inline constexpr char kCompleted[] = "completed";
inline constexpr char kFailed[] = "failed";
inline constexpr char kCancelled[] = "cancelled";
inline constexpr char kNeedsDecision[] = "needs-decision";
}  // namespace run_state
bool IsFinal(const std::string& state);

// What of a run is done in earnest.
namespace run_mode {
inline constexpr char kReal[] = "";
inline constexpr char kReads[] = "reads";      // a dry run: what changes nothing is called
inline constexpr char kNothing[] = "nothing";  // a dry run: nothing is called
}  // namespace run_mode

// Whether a stored value is not JSON but says where in the run's values it is, and its size.
bool IsReference(const std::string& value);
int64_t SizeOf(const std::string& value);

// What operators want of a run; bits of RunRow::control.
enum Control : int64_t { kPause = 1, kCancel = 2, kRollback = 4 };

struct RunRow {
  std::string id, tenant, name_space, name, version, state;
  // "forward", or why it rolls back: "fault" or "cancel".
  std::string phase = "forward";
  std::string input = "null", output, error;
  std::string principal;  // JSON
  std::string subject;    // of the principal
  std::string request_key, parent_run, parent_path;
  std::string mode;       // run_mode
  std::string origin;     // the run that this one repeats
  bool detached = false;  // its parent does not wait for it
  int64_t control = 0;
  std::string owner;
  int64_t epoch = 0;
  int64_t event_seq = 0;
  int64_t wake = 0;
  int64_t created_us = 0;
  int64_t began_us = 0;  // what its time limit counts from: its start, or its last retry
  int64_t ended_us = 0;
};

// States of a step: started (its effect may be under way), effect (it has happened, the output is
// as it came), done, waiting, skipped, failed, cancelled, unknown (begun by a process that is
// gone), retried (failed, to be run again) or superseded (done, and to be run again all the same).
// Large values are references within the run (IsReference).
struct StepRow {
  std::string path;
  int64_t attempt = 1;
  int64_t ord = 0;  // rises within a run
  std::string state;
  std::string kind, name, tool, key;
  bool repeatable = false;
  bool compensable = false;
  bool unsettled = false;       // whether it took effect is unknown
  std::string arguments;        // what the tool was given, JSON
  std::string output, context;  // JSON, after output.as and export.as
  std::string next;             // where the flow goes: empty, exit, end or a task
  std::string error;            // JSON
  std::string detail;           // of a wait: what is shown
  int64_t due_us = 0;           // of a wait: when it ends
  int64_t started_us = 0;
  int64_t ended_us = 0;
};

// Whether it waits, or waited, for somebody to approve or deny: what the definition asks
// (approval), or the policy about the step's call (consent).
inline bool WantsApproval(const StepRow& step) {
  return step.kind == "approval" || step.kind == "consent";
}

struct StepKey {
  std::string path;
  int64_t attempt = 1;
};

struct EventRow {
  int64_t seq = 0;
  int64_t time_us = 0;
  std::string type, path, data;
};

// What one transaction changes of one run. Refused where the run has another owner or epoch.
struct RunCommit {
  std::string run_id, owner;
  int64_t epoch = 0;
  std::vector<StepRow> steps;  // inserted or replaced
  std::vector<EventRow> events;
  std::vector<std::string> bus;  // events for listeners, JSON
  // Types of events for which it waits from now on; none: as before.
  std::optional<std::set<std::string>> listens;
  // Runs that were started by steps below these paths are cancelled; with an end, all are.
  std::vector<std::string> orphans;
  std::optional<std::string> state, phase, output, error;
  bool mark_started_as = false;  // steps that are still started become `started_as`
  std::string started_as;
  bool release = false;           // gives up the lease
  std::optional<int64_t> due_us;  // with release: when a process is wanted again
  int64_t seen_wake = 0;          // with release: at once, where others changed something since
  bool ended = false;
};

// Where several must approve: what stands between a decision's path and who has approved.
inline constexpr char kVoteMark[] = "#vote:";

struct DecisionRow {
  std::string path;
  int64_t attempt = 0;
  std::string decision;  // JSON: {action, result, comment, by}
};

// How runs of a workflow went.
struct RunFigures {
  std::map<std::string, int64_t> by_state;
  std::vector<int64_t> completed_us;  // from creation to end, of the newest, sorted
  struct Step {
    std::string name, tool;
    int64_t done = 0, failed = 0;
    std::vector<int64_t> took_us;  // sorted
  };
  std::vector<Step> steps;
};

struct BusEvent {
  int64_t seq = 0;
  std::string event;
};

}  // namespace metamcp::workflow
