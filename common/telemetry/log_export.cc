#include "common/telemetry/log_export.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <iterator>
#include <mutex>
#include <thread>

#include "common/telemetry/log_text.h"

namespace metamcp {
namespace {

// What a record costs beside its text.
constexpr size_t kRecordBytes = sizeof(LogRecord) + 64;
constexpr size_t kFieldBytes = sizeof(std::pair<std::string_view, LogField::Value>);

size_t SizeOf(const LogRecord& record) {
  size_t size = kRecordBytes + record.event.size() + record.trace.size();
  for (const auto& [key, value] : record.fields) {
    size += kFieldBytes;
    if (const auto* text = std::get_if<std::string>(&value)) size += text->size();
  }
  return size;
}

struct Queue {
  std::mutex mu;
  std::condition_variable changed;
  bool open = false;               // guarded by mu, as are the next four
  std::vector<LogRecord> records;  // oldest first
  size_t bytes = 0;
  LogExportCounts counts;
  LogExportOptions options;
  std::unique_ptr<LogExporter> exporter;  // the thread's
  bool working = true;                    // the thread's
  std::thread thread;                     // of Start and Stop
};
Queue& TheQueue() {
  static Queue* queue = new Queue;  // logging goes on while the process ends
  return *queue;
}
std::atomic<bool> g_exporting{false};

std::vector<LogRecord> TakeBatch(Queue& queue) {
  const size_t count = std::min(queue.records.size(), queue.options.batch_max);
  const auto end = queue.records.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<LogRecord> batch(std::make_move_iterator(queue.records.begin()),
                               std::make_move_iterator(end));
  queue.records.erase(queue.records.begin(), end);
  for (const LogRecord& record : batch) queue.bytes -= SizeOf(record);
  return batch;
}

void SendBatch(Queue& queue, std::unique_lock<std::mutex>& lock) {
  std::vector<LogRecord> batch = TakeBatch(queue);
  const size_t size = batch.size();
  lock.unlock();
  std::string error;
  const bool sent = queue.exporter->Export(std::move(batch), &error);
  if (sent != queue.working) {
    queue.working = sent;
    Log(sent ? LogLevel::kInfo : LogLevel::kWarning,
        sent ? "logs.exported_again" : "logs.not_exported", {{"error", error}});
  }
  lock.lock();
  (sent ? queue.counts.exported : queue.counts.failed) += size;
}

void RunQueue(Queue& queue) {
  std::unique_lock lock(queue.mu);
  for (;;) {
    queue.changed.wait_for(lock, queue.options.delay, [&queue] {
      return !queue.open || queue.records.size() >= queue.options.batch_max;
    });
    if (!queue.open) break;
    // Not until it is empty: what comes meanwhile waits for its time, too.
    for (size_t left = queue.records.size(); queue.open && left > 0 && !queue.records.empty();) {
      left -= std::min(left, queue.options.batch_max);
      SendBatch(queue, lock);
    }
  }
  // One time limit at a collector that hangs, not one for each batch.
  while (!queue.records.empty() && (queue.working || queue.counts.failed == 0)) {
    SendBatch(queue, lock);
  }
  queue.counts.dropped += queue.records.size();
  queue.records.clear();
  queue.bytes = 0;
}

}  // namespace

void StartLogExport(std::unique_ptr<LogExporter> exporter, const LogExportOptions& options) {
  StopLogExport();
  Queue& queue = TheQueue();
  const std::lock_guard lock(queue.mu);
  queue.exporter = std::move(exporter);
  queue.options = options;
  queue.counts = LogExportCounts();
  queue.working = true;
  queue.open = true;
  queue.thread = std::thread([&queue] { RunQueue(queue); });
  g_exporting = true;
}

void StopLogExport() {
  Queue& queue = TheQueue();
  {
    const std::lock_guard lock(queue.mu);
    if (!queue.open) return;
    queue.open = false;
    g_exporting = false;
  }
  queue.changed.notify_one();
  queue.thread.join();
  queue.exporter.reset();
}

LogExportCounts LogExportsSoFar() {
  Queue& queue = TheQueue();
  const std::lock_guard lock(queue.mu);
  return queue.counts;
}

namespace log_internal {

bool Exporting() { return g_exporting.load(std::memory_order_relaxed); }

void ExportLine(int64_t time_us, LogLevel level, std::string_view event,
                std::initializer_list<LogField> fields) {
  LogRecord record;
  record.time_us = time_us;
  record.level = level;
  record.event = event;
  record.fields.reserve(fields.size());
  for (const LogField& field : fields) {
    const auto* text = std::get_if<std::string>(&field.value);
    if (field.key == "trace" && text != nullptr) {
      record.trace = CleanValue(*text);
    } else {
      record.fields.emplace_back(
          field.key, text == nullptr ? field.value : LogField::Value(CleanValue(*text)));
    }
  }
  const size_t size = SizeOf(record);
  Queue& queue = TheQueue();
  bool full = false;
  {
    const std::lock_guard lock(queue.mu);
    if (!queue.open) return;
    if (queue.bytes + size > queue.options.bytes_max) {
      ++queue.counts.dropped;
      return;
    }
    queue.bytes += size;
    queue.records.push_back(std::move(record));
    full = queue.records.size() == queue.options.batch_max;
  }
  if (full) queue.changed.notify_one();
}

}  // namespace log_internal
}  // namespace metamcp
