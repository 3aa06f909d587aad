#include "services/workflow/definition/cron.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::workflow {
namespace {

constexpr int kYears = 5;

struct Field {
  const char* name;
  int from, to;
  std::vector<std::string_view> words;  // of `from` and what follows
};

absl::Status Bad(const Field& field, std::string_view text) {
  return MakeError("ARGUMENT_INVALID", "workflow",
                   StrCat("cron: \"", text, "\" is not a ", field.name, " (", field.from, " to ",
                          field.to, ")"));
}

bool ReadNumber(const Field& field, std::string_view text, int* out) {
  const std::string lower = absl::AsciiStrToLower(Av(text));
  for (size_t i = 0; i < field.words.size(); ++i) {
    if (lower == field.words[i]) {
      *out = field.from + static_cast<int>(i);
      return true;
    }
  }
  return absl::SimpleAtoi(Av(text), out) && *out >= field.from && *out <= field.to;
}

// Calls `add` with each number that one field of the text names.
template <typename Add>
absl::Status ReadField(const Field& field, std::string_view text, Add add) {
  for (const absl::string_view piece : absl::StrSplit(Av(text), ',')) {
    std::string_view part = Sv(piece);
    int step = 1;
    const size_t slash = part.find('/');
    if (slash != std::string_view::npos) {
      if (!absl::SimpleAtoi(Av(part.substr(slash + 1)), &step) || step < 1) return Bad(field, text);
      part = part.substr(0, slash);
    }
    int first = field.from;
    int last = field.to;
    const size_t dash = part.find('-');
    if (part != "*") {
      if (!ReadNumber(field, part.substr(0, dash), &first)) return Bad(field, text);
      if (dash != std::string_view::npos) {
        if (!ReadNumber(field, part.substr(dash + 1), &last)) return Bad(field, text);
      } else if (slash == std::string_view::npos) {
        last = first;
      }
    }
    if (first > last) return Bad(field, text);
    for (int n = first; n <= last; n += step) add(n);
  }
  return absl::OkStatus();
}

// Takes "CRON_TZ=Area/City " off the front.
absl::StatusOr<absl::TimeZone> TakeZone(std::string_view& text) {
  constexpr std::string_view kZone = "CRON_TZ=";
  if (text.substr(0, kZone.size()) != kZone) return absl::UTCTimeZone();
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view name = text.substr(kZone.size(), end - kZone.size());
  text.remove_prefix(end);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  absl::TimeZone zone;
  // A name with a path in it would be read as a file.
  const bool plain = !name.empty() && name.front() != '/' && name.front() != ':' &&
                     name.find("..") == std::string_view::npos;
  if (plain && absl::LoadTimeZone(Av(name), &zone)) return zone;
  return MakeError("ARGUMENT_INVALID", "workflow",
                   StrCat("cron: this machine knows no time zone \"", name,
                          "\" (names like Europe/Berlin; Debian: package tzdata)"));
}

std::string_view Named(std::string_view text) {
  if (text == "@hourly") return "0 * * * *";
  if (text == "@daily" || text == "@midnight") return "0 0 * * *";
  if (text == "@weekly") return "0 0 * * 0";
  if (text == "@monthly") return "0 0 1 * *";
  if (text == "@yearly" || text == "@annually") return "0 0 1 1 *";
  return text;
}

}  // namespace

absl::StatusOr<Cron> Cron::Parse(std::string_view text) {
  Cron out;
  METAMCP_ASSIGN_OR_RETURN(out.zone_, TakeZone(text));
  const std::vector<std::string> parts =
      absl::StrSplit(Av(Named(text)), absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (parts.size() != 5) {
    return MakeError("ARGUMENT_INVALID", "workflow",
                     "cron: five fields are needed: minute, hour, day of month, month, weekday");
  }
  absl::Status status = ReadField({"minute", 0, 59, {}}, parts[0],
                                  [&out](int n) { out.minutes_.set(static_cast<size_t>(n)); });
  status.Update(ReadField({"hour", 0, 23, {}}, parts[1],
                          [&out](int n) { out.hours_.set(static_cast<size_t>(n)); }));
  status.Update(ReadField({"day", 1, 31, {}}, parts[2],
                          [&out](int n) { out.days_.set(static_cast<size_t>(n)); }));
  const Field month = {
      "month",
      1,
      12,
      {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}};
  status.Update(
      ReadField(month, parts[3], [&out](int n) { out.months_.set(static_cast<size_t>(n)); }));
  const Field weekday = {"weekday", 0, 7, {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}};
  status.Update(ReadField(weekday, parts[4],
                          [&out](int n) { out.weekdays_.set(static_cast<size_t>(n % 7)); }));
  if (!status.ok()) return status;
  out.any_hour_ = parts[1][0] == '*';
  out.any_day_ = parts[2][0] == '*';
  out.any_weekday_ = parts[4][0] == '*';
  return out;
}

bool Cron::DayFits(int month, int day, int weekday) const {
  if (!months_.test(static_cast<size_t>(month))) return false;
  const bool by_day = days_.test(static_cast<size_t>(day));
  const bool by_weekday = weekdays_.test(static_cast<size_t>(weekday));
  if (any_day_ || any_weekday_) return by_day && by_weekday;
  return by_day || by_weekday;
}

absl::Time Cron::NextOf(absl::CivilDay day, absl::Time after) const {
  absl::Time best = absl::InfiniteFuture();
  const auto offer = [&](absl::Time time) {
    if (time > after && time < best) best = time;
  };
  for (int hour = 0; hour < 24; ++hour) {
    if (!hours_.test(static_cast<size_t>(hour))) continue;
    for (int minute = 0; minute < 60; ++minute) {
      if (!minutes_.test(static_cast<size_t>(minute))) continue;
      const absl::TimeZone::TimeInfo at =
          zone_.At(absl::CivilSecond(day.year(), day.month(), day.day(), hour, minute));
      if (at.kind == absl::TimeZone::TimeInfo::SKIPPED) {
        if (!any_hour_) offer(at.trans);
        continue;
      }
      offer(at.pre);
      if (at.kind == absl::TimeZone::TimeInfo::REPEATED && any_hour_) offer(at.post);
    }
  }
  return best;
}

int64_t Cron::Next(int64_t after_us) const {
  const absl::Time after = absl::FromUnixMicros(after_us);
  // A day earlier, as clocks may be put back over midnight.
  absl::CivilDay day = absl::ToCivilDay(after, zone_) - 1;
  const absl::CivilDay end(absl::CivilYear(day) + kYears);
  for (; day <= end; ++day) {
    // Of absl: Monday is 0.
    const int weekday = (static_cast<int>(absl::GetWeekday(day)) + 1) % 7;
    if (!DayFits(day.month(), day.day(), weekday)) continue;
    const absl::Time next = NextOf(day, after);
    if (next != absl::InfiniteFuture()) return absl::ToUnixMicros(next);
  }
  return 0;
}

}  // namespace metamcp::workflow
