#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace metamcp {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// One typed field of a log line.
struct LogField {
  using Value = std::variant<std::string, int64_t, double, bool>;
  LogField(std::string_view key_in, std::string_view value_in)
      : key(key_in), value(std::string(value_in)) {}
  LogField(std::string_view key_in, const std::string& value_in) : key(key_in), value(value_in) {}
  LogField(std::string_view key_in, const char* value_in)
      : key(key_in), value(std::string(value_in)) {}
  LogField(std::string_view key_in, bool value_in) : key(key_in), value(value_in) {}
  LogField(std::string_view key_in, double value_in) : key(key_in), value(value_in) {}
  template <typename Int, typename = std::enable_if_t<std::is_integral_v<Int>>>
  LogField(std::string_view key_in, Int value_in)
      : key(key_in), value(static_cast<int64_t>(value_in)) {}

  std::string_view key;  // a literal
  Value value;
};

// Writes one line {"ts":…,"level":…,"service":…,"event":…,fields} to stderr. `event` is a constant
// "noun.verb". Values over 2 KiB are cut; control characters and invalid UTF-8 are escaped. Never
// log tokens, headers, arguments, results or SQL parameters. A field "trace" holds the id of the
// trace that the line belongs to (trace::TraceIdOf). Thread: any; lines do not mix.
void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

// Lines below `level` are dropped. Thread: any.
void SetLogLevel(LogLevel level);
LogLevel CurrentLogLevel();
std::string_view LogLevelName(LogLevel level);
bool LogEnabled(LogLevel level);
// Parses debug, info, warning (or warn), error. Returns false for anything else.
bool ParseLogLevel(std::string_view text, LogLevel* level);

// The name in "service"; a literal. Call before threads start.
void SetLogService(std::string_view service);

// Human-readable lines ("12:03:04 INFO  event key=value") instead of JSON. Call before threads
// start.
void SetLogText(bool text);

// Writes the lines, as JSON, to a file too (log_file.h). False: `*error` says why. An empty path
// ends that. Call before threads start.
bool SetLogFile(const std::string& path, int64_t bytes_max, int64_t age_max_s, int files_max,
                std::string* error);

// Sends lines to `writer` instead of stderr, for tests; nullptr restores stderr.
void SetLogWriter(std::function<void(std::string_view line)> writer);

}  // namespace metamcp
