#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace metamcp::workflow {

// Times as cron names them, in UTC: minute, hour, day of month, month, day of week (0 or 7 is
// Sunday), each as *, a, a-b, a,b or with /step; months and days also by their first three letters;
// or @hourly, @daily, @weekly, @monthly, @yearly. Where both days are restricted either fits, as
// cron has it.
class Cron {
 public:
  // Errors: INVALID_ARGUMENT.
  static absl::StatusOr<Cron> Parse(std::string_view text);
  // The first time after `after_us` (microseconds since 1970); 0 where none comes within five
  // years.
  int64_t Next(int64_t after_us) const;

 private:
  bool DayFits(int month, int day, int weekday) const;

  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;
  std::bitset<13> months_;
  std::bitset<7> weekdays_;
  bool any_day_ = true;
  bool any_weekday_ = true;
};

}  // namespace metamcp::workflow
