#include "common/telemetry/log.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <mutex>

#include "common/telemetry/log_export.h"
#include "common/telemetry/log_file.h"
#include "common/telemetry/log_keep.h"
#include "common/telemetry/log_text.h"

namespace metamcp {
namespace {

using log_internal::kValueBytesMax;
using log_internal::Utf8Length;

std::atomic<LogLevel> g_level{LogLevel::kInfo};
std::string_view g_service = "meta-mcp";
bool g_text = false;
std::mutex g_writer_mu;
std::function<void(std::string_view)> g_writer;  // guarded by g_writer_mu
std::unique_ptr<LogFile> g_file;                 // its writing is guarded by g_writer_mu

constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};

void AppendJsonString(std::string& out, std::string_view s) {
  out.push_back('"');
  const bool cut = s.size() > kValueBytesMax;
  if (cut) s = s.substr(0, kValueBytesMax);
  while (!s.empty()) {
    const auto c = static_cast<unsigned char>(s[0]);
    const size_t n = Utf8Length(s);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(s[0]);
    } else if (c < 0x20 || c == 0x7f || n == 0) {
      char buffer[8];
      std::snprintf(buffer, sizeof(buffer), "\\u%04x", n == 0 ? 0xfffd : c);
      out += buffer;
    } else {
      out.append(s.substr(0, n));
    }
    s.remove_prefix(n == 0 ? 1 : n);
  }
  if (cut) out += "…";
  out.push_back('"');
}

void AppendValue(std::string& out, const LogField::Value& value) {
  if (const auto* s = std::get_if<std::string>(&value)) {
    AppendJsonString(out, *s);
  } else if (const auto* i = std::get_if<int64_t>(&value)) {
    out += std::to_string(*i);
  } else if (const auto* d = std::get_if<double>(&value)) {
    char buffer[32];
    std::snprintf(buffer, sizeof(buffer), "%.6g", *d);
    out += buffer;
  } else {
    out += std::get<bool>(value) ? "true" : "false";
  }
}

std::string Timestamp(int64_t now_us, const char* format) {
  const std::time_t seconds = now_us / 1'000'000;
  std::tm tm{};
  gmtime_r(&seconds, &tm);
  char buffer[40];
  const size_t n = std::strftime(buffer, sizeof(buffer), format, &tm);
  std::snprintf(buffer + n, sizeof(buffer) - n, ".%03d", static_cast<int>(now_us / 1000 % 1000));
  return buffer;
}

using Fields = std::initializer_list<LogField>;

std::string TextLine(int64_t now_us, LogLevel level, std::string_view event, Fields fields) {
  std::string line = Timestamp(now_us, "%H:%M:%S");
  line += ' ';
  line += kNames[static_cast<int>(level)];
  line += ' ';
  line += event;
  for (const auto& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    AppendValue(line, field.value);
  }
  line += '\n';
  return line;
}

std::string JsonLine(int64_t now_us, LogLevel level, std::string_view event, Fields fields) {
  std::string line;
  line.reserve(256);
  line += "{\"ts\":\"" + Timestamp(now_us, "%Y-%m-%dT%H:%M:%S") + "Z\",\"level\":\"";
  line += kNames[static_cast<int>(level)];
  line += "\",\"service\":\"";
  line += g_service;
  line += "\",\"event\":\"";
  line += event;
  line += '"';
  for (const auto& field : fields) {
    line += ",\"";
    line += field.key;
    line += "\":";
    AppendValue(line, field.value);
  }
  line += "}\n";
  return line;
}

void WriteToStderr(std::string_view rest) {
  while (!rest.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, rest.data(), rest.size());
    if (n <= 0) return;
    rest.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  const int64_t now_us = std::chrono::duration_cast<std::chrono::microseconds>(
                             std::chrono::system_clock::now().time_since_epoch())
                             .count();
  if (log_internal::Exporting()) log_internal::ExportLine(now_us, level, event, fields);
  const bool keeping = log_internal::Keeping();
  const bool as_json = !g_text || keeping || g_file != nullptr;
  const std::string json = as_json ? JsonLine(now_us, level, event, fields) : std::string();
  const std::string text = g_text ? TextLine(now_us, level, event, fields) : std::string();
  if (keeping) {
    log_internal::KeepLine(now_us, level, std::string_view(json).substr(0, json.size() - 1));
  }
  const std::lock_guard lock(g_writer_mu);
  if (g_file != nullptr) g_file->Write(json, now_us);
  if (g_writer) {
    g_writer(g_text ? text : json);
  } else {
    WriteToStderr(g_text ? text : json);
  }
}

void SetLogLevel(LogLevel level) { g_level = level; }
LogLevel CurrentLogLevel() { return g_level; }
std::string_view LogLevelName(LogLevel level) { return kNames[static_cast<int>(level)]; }
bool LogEnabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }

bool ParseLogLevel(std::string_view text, LogLevel* level) {
  if (text == "warn") text = "warning";
  for (int i = 0; i < 4; ++i) {
    if (text == kNames[i]) {
      *level = static_cast<LogLevel>(i);
      return true;
    }
  }
  return false;
}

void SetLogService(std::string_view service) { g_service = service; }
void SetLogText(bool text) { g_text = text; }
bool SetLogFile(const std::string& path, int64_t bytes_max, int64_t age_max_s, int files_max,
                std::string* error) {
  const std::lock_guard lock(g_writer_mu);
  g_file.reset();
  if (path.empty()) return true;
  LogFile::Options options;
  options.path = path;
  options.bytes_max = bytes_max;
  options.age_max_s = age_max_s;
  options.files_max = files_max;
  auto file = std::make_unique<LogFile>(std::move(options));
  if (!file->Open(error)) return false;
  g_file = std::move(file);
  return true;
}
void SetLogWriter(std::function<void(std::string_view line)> writer) {
  const std::lock_guard lock(g_writer_mu);
  g_writer = std::move(writer);
}

}  // namespace metamcp
