// Events: what runs tell each other.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/time/time.h"
#include "common/base/error.h"
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

// At most so much is collected by one listen.
constexpr size_t kTakenMax = 10'000;
constexpr size_t kTakenBytesMax = 4u << 20;

// Values that events have filled; empty: not yet.
std::string Filled(const std::vector<std::string>& values) {
  std::vector<std::string> list;
  for (const std::string& one : values) list.push_back(one.empty() ? "[]" : StrCat("[", one, "]"));
  return json::JoinArray(list);
}
void ReadFilled(const Json& list, std::vector<std::string>* values) {
  for (size_t i = 0; i < values->size() && i < list.size(); ++i) {
    if (list[i].is_array() && !list[i].empty()) (*values)[i] = json::DumpJson(list[i][0]);
  }
}

std::string ListOf(const std::vector<std::string>& values) {
  std::vector<std::string> list;
  for (const std::string& one : values) {
    if (!one.empty()) list.push_back(one);
  }
  return json::JoinArray(list);
}

size_t CountOf(const std::vector<std::string>& values) {
  return static_cast<size_t>(std::count_if(values.begin(), values.end(),
                                           [](const std::string& one) { return !one.empty(); }));
}

// What a listen makes of an event.
std::string ReadAs(const Task& task, const std::string& event) {
  if (task.listen_envelope) return event;
  const auto parsed = json::ParseOrderedJson(event);
  return parsed.ok() && parsed->contains("data") ? json::DumpJson((*parsed)["data"]) : "null";
}

}  // namespace

// While it lives, the run waits for events, and rests if it waits for nothing else.
class RunTask::Listening {
 public:
  Listening(RunTask* self, const Task& task) : self_(self) {
    for (const auto* filters : {&task.events, &task.until_events}) {
      for (const EventFilter& filter : *filters) {
        places_.push_back(self_->listens_.insert(TypeIn(filter)));
      }
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

// How far a listen has come: the last event that it has seen, and what it has taken.
struct RunTask::Heard {
  explicit Heard(const Task& task)
      : collects(task.until.has_value() || !task.until_events.empty()),
        taken(collects ? 0 : task.events.size()),
        ending(task.until_events.size()),
        wanted(task.listen_all ? taken.size() : 1),
        wanted_ending(task.until_all ? ending.size() : 1) {}

  std::string Record() const {
    return StrCat("{\"after\":", after, ",\"taken\":", Filled(taken),
                  ",\"ending\":", Filled(ending), "}");
  }
  void Read(const std::string& record) {
    const auto known = json::ParseOrderedJson(record);
    if (!known.ok() || !known->is_object()) return;
    after = known->value("after", int64_t{0});
    const Json list = known->value("taken", Json::array());
    if (collects) taken.resize(list.size());
    ReadFilled(list, &taken);
    ReadFilled(known->value("ending", Json::array()), &ending);
  }
  bool Complete() const {
    return collects ? ended || (!ending.empty() && CountOf(ending) >= wanted_ending)
                    : CountOf(taken) >= wanted;
  }

  const bool collects;  // all that come, until it ends
  int64_t after = 0;
  std::vector<std::string> taken;   // of each filter, or all of them in their order
  std::vector<std::string> ending;  // of each filter of `until`
  const size_t wanted, wanted_ending;
  size_t bytes = 0;
  bool ended = false;  // as the expression of `until` says
};

// Takes an event, where it is one of those that are waited for. An error is the step's.
Awaitable<absl::StatusOr<bool>> RunTask::Hear(const Task& task, std::string path,
                                              const Frame& frame, std::string event, Heard* heard) {
  bool some = false;
  for (size_t i = 0; i < task.until_events.size(); ++i) {
    if (!heard->ending[i].empty()) continue;
    auto matching = Matches(task.until_events[i], &task, path, frame, event);
    const auto matches = co_await std::move(matching);
    if (!matches.ok()) co_return matches.status();
    if (!*matches) continue;
    heard->ending[i] = "true";
    some = true;
    break;
  }
  if (heard->Complete()) co_return true;
  for (size_t i = 0; i < task.events.size(); ++i) {
    if (!heard->collects && !heard->taken[i].empty()) continue;
    auto matching = Matches(task.events[i], &task, path, frame, event);
    const auto matches = co_await std::move(matching);
    if (!matches.ok()) co_return matches.status();
    if (!*matches) continue;
    some = true;
    if (!heard->collects) {
      heard->taken[i] = ReadAs(task, event);
      break;
    }
    heard->taken.push_back(ReadAs(task, event));
    heard->bytes += heard->taken.back().size();
    if (heard->taken.size() > kTakenMax || heard->bytes > kTakenBytesMax) {
      co_return MakeError("ARGUMENT_INVALID", "workflow",
                          StrCat("more events than ", kTakenMax, ", or of more than ",
                                 kTakenBytesMax >> 20, " MiB, came before `until`"));
    }
    if (!task.until) break;
    auto testing = Test(*task.until, ListOf(heard->taken), &task, path, frame);
    const auto ends = co_await std::move(testing);
    if (!ends.ok()) co_return ends.status();
    heard->ended = *ends;
    break;
  }
  co_return some;
}

// The output is a list of the events' data: one for `one` and `any`, one each for `all`, all that
// came before the end for `until`.
Awaitable<Outcome> RunTask::DoListen(const Task& task, std::string path, Frame frame) {
  Outcome out;
  out.context = frame.context;
  out.output = "[]";
  if (dry()) co_return out;
  const std::string at = path + "#listen";
  StepRow row = NewRow(task, at);
  row.kind = "listen";
  row.compensable = false;
  Heard heard(task);
  if (const StepRow* known = Find(at); known != nullptr && known->state == "waiting") {
    row = *known;
    heard.Read(row.detail);
  } else {
    // Events from now on count. The place goes with the record, so that a crash misses none.
    auto heading = parts_.host.BusHead(run_.tenant);
    const auto head = co_await std::move(heading);
    if (!head.ok()) co_return FaultOf(head.status(), path);
    heard.after = *head;
    row.detail = heard.Record();
    row.state = "waiting";
    Defer(row, "step.waiting");
  }
  const Listening listening(this, task);
  auto committing = Durable(MakeCommit());
  const absl::Status stored = co_await std::move(committing);
  if (!stored.ok()) co_return Stop();
  for (;;) {
    if (lost_ || Paused()) co_return Stop();
    auto reading = parts_.host.ReadBus(run_.tenant, heard.after);
    const auto events = co_await std::move(reading);
    bool some = false;
    for (size_t e = 0; events.ok() && e < events->size(); ++e) {
      heard.after = (*events)[e].seq;
      auto hearing = Hear(task, path, frame, (*events)[e].event, &heard);
      const auto took = co_await std::move(hearing);
      if (!took.ok()) co_return FaultOf(took.status(), path);
      some = some || *took;
      if (!heard.Complete()) continue;
      row.state = "done";
      row.ended_us = NowMicros();
      out.output = ListOf(heard.taken);
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
      row.detail = heard.Record();
      if (some) Defer(row, "");
      continue;
    }
    co_await changed_.Wait();
  }
}

}  // namespace metamcp::workflow
