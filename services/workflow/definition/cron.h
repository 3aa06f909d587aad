#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace metamcp::workflow {

// Times as cron names them, in UTC or, behind CRON_TZ=Area/City, there: minute, hour, day of month,
// month, day of week (0 or 7 is Sunday), each as *, a, a-b, a,b or with /step; months and days also
// by their first three letters; or @hourly, @daily, @weekly, @monthly, @yearly. Where both days are
// restricted either fits, as cron has it. When clocks are put forward, a named hour that is left
// out comes at the moment of the change; when they are put back, it comes once. "*" hours follow
// the time that passes.
class Cron {
 public:
  // Errors: INVALID_ARGUMENT, also for a time zone that this machine does not know.
  static absl::StatusOr<Cron> Parse(std::string_view text);
  // The first time after `after_us` (microseconds since 1970); 0 where none comes within five
  // years.
  int64_t Next(int64_t after_us) const;

 private:
  bool DayFits(int month, int day, int weekday) const;
  // The first time of that day after `after`.
  absl::Time NextOf(absl::CivilDay day, absl::Time after) const;

  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;
  std::bitset<13> months_;
  std::bitset<7> weekdays_;
  bool any_day_ = true;
  bool any_weekday_ = true;
  bool any_hour_ = true;
  absl::TimeZone zone_;  // UTC
};

}  // namespace metamcp::workflow
