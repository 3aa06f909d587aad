// What a run has on record, and what it commits.

#include <algorithm>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/telemetry/log.h"
#include "services/workflow/engine/paths.h"
#include "services/workflow/engine/run_task.h"

namespace metamcp::workflow {

StepRow* RunTask::Find(const std::string& path) {
  const auto it = steps_.find(path);
  return it == steps_.end() ? nullptr : &it->second;
}

StepRow RunTask::NewRow(const Task& task, const std::string& path) {
  StepRow row;
  row.path = path;
  row.ord = ++ord_;
  row.kind = std::string(TaskKindName(task.kind));
  row.name = task.name;
  row.tool = task.tool;
  row.compensable = !task.compensate.empty();
  row.started_us = NowMicros();
  const StepRow* known = Find(path);
  if (known != nullptr && (known->state == "superseded" || known->state == "retried")) {
    row.attempt = known->attempt + 1;
  }
  return row;
}

std::string RunTask::DesiredState() const {
  if (run_.phase != "forward") return run_state::kRollingBack;
  if (calls_ == 0 && questions_ > 0) return run_state::kNeedsDecision;
  if (calls_ == 0 && waits_ > 0) return run_state::kWaiting;
  return run_state::kRunning;
}

RunCommit RunTask::MakeCommit() {
  RunCommit commit;
  commit.run_id = run_.id;
  commit.owner = run_.owner;
  commit.epoch = run_.epoch;
  commit.steps = std::move(deferred_);
  commit.events = std::move(deferred_events_);
  commit.orphans = std::move(orphans_);
  if (listens_changed_) commit.listens.emplace(listens_.begin(), listens_.end());
  listens_changed_ = false;
  deferred_.clear();
  deferred_events_.clear();
  orphans_.clear();
  deferred_bytes_ = 0;
  return commit;
}

void RunTask::Defer(StepRow row, std::string_view event) {
  if (!event.empty()) {
    EventRow out;
    out.time_us = NowMicros();
    out.type = std::string(event);
    out.path = row.path;
    json::ObjectWriter data;
    data.AddString("name", row.name);
    data.AddString("kind", row.kind);
    if (!row.tool.empty()) data.AddString("tool", row.tool);
    if (row.attempt > 1) data.AddInt("attempt", row.attempt);
    if (event == "step.failed" && !row.error.empty()) data.Add("error", row.error);
    if (event == "step.waiting" && !row.detail.empty()) data.Add("detail", row.detail);
    out.data = std::move(data).Build();
    deferred_events_.push_back(std::move(out));
  }
  if (row.state == "effect" || row.state == "done") {
    stored_bytes_ += SizeOf(row.output) + SizeOf(row.context) + SizeOf(row.arguments);
  }
  deferred_bytes_ += row.output.size() + row.context.size();
  NoteKey(row);
  StepRow& kept = steps_[row.path];
  kept = row;
  // The walk does not come here again, and large values would fill the memory.
  if (row.state == "done" && !row.compensable && !IsMark(row.path)) {
    kept.arguments.clear();
    kept.output.clear();
    kept.context.clear();
  }
  // One row for a path and attempt: the last says it all.
  for (StepRow& earlier : deferred_) {
    if (earlier.path == row.path && earlier.attempt == row.attempt) {
      earlier = std::move(row);
      return;
    }
  }
  deferred_.push_back(std::move(row));
}

// Stores a commit with the run's state where that has changed. ABORTED: the run is another's.
Awaitable<absl::Status> RunTask::Durable(RunCommit commit) {
  if (lost_) co_return MakeError("RUN_FENCED", "workflow", "another process works on this run");
  const std::string state = commit.state ? *commit.state : DesiredState();
  if (state != state_) {
    commit.state = state;
    state_ = state;
    EventRow event;
    event.time_us = NowMicros();
    event.type = "run.state";
    event.data = StrCat("{\"state\":\"", state, "\"}");
    commit.events.push_back(std::move(event));
  }
  auto committing = parts_.committer.Commit(std::move(commit));
  const absl::Status status = co_await std::move(committing);
  if (!status.ok()) {
    Log(LogLevel::kWarning, "workflow.run_lost",
        {{"run", run_.id}, {"error", std::string(status.message())}});
    lost_ = true;
    changed_.Notify();
  }
  co_return status;
}

Awaitable<absl::Status> RunTask::Resolve(std::string* one, std::string* other) {
  for (std::string* value : {one, other}) {
    if (!IsReference(*value)) continue;
    auto loading = parts_.host.LoadValue(run_.id, *value);
    auto text = co_await std::move(loading);
    if (!text.ok()) co_return text.status();
    *value = *std::move(text);
  }
  co_return absl::OkStatus();
}

// A key stands for one intended effect. An attempt that follows one whose outcome is unknown
// carries its key, so that a server which knows the key acts once; after a definite failure the
// next attempt intends a new effect.
std::string RunTask::KeyFor(const StepRow& row) {
  if (const auto it = unsettled_.find(EffectOf(row.path)); it != unsettled_.end()) {
    return it->second;
  }
  const std::string again = row.attempt > 1 ? StrCat("#", row.attempt) : std::string();
  return Sha256Hex(StrCat(run_.id, row.path, again)).substr(0, 32);
}

void RunTask::NoteKey(const StepRow& row) {
  if (row.key.empty()) return;
  if (row.unsettled || row.state == "started" || row.state == "unknown") {
    unsettled_[EffectOf(row.path)] = row.key;
  } else {
    unsettled_.erase(EffectOf(row.path));
  }
}

// Runs of others that were started below are of no use any more.
void RunTask::Orphan(const std::string& path) {
  for (auto it = steps_.lower_bound(path); it != steps_.end() && it->first.starts_with(path);
       ++it) {
    if (it->second.kind == "child" && it->second.state == "waiting" && IsBelow(it->first, path)) {
      orphans_.push_back(path);
      return;
    }
  }
}

const DecisionRow* RunTask::DecisionFor(const std::string& path, int64_t attempt) const {
  for (const DecisionRow& one : decisions_) {
    if (one.path == path && one.attempt == attempt) return &one;
  }
  return nullptr;
}

}  // namespace metamcp::workflow
