#pragma once

#include <algorithm>
#include <chrono>
#include <random>
#include <string_view>

namespace metamcp::connector {

// Counts an upstream's failures in a row. After `failures` of them it is open: nothing is tried for
// a while, then one probe decides (half-open). Time comes from the caller. Single-threaded.
class Breaker {
 public:
  using Clock = std::chrono::steady_clock;
  Breaker(int failures, Clock::duration open_for) : failures_max_(failures), open_for_(open_for) {}

  // Whether something may be tried now. True once per half-open period.
  bool Allow(Clock::time_point now) {
    if (!open_) return true;
    if (now < retry_at_ || probing_) return false;
    probing_ = true;
    return true;
  }
  void Succeeded() {
    failures_ = 0;
    open_ = probing_ = false;
  }
  void Failed(Clock::time_point now) {
    ++failures_;
    if (!probing_ && failures_ < failures_max_) return;
    open_ = true;
    probing_ = false;
    retry_at_ = now + open_for_;
  }
  // A try that ended without saying anything about the upstream.
  void Abandoned() { probing_ = false; }

  bool open() const { return open_; }
  int failures() const { return failures_; }
  Clock::time_point retry_at() const { return retry_at_; }
  std::string_view name(Clock::time_point now) const {
    if (!open_) return "closed";
    return probing_ || now >= retry_at_ ? "half-open" : "open";
  }

 private:
  const int failures_max_;
  const Clock::duration open_for_;
  int failures_ = 0;
  bool open_ = false;
  bool probing_ = false;
  Clock::time_point retry_at_;
};

// Exponential backoff with full jitter: a wait between `min` and min * 2^attempt, at most `max`.
class Backoff {
 public:
  using Duration = std::chrono::milliseconds;
  Backoff(Duration min, Duration max, uint32_t seed) : min_(min), max_(max), random_(seed) {}

  Duration Next() {
    const int64_t ceiling =
        std::min<int64_t>(max_.count(), min_.count() << std::min(attempts_, 20));
    ++attempts_;
    std::uniform_int_distribution<int64_t> pick(min_.count(), std::max(min_.count(), ceiling));
    return Duration(pick(random_));
  }
  void Reset() { attempts_ = 0; }
  int attempts() const { return attempts_; }

 private:
  const Duration min_;
  const Duration max_;
  int attempts_ = 0;
  std::minstd_rand random_;
};

}  // namespace metamcp::connector
