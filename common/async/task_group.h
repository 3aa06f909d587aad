#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <list>
#include <string>

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

  // Starts `task` (on the io thread: at once, up to its first wait). After CancelAll nothing is
  // started any more.
  void Spawn(std::string name, Awaitable<void> task);

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
  std::list<Task> tasks_;
  boost::asio::steady_timer idle_;
  bool cancelled_ = false;
};

}  // namespace metamcp
