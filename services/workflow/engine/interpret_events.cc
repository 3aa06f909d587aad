// Events: what runs tell each other.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/time/time.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/splice.h"
#include "services/workflow/engine/run_principal.h"
#include "services/workflow/engine/run_task.h"

namespace metamcp::workflow {
namespace {

using Json = nlohmann::ordered_json;

// The type of events that a filter can match; '*' where it does not name one.
std::string TypeIn(const EventFilter& filter) {
  for (const auto& [attribute, wanted] : filter.with) {
    if (attribute != "type" || !wanted.constant) continue;
    const auto value = json::ParseOrderedJson(wanted.text);
    if (value.ok() && value->is_string()) return value->get<std::string>();
  }
  return "*";
}

// How far a listen has come: the last event that it has seen, and what it has taken.
std::string Progress(int64_t after, const std::vector<std::string>& taken) {
  std::vector<std::string> list;
  for (const std::string& one : taken) list.push_back(one.empty() ? "[]" : StrCat("[", one, "]"));
  return StrCat("{\"after\":", after, ",\"taken\":", json::JoinArray(list), "}");
}

}  // namespace

// While it lives, the run waits for events, and rests if it waits for nothing else.
class RunTask::Listening {
 public:
  Listening(RunTask* self, const Task& task) : self_(self) {
    for (const EventFilter& filter : task.events) {
      places_.push_back(self_->listens_.insert(TypeIn(filter)));
    }
    ++self_->waits_;
    due_ = self_->dues_.insert(INT64_MAX);
    self_->listens_changed_ = true;
  }
  ~Listening() {
    for (const auto& place : places_) self_->listens_.erase(place);
    --self_->waits_;
    self_->dues_.erase(due_);
    self_->listens_changed_ = true;
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

 private:
  RunTask* self_;
  std::vector<std::multiset<std::string>::iterator> places_;
  std::multiset<int64_t>::iterator due_;
};

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
  // How many runs it took to come here: a schedule on an event goes on counting.
  (*event)["metamcpdepth"] = RunsAbove(run_.principal) + 1;
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
  if (dry()) co_return out;
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
  Outcome out;
  out.context = frame.context;
  out.output = "[]";
  if (dry()) co_return out;
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
    row.detail = Progress(*head, std::vector<std::string>(task.events.size()));
    row.state = "waiting";
    Defer(row, "step.waiting");
  }
  std::vector<std::string> taken(task.events.size());
  int64_t after = 0;
  if (const auto start = json::ParseOrderedJson(row.detail); start.ok() && start->is_object()) {
    after = start->value("after", int64_t{0});
    const Json known = start->value("taken", Json::array());
    for (size_t i = 0; i < taken.size() && i < known.size(); ++i) {
      if (known[i].is_array() && !known[i].empty()) taken[i] = json::DumpJson(known[i][0]);
    }
  }
  const size_t wanted = task.listen_all ? taken.size() : 1;
  const Listening listening(this, task);
  auto committing = Durable(MakeCommit());
  const absl::Status stored = co_await std::move(committing);
  if (!stored.ok()) co_return Stop();
  for (;;) {
    if (lost_ || Paused()) co_return Stop();
    auto reading = parts_.host.ReadBus(run_.tenant, after);
    const auto events = co_await std::move(reading);
    bool some = false;
    for (size_t e = 0; events.ok() && e < events->size(); ++e) {
      const BusEvent& event = (*events)[e];
      after = event.seq;
      for (size_t i = 0; i < task.events.size(); ++i) {
        if (!taken[i].empty()) continue;
        auto matching = Matches(task.events[i], &task, path, frame, event.event);
        const auto matches = co_await std::move(matching);
        if (!matches.ok()) co_return FaultOf(matches.status(), path);
        if (!*matches) continue;
        const auto parsed = json::ParseOrderedJson(event.event);
        taken[i] = parsed->contains("data") ? json::DumpJson((*parsed)["data"]) : "null";
        some = true;
        break;
      }
      const auto have = std::count_if(taken.begin(), taken.end(),
                                      [](const std::string& one) { return !one.empty(); });
      if (static_cast<size_t>(have) < wanted) continue;
      std::vector<std::string> list;
      for (std::string& one : taken) {
        if (!one.empty()) list.push_back(std::move(one));
      }
      row.state = "done";
      row.ended_us = NowMicros();
      out.output = json::JoinArray(list);
      row.output = out.output;
      Defer(row, "");
      StepRow result = NewRow(task, path);
      result.state = "effect";
      result.output = out.output;
      result.context = out.context;
      Defer(std::move(result), "");
      co_return out;
    }
    const bool more = events.ok() && !events->empty();
    if (more) {
      // Goes with the next commit, at the latest when the run rests.
      row.detail = Progress(after, taken);
      if (some) Defer(row, "");
      continue;
    }
    co_await changed_.Wait();
  }
}

}  // namespace metamcp::workflow
