#include "services/workflow/face/scheduler.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "common/telemetry/log.h"
#include "services/workflow/definition/cron.h"
#include "services/workflow/definition/reader.h"
#include "services/workflow/engine/run_principal.h"
#include "services/workflow/store/sql_store.h"

namespace metamcp::workflow {
namespace {

constexpr int64_t kDueMax = 50;
constexpr int64_t kDepthMax = 100;
constexpr int64_t kAgainUs = 5'000'000;  // after what may pass

std::string Place(const ScheduleRow& row) {
  return StrCat(row.tenant, "/", row.name_space, "/", row.name);
}

// The principal of a run that an event started: the runs that led to the event count as above it,
// so that a workflow which emits what starts it comes to an end.
std::string PrincipalAfter(const std::string& principal, const std::string& event) {
  const auto parsed = json::ParseOrderedJson(event);
  auto who = json::ParseOrderedJson(principal);
  if (!parsed.ok() || !parsed->contains("metamcpdepth") || !who.ok() || !who->is_object()) {
    return principal;
  }
  const Json& depth = (*parsed)["metamcpdepth"];
  const int64_t runs =
      depth.is_number_integer() ? std::min(depth.get<int64_t>(), kDepthMax) : int64_t{0};
  for (int64_t i = 0; i < runs; ++i) (*who)["actors"].push_back(StrCat(kRunActor, "event"));
  return json::DumpJson(*who);
}

// What later looks will not mend: the time is lost.
bool IsLasting(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsInvalidArgument(status) ||
         absl::IsFailedPrecondition(status) || absl::IsPermissionDenied(status);
}

}  // namespace

int64_t FirstTime(const ScheduleSpec& spec, int64_t from_us) {
  if (spec.kind == "every") return from_us + spec.ms * 1000;
  if (spec.kind == "after") return from_us;
  if (spec.kind != "cron") return 0;
  const auto cron = Cron::Parse(spec.cron);
  return cron.ok() ? cron->Next(from_us) : 0;
}

int64_t NextTime(const ScheduleSpec& spec, int64_t was_us, int64_t now_us) {
  const bool all = spec.missed == "all";
  if (spec.kind == "cron") return FirstTime(spec, all ? was_us : std::max(was_us, now_us));
  if (spec.kind != "every") return 0;
  const int64_t step = spec.ms * 1000;
  if (all || now_us < was_us) return was_us + step;
  return was_us + ((now_us - was_us) / step + 1) * step;
}

std::string ScheduleJson(std::string_view document) {
  const auto view = json::ScanObject(document);
  return view.ok() ? std::string(view->Raw("schedule")) : std::string();
}

std::optional<ScheduleSpec> ReadSchedule(const ScheduleRow& row, const Limits& limits) {
  Json document = Json::object();
  auto spec = json::ParseOrderedJson(row.spec);
  if (!spec.ok()) return std::nullopt;
  document["schedule"] = *std::move(spec);
  std::vector<Problem> problems;
  Reader reader(limits, &problems);
  Definition out;
  reader.Schedule(document, &out);
  if (out.schedule) out.schedule->missed = row.missed;
  return out.schedule;
}

Scheduler::Scheduler(boost::asio::any_io_executor executor, db::DbExecutor& database,
                     Engine& engine, JqWorkers& jq, Options options)
    : executor_(executor),
      database_(database),
      engine_(engine),
      jq_(jq),
      options_(std::move(options)),
      work_(executor),
      tasks_(executor) {}

void Scheduler::Start() { tasks_.Spawn("workflow.schedule", Loop()); }

Awaitable<void> Scheduler::Stop() {
  stopping_ = true;
  tasks_.CancelAll();
  co_await tasks_.Join(std::chrono::seconds(5));
}

void Scheduler::LookNow() {
  look_ = true;
  work_.Notify();
}

Awaitable<void> Scheduler::Loop() {
  while (!stopping_) {
    look_ = false;
    auto looking = LookOnce();
    co_await std::move(looking);
    if (look_) continue;
    boost::asio::steady_timer timer(executor_, options_.look);
    timer.async_wait([this](const boost::system::error_code& error) {
      if (!error) work_.Notify();
    });
    co_await work_.Wait();
  }
}

Awaitable<absl::StatusOr<std::vector<ScheduleRow>>> Scheduler::Select(
    std::function<absl::StatusOr<std::vector<ScheduleRow>>(db::Database&)> op) {
  const CallContext ctx;
  auto reading = database_.Run<std::vector<ScheduleRow>>(ctx, std::move(op));
  auto rows = co_await std::move(reading);
  if (!rows.ok()) {
    Log(LogLevel::kWarning, "workflow.schedules_not_read",
        {{"error", std::string(rows.status().message())}});
  }
  co_return rows;
}

Awaitable<void> Scheduler::LookOnce() {
  auto ending = Select([](db::Database& database) { return ScheduleStore(database).Undated(); });
  const auto undated = co_await std::move(ending);
  for (size_t i = 0; undated.ok() && i < undated->size(); ++i) {
    auto dating = DateNext((*undated)[i]);
    co_await std::move(dating);
  }
  const int64_t now = NowMicros();
  auto asking =
      Select([now](db::Database& database) { return ScheduleStore(database).Due(now, kDueMax); });
  const auto due = co_await std::move(asking);
  for (size_t i = 0; due.ok() && i < due->size(); ++i) {
    auto firing = FireDue((*due)[i]);
    co_await std::move(firing);
  }
  if (due.ok() && static_cast<int64_t>(due->size()) == kDueMax) look_ = true;
  auto listening =
      Select([](db::Database& database) { return ScheduleStore(database).ForEvents(); });
  const auto waiting = co_await std::move(listening);
  for (size_t i = 0; waiting.ok() && i < waiting->size(); ++i) {
    auto firing = FireEvents((*waiting)[i]);
    co_await std::move(firing);
  }
}

Awaitable<absl::StatusOr<std::string>> Scheduler::StartRun(const ScheduleRow& row, std::string key,
                                                           std::string input) {
  Engine::NewRun run;
  run.tenant = row.tenant;
  run.name_space = row.name_space;
  run.name = row.name;
  run.version = row.version;
  run.input = std::move(input);
  run.principal = row.principal;
  run.request_key = StrCat("schedule:", Place(row), ":", key);
  auto starting = engine_.StartRun(std::move(run));
  const auto started = co_await std::move(starting);
  if (!started.ok()) co_return started.status();
  co_return started->id;
}

Awaitable<void> Scheduler::Move(ScheduleRow was, Firing firing) {
  std::function<absl::StatusOr<bool>(db::Database&)> op = [was, firing](db::Database& database) {
    return ScheduleStore(database).Fired(was, firing);
  };
  const CallContext ctx;
  auto moving = database_.Run<bool>(ctx, std::move(op));
  const auto moved = co_await std::move(moving);
  if (!moved.ok()) {
    // The run is there; the next look finds it by its key, and moves on then.
    Log(LogLevel::kWarning, "workflow.schedule_not_moved",
        {{"workflow", Place(was)}, {"error", std::string(moved.status().message())}});
  }
}

Awaitable<void> Scheduler::FireDue(ScheduleRow row) {
  const auto spec = ReadSchedule(row, options_.limits);
  Firing firing;
  const int64_t now = NowMicros();
  if (!spec) {
    firing.note = "the schedule cannot be read";
    auto moving = Move(std::move(row), std::move(firing));
    co_await std::move(moving);
    co_return;
  }
  firing.next_us = NextTime(*spec, row.next_us, now);
  firing.bus_after = row.bus_after;
  firing.last_us = row.next_us;
  const int64_t late = std::chrono::microseconds(options_.late).count();
  if (spec->missed == "skip" && row.kind != "after" && now - row.next_us > late) {
    firing.note = "a time was missed";
  } else {
    auto starting = StartRun(row, StrCat(row.next_us), row.input);
    const auto started = co_await std::move(starting);
    if (started.ok()) {
      firing.last_run = *started;
    } else if (IsLasting(started.status())) {
      firing.note = std::string(started.status().message());
      if (row.kind == "after") firing.next_us = now + spec->ms * 1000;
    } else {
      co_return;  // the next look tries again
    }
  }
  auto moving = Move(std::move(row), std::move(firing));
  co_await std::move(moving);
}

// Of `after`: the time counts from the end of the last run.
Awaitable<void> Scheduler::DateNext(ScheduleRow row) {
  const auto spec = ReadSchedule(row, options_.limits);
  if (!spec) co_return;
  auto reading = engine_.GetRun(row.tenant, row.last_run);
  const auto run = co_await std::move(reading);
  Firing firing;
  firing.bus_after = row.bus_after;
  if (absl::IsNotFound(run.status())) {
    firing.next_us = NowMicros() + kAgainUs;
  } else if (run.ok() && IsFinal(run->state)) {
    firing.next_us = run->ended_us + spec->ms * 1000;
  } else {
    co_return;
  }
  auto moving = Move(std::move(row), std::move(firing));
  co_await std::move(moving);
}

Awaitable<absl::StatusOr<bool>> Scheduler::Matches(const ScheduleSpec& spec, std::string event) {
  const auto parsed = json::ParseOrderedJson(event);
  if (!parsed.ok() || !parsed->is_object()) co_return false;
  for (const EventFilter& filter : spec.events) {
    bool fits = true;
    for (const auto& [attribute, wanted] : filter.with) {
      const auto it = parsed->find(attribute);
      std::string value = wanted.text;
      if (!wanted.constant) {
        auto evaluating =
            jq_.Evaluate(MakeProgram(wanted, {}), StrCat("{\"d\":", event, ",\"v\":{}}"));
        auto evaluated = co_await std::move(evaluating);
        if (!evaluated.ok()) co_return evaluated.status();
        value = *std::move(evaluated);
        if (value == "true") continue;
      }
      const auto want = json::ParseOrderedJson(value);
      fits = it != parsed->end() && want.ok() && *want == *it;
      if (!fits) break;
    }
    if (fits) co_return true;
  }
  co_return false;
}

// A run for each event that fits, with a list of that event as its input.
Awaitable<void> Scheduler::FireEvents(ScheduleRow row) {
  const auto spec = ReadSchedule(row, options_.limits);
  if (!spec) co_return;
  auto reading = engine_.ReadBus(row.tenant, row.bus_after);
  const auto events = co_await std::move(reading);
  if (!events.ok()) co_return;
  Firing firing;
  firing.bus_after = row.bus_after;
  for (const BusEvent& event : *events) {
    auto matching = Matches(*spec, event.event);
    const auto matches = co_await std::move(matching);
    if (!matches.ok() && !IsLasting(matches.status())) break;
    firing.bus_after = event.seq;
    if (!matches.ok()) firing.note = std::string(matches.status().message());
    if (!matches.ok() || !*matches) continue;
    ScheduleRow after = row;
    after.principal = PrincipalAfter(row.principal, event.event);
    auto starting = StartRun(after, StrCat("event:", event.seq), StrCat("[", event.event, "]"));
    const auto started = co_await std::move(starting);
    if (!started.ok() && !IsLasting(started.status())) {
      firing.bus_after = event.seq - 1;
      break;
    }
    if (started.ok()) {
      firing.last_run = *started;
      firing.last_us = NowMicros();
    } else {
      firing.note = std::string(started.status().message());
    }
    // One for each, so that each is counted, and a crash repeats little.
    auto moving = Move(row, firing);
    co_await std::move(moving);
    row.bus_after = firing.bus_after;
    firing.last_run.clear();
  }
  if (firing.bus_after == row.bus_after) co_return;
  auto moving = Move(std::move(row), std::move(firing));
  co_await std::move(moving);
}

}  // namespace metamcp::workflow
