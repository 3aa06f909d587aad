#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/telemetry/log.h"

// Log lines on their way to a collector, beside where they are written. A line costs one look at a
// flag where nothing is exported.
namespace metamcp {

// Text is valid UTF-8, cut as in the line.
struct LogRecord {
  int64_t time_us = 0;
  LogLevel level = LogLevel::kInfo;
  std::string event;
  std::vector<std::pair<std::string_view, LogField::Value>> fields;  // without "trace"
  std::string trace;                                                 // 32 hex digits, or empty
};

// Sends records away. Called on one thread; may block, but must return soon after its own time
// limit, because a stop waits for it.
class LogExporter {
 public:
  virtual ~LogExporter() = default;
  // False: `*error` says why, and the records are lost.
  virtual bool Export(std::vector<LogRecord> records, std::string* error) = 0;
};

struct LogExportOptions {
  LogExportOptions() = default;
  size_t bytes_max = 4 << 20;  // in the queue; what does not fit is dropped and counted
  size_t batch_max = 512;
  std::chrono::milliseconds delay{1000};  // between exports of less than a batch
};

// Begins to export what is logged from now on; once per process at a time. Thread: any.
void StartLogExport(std::unique_ptr<LogExporter> exporter, const LogExportOptions& options);
// Sends what is left and ends; what is logged meanwhile may be lost. Nothing happens without a
// start.
void StopLogExport();

struct LogExportCounts {
  uint64_t exported = 0;
  uint64_t dropped = 0;  // the queue was full
  uint64_t failed = 0;   // the exporter gave up
};
// Since the last start.
LogExportCounts LogExportsSoFar();

namespace log_internal {
bool Exporting();
void ExportLine(int64_t time_us, LogLevel level, std::string_view event,
                std::initializer_list<LogField> fields);
}  // namespace log_internal

}  // namespace metamcp
