#include "cli/moment.h"

#include <charconv>
#include <ctime>

#include "cli/context.h"
#include "cli/rest_json.h"
#include "common/base/strings.h"

namespace metamcp::cli {

absl::StatusOr<std::string> MomentUs(const std::string& text) {
  if (text.empty()) return std::string();
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  if (error == std::errc() && unit.size() == 1) {
    const int64_t seconds = unit == "s"   ? 1
                            : unit == "m" ? 60
                            : unit == "h" ? 3600
                            : unit == "d" ? 86'400
                                          : 0;
    if (seconds > 0) return std::to_string(NowUs() - number * seconds * 1'000'000);
  }
  for (const char* form : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"}) {
    std::tm parts{};
    const char* rest = ::strptime(text.c_str(), form, &parts);
    if (rest != nullptr && (*rest == '\0' || std::string_view(rest) == "Z")) {
      return std::to_string(static_cast<int64_t>(::timegm(&parts)) * 1'000'000);
    }
  }
  return UsageError(
      StrCat("\"", text, "\" is no time"),
      "Write 2026-11-30, 2026-11-30T16:05:00, or 90s, 15m, 3h, 7d for that long ago.");
}

}  // namespace metamcp::cli
