#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "common/async/sink.h"

namespace metamcp {

// Owns every coroutine that nobody awaits: Spawn starts it, CancelAll asks all to end, Join waits.
// An exception that leaves a task is logged with the task's name (operation_aborted is silent).
// Single-threaded: all calls on the executor's one thread. The group must outlive its tasks: await
// Join before destroying it (the destructor checks).
class TaskGroup {
 public:
  explicit TaskGroup(boost::asio::any_io_executor executor);
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup();

  // Starts `task` (on the io thread: at once, up to its first wait) and returns its number, which
  // is never used again. After CancelAll nothing is started any more, and 0 is returned.
  uint64_t Spawn(std::string name, Awaitable<void> task);

  // Emits terminal cancellation to one task that has been waited in; nothing if it has ended.
  void Cancel(uint64_t task);

  // Emits terminal cancellation to every running task.
  void CancelAll();

  // Waits until no task runs, at most `limit`. Returns whether all ended.
  Awaitable<bool> Join(std::chrono::steady_clock::duration limit);

  size_t running() const { return tasks_.size(); }

 private:
  struct Task {
    std::string name;
    boost::asio::cancellation_signal signal;
  };
  boost::asio::any_io_executor executor_;
  std::unordered_map<uint64_t, Task> tasks_;
  uint64_t last_ = 0;
  boost::asio::steady_timer idle_;
  bool cancelled_ = false;
};

}  // namespace metamcp
