#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace metamcp::load {

// What one process has used so far. `cpu_ns` sums its threads that are still alive.
struct ProcessUse {
  int64_t cpu_ns = 0;
  int64_t rss_kib = 0;
  int64_t threads = 0;
  int64_t fds = 0;
};
ProcessUse ReadProcess(pid_t pid);

// Times of calls, for percentiles. Exact: every value is kept.
class Latencies {
 public:
  void Add(std::chrono::nanoseconds time) { tenths_us_.push_back(time.count() / 100); }
  size_t count() const { return tenths_us_.size(); }
  void Clear() { tenths_us_.clear(); }
  // In microseconds; 0 without values. `share` in [0, 1].
  double Percentile(double share);
  double Mean() const;

 private:
  std::vector<int64_t> tenths_us_;
  bool sorted_ = false;
};

}  // namespace metamcp::load
