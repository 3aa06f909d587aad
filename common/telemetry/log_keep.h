#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/telemetry/log.h"

namespace metamcp {

struct KeptLine {
  int64_t time_us = 0;
  LogLevel level = LogLevel::kInfo;
  std::string line;  // the JSON object, without a line break
};

// All that is set must fit.
struct LogFilter {
  LogLevel least = LogLevel::kDebug;
  std::string_view text;   // part of the line
  std::string_view event;  // "noun.verb"; a final '*' stands for any end
  std::string_view trace;  // value of the field "trace"
  int64_t since_us = 0;
  int64_t until_us = 0;  // 0: until now
  size_t limit = 100;
};

// From now on the newest lines are kept in memory, as JSON, up to `bytes_max` of text; 0 keeps
// none. Thread: any.
void KeepLogLines(size_t bytes_max);
// Those kept lines that fit, newest first. Thread: any.
std::vector<KeptLine> FindLogLines(const LogFilter& filter);

namespace log_internal {
// Whether lines are kept.
bool Keeping();
void KeepLine(int64_t time_us, LogLevel level, std::string_view line);
}  // namespace log_internal

}  // namespace metamcp
