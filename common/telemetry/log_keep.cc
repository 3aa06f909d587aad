#include "common/telemetry/log_keep.h"

#include <atomic>
#include <deque>
#include <mutex>

namespace metamcp {
namespace {

// What a line costs beside its text.
constexpr size_t kLineBytes = sizeof(KeptLine) + 32;

struct Kept {
  std::mutex mu;
  std::deque<KeptLine> lines;  // oldest first; guarded by mu, as is the next
  size_t bytes = 0;
};
Kept& Lines() {
  static Kept* kept = new Kept;  // logging goes on while the process ends
  return *kept;
}
std::atomic<size_t> g_bytes_max{0};

void Trim(Kept& kept) {
  const size_t bytes_max = g_bytes_max;
  while (kept.bytes > bytes_max && !kept.lines.empty()) {
    kept.bytes -= kept.lines.front().line.size() + kLineBytes;
    kept.lines.pop_front();
  }
}

// Whether `line` has the member `"key":"value…"`; values are written by Log, so they are escaped
// and nothing else in a line looks like it.
bool HasField(std::string_view line, std::string_view key, std::string_view value) {
  const bool open_end = !value.empty() && value.back() == '*';
  if (open_end) value.remove_suffix(1);
  std::string member = "\"";
  member.append(key).append("\":\"").append(value);
  if (!open_end) member += '"';
  return line.find(member) != std::string_view::npos;
}

bool Fits(const KeptLine& line, const LogFilter& filter) {
  return line.level >= filter.least && line.time_us >= filter.since_us &&
         (filter.until_us == 0 || line.time_us < filter.until_us) &&
         (filter.event.empty() || HasField(line.line, "event", filter.event)) &&
         (filter.trace.empty() || HasField(line.line, "trace", filter.trace)) &&
         (filter.text.empty() || line.line.find(filter.text) != std::string::npos);
}

}  // namespace

void KeepLogLines(size_t bytes_max) {
  Kept& kept = Lines();
  const std::lock_guard lock(kept.mu);
  g_bytes_max = bytes_max;
  Trim(kept);
}

std::vector<KeptLine> FindLogLines(const LogFilter& filter) {
  Kept& kept = Lines();
  std::vector<KeptLine> found;
  const std::lock_guard lock(kept.mu);
  for (auto it = kept.lines.rbegin(); it != kept.lines.rend() && found.size() < filter.limit;
       ++it) {
    if (Fits(*it, filter)) found.push_back(*it);
  }
  return found;
}

namespace log_internal {

bool Keeping() { return g_bytes_max.load(std::memory_order_relaxed) > 0; }

void KeepLine(int64_t time_us, LogLevel level, std::string_view line) {
  Kept& kept = Lines();
  const std::lock_guard lock(kept.mu);
  kept.lines.push_back({time_us, level, std::string(line)});
  kept.bytes += line.size() + kLineBytes;
  Trim(kept);
}

}  // namespace log_internal
}  // namespace metamcp
