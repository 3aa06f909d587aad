#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/db/database.h"

namespace metamcp::workflow {

struct ScheduleRow {
  std::string tenant, name_space, name, version;
  std::string kind;    // every, cron, after or on
  std::string spec;    // as it is written: JSON
  std::string missed;  // once, skip or all
  std::string input;   // JSON
  std::string principal;
  bool paused = false;
  int64_t next_us = 0;    // 0: not known yet (of after: the last run has not ended)
  int64_t bus_after = 0;  // of on
  int64_t last_us = 0;
  std::string last_run;
  int64_t fired = 0;
  std::string note;  // why the last time came to nothing
};

// What one firing changes of a schedule.
struct Firing {
  int64_t next_us = 0;
  int64_t bus_after = 0;
  int64_t last_us = 0;
  std::string last_run;  // empty: nothing was started
  std::string note;
};

// The store of schedules. Blocking: on database threads only. Errors: those of common/db, beside
// those named.
class ScheduleStore {
 public:
  explicit ScheduleStore(db::Database& database) : database_(database) {}

  // Makes it the workflow's schedule. One that says the same keeps its times; a paused one stays
  // paused.
  absl::Status Put(const ScheduleRow& row);
  absl::Status Remove(const std::string& tenant, const std::string& name_space,
                      const std::string& name);
  // Errors: NOT_FOUND.
  absl::StatusOr<ScheduleRow> Get(const std::string& tenant, const std::string& name_space,
                                  const std::string& name);
  absl::StatusOr<std::vector<ScheduleRow>> List(const std::string& tenant);
  // Those with a time that has come; those that wait for the end of a run; those that wait for
  // events. None that is paused.
  absl::StatusOr<std::vector<ScheduleRow>> Due(int64_t now_us, int64_t limit);
  absl::StatusOr<std::vector<ScheduleRow>> Undated();
  absl::StatusOr<std::vector<ScheduleRow>> ForEvents();

  // Takes over what a firing came to, unless another process has done so. Whether it was first.
  absl::StatusOr<bool> Fired(const ScheduleRow& was, const Firing& firing);
  // Errors: NOT_FOUND. Resumed, it goes on at `next_us`, and with events after `bus_after`.
  absl::Status SetPaused(const std::string& tenant, const std::string& name_space,
                         const std::string& name, bool paused, int64_t next_us, int64_t bus_after);

 private:
  absl::StatusOr<std::vector<ScheduleRow>> Select(const std::string& where,
                                                  const db::Params& params);
  db::Database& database_;
};

}  // namespace metamcp::workflow
