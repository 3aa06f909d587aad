#pragma once

#include <functional>
#include <mutex>

#include "absl/status/status.h"

namespace metamcp::db {

// Ends database work that runs on another thread. Fire is final: the statement in flight is
// aborted, its transaction rolls back, and every later transaction under the same token fails, all
// with the status that Fire was given. A commit that has begun is not disturbed.
class Interrupt {
 public:
  Interrupt() = default;
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Thread: any, but not the event loop: aborting a PostgreSQL statement connects to the server.
  // Only the first call counts.
  void Fire(absl::Status why);

  // OK until fired. Thread: any.
  absl::Status status() const;

  // For drivers: `abort` is called at most once, by Fire, between Arm and Disarm. Both return
  // status(). After Disarm returned, `abort` neither runs nor will.
  absl::Status Arm(std::function<void()> abort);
  absl::Status Disarm();

 private:
  mutable std::mutex mu_;
  absl::Status why_;             // guarded by mu_
  std::function<void()> abort_;  // guarded by mu_; empty when not armed
};

}  // namespace metamcp::db
