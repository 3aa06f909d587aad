#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <string>

#include "common/async/async_lock.h"
#include "common/async/task_group.h"
#include "common/db/executor.h"
#include "services/workflow/definition/definition.h"
#include "services/workflow/engine/engine.h"
#include "services/workflow/face/schedule_store.h"
#include "services/workflow/jq/jq_worker.h"

namespace metamcp::workflow {

// The first time of a schedule after `from_us`; 0 for one that does not go by time. `spec` is that
// of a stored schedule.
int64_t FirstTime(const ScheduleSpec& spec, int64_t from_us);
// The next time after `was_us`, of those that have not passed at `now_us` unless all that were
// missed are made up for.
int64_t NextTime(const ScheduleSpec& spec, int64_t was_us, int64_t now_us);

// Starts the runs of schedules. Several processes may do so on one database: a firing is one run by
// its key, and the one that was first moves the schedule on. Single-threaded. Await Stop before
// destruction, and before the engine's.
class Scheduler {
 public:
  struct Options {
    Options() {}
    std::chrono::milliseconds look{1000};
    // A time that is older counts as missed.
    std::chrono::milliseconds late{60'000};
    Limits limits;
  };
  Scheduler(boost::asio::any_io_executor executor, db::DbExecutor& database, Engine& engine,
            JqWorkers& jq, Options options = Options());

  void Start();
  Awaitable<void> Stop();
  // A schedule is new, or an event came.
  void LookNow();

 private:
  Awaitable<void> Loop();
  Awaitable<void> LookOnce();
  Awaitable<void> FireDue(ScheduleRow row);
  Awaitable<void> DateNext(ScheduleRow row);
  Awaitable<void> FireEvents(ScheduleRow row);
  Awaitable<absl::StatusOr<std::vector<ScheduleRow>>> Select(
      std::function<absl::StatusOr<std::vector<ScheduleRow>>(db::Database&)> op);
  Awaitable<absl::StatusOr<std::string>> StartRun(const ScheduleRow& row, std::string key,
                                                  std::string input);
  Awaitable<void> Move(ScheduleRow was, Firing firing);
  Awaitable<absl::StatusOr<bool>> Matches(const ScheduleSpec& spec, std::string event);

  boost::asio::any_io_executor executor_;
  db::DbExecutor& database_;
  Engine& engine_;
  JqWorkers& jq_;
  const Options options_;
  Signal work_;
  TaskGroup tasks_;
  bool look_ = false;
  bool stopping_ = false;
};

// What is stored of a definition's schedule, and back.
std::string ScheduleJson(std::string_view document);
std::optional<ScheduleSpec> ReadSchedule(const ScheduleRow& row, const Limits& limits);

}  // namespace metamcp::workflow
