#include <cstdlib>
#include <nlohmann/json.hpp>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "services/workflow/definition/definition.h"

namespace metamcp::workflow {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMsMax = 366.0 * 100 * 24 * 3600 * 1000;

absl::Status Bad(std::string_view why) { return absl::InvalidArgumentError(std::string(why)); }

// Years and months have no fixed length; they count 365 and 30 days.
absl::StatusOr<double> UnitMs(char unit, bool time) {
  switch (unit) {
    case 'Y':
      return 365.0 * 86'400'000;
    case 'M':
      return time ? 60'000.0 : 30.0 * 86'400'000;
    case 'W':
      return 7.0 * 86'400'000;
    case 'D':
      return 86'400'000.0;
    case 'H':
      return 3'600'000.0;
    case 'S':
      return 1000.0;
    default:
      return Bad("is not an ISO 8601 duration such as PT30S");
  }
}

absl::StatusOr<double> IsoMs(const std::string& text) {
  if (text.size() < 3 || text[0] != 'P') return Bad("is not an ISO 8601 duration such as PT30S");
  double total = 0;
  bool time = false;
  for (size_t i = 1; i < text.size();) {
    if (text[i] == 'T' && !time) {
      time = true;
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || text[end] == '.')) ++end;
    if (end == i || end == text.size() || end - i > 12) {
      return Bad("is not an ISO 8601 duration such as PT30S");
    }
    METAMCP_ASSIGN_OR_RETURN(const double unit, UnitMs(text[end], time));
    total += std::strtod(text.substr(i, end - i).c_str(), nullptr) * unit;
    i = end + 1;
  }
  return total;
}

absl::StatusOr<double> ObjectMs(const Json& value) {
  double total = 0;
  for (auto it = value.begin(); it != value.end(); ++it) {
    double unit = 0;
    if (it.key() == "days") unit = 86'400'000;
    if (it.key() == "hours") unit = 3'600'000;
    if (it.key() == "minutes") unit = 60'000;
    if (it.key() == "seconds") unit = 1000;
    if (it.key() == "milliseconds") unit = 1;
    if (unit == 0) return Bad(StrCat("has an unknown unit \"", it.key(), "\""));
    if (!it->is_number() || it->get<double>() < 0)
      return Bad("needs numbers that are not negative");
    total += it->get<double>() * unit;
  }
  return total;
}

}  // namespace

absl::StatusOr<int64_t> DurationMs(std::string_view json_text) {
  METAMCP_ASSIGN_OR_RETURN(const Json value, json::ParseOrderedJson(json_text));
  absl::StatusOr<double> ms = Bad("must be a duration: {seconds: 3} or PT3S");
  if (value.is_string()) ms = IsoMs(value.get<std::string>());
  if (value.is_object() && !value.empty()) ms = ObjectMs(value);
  if (!ms.ok()) return ms.status();
  if (*ms > kMsMax) return Bad("is longer than 100 years");
  return static_cast<int64_t>(*ms);
}

}  // namespace metamcp::workflow
