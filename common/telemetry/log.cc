#include "common/telemetry/log.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <mutex>

namespace metamcp {
namespace {

constexpr size_t kValueBytesMax = 2048;

std::atomic<LogLevel> g_level{LogLevel::kInfo};
std::string_view g_service = "meta-mcp";
bool g_text = false;
std::mutex g_writer_mu;
std::function<void(std::string_view)> g_writer;  // guarded by g_writer_mu

constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};

// Length of the valid UTF-8 sequence at `s`, 0 if it is not valid (RFC 3629).
size_t Utf8Length(std::string_view s) {
  const auto b = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const auto cont = [&](size_t i) { return i < s.size() && (b(i) & 0xc0) == 0x80; };
  if (b(0) < 0x80) return 1;
  if (b(0) >= 0xc2 && b(0) <= 0xdf) return cont(1) ? 2 : 0;
  if (b(0) >= 0xe0 && b(0) <= 0xef) {
    if (!cont(1) || !cont(2)) return 0;
    if (b(0) == 0xe0 && b(1) < 0xa0) return 0;
    if (b(0) == 0xed && b(1) > 0x9f) return 0;
    return 3;
  }
  if (b(0) >= 0xf0 && b(0) <= 0xf4) {
    if (!cont(1) || !cont(2) || !cont(3)) return 0;
    if (b(0) == 0xf0 && b(1) < 0x90) return 0;
    if (b(0) == 0xf4 && b(1) > 0x8f) return 0;
    return 4;
  }
  return 0;
}

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

std::string Timestamp(const char* format) {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm tm{};
  gmtime_r(&seconds, &tm);
  char buffer[40];
  const size_t n = std::strftime(buffer, sizeof(buffer), format, &tm);
  std::snprintf(buffer + n, sizeof(buffer) - n, ".%03d", static_cast<int>(ms));
  return buffer;
}

}  // namespace

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  std::string line;
  line.reserve(256);
  if (g_text) {
    line += Timestamp("%H:%M:%S");
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
  } else {
    line += "{\"ts\":\"" + Timestamp("%Y-%m-%dT%H:%M:%S") + "Z\",\"level\":\"";
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
    line += '}';
  }
  line += '\n';
  const std::lock_guard lock(g_writer_mu);
  if (g_writer) {
    g_writer(line);
    return;
  }
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, rest.data(), rest.size());
    if (n <= 0) return;
    rest.remove_prefix(static_cast<size_t>(n));
  }
}

void SetLogLevel(LogLevel level) { g_level = level; }
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
void SetLogWriter(std::function<void(std::string_view line)> writer) {
  const std::lock_guard lock(g_writer_mu);
  g_writer = std::move(writer);
}

}  // namespace metamcp
