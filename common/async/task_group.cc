#include "common/async/task_group.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include "common/async/run.h"
#include "common/base/check.h"
#include "common/telemetry/log.h"

namespace metamcp {

TaskGroup::TaskGroup(boost::asio::any_io_executor executor)
    : executor_(executor), idle_(executor, boost::asio::steady_timer::time_point::max()) {}

TaskGroup::~TaskGroup() { METAMCP_CHECK(tasks_.empty()); }

uint64_t TaskGroup::Spawn(std::string name, Awaitable<void> task) {
  // A coroutine that is cancelled before its first suspension would throw out of the event loop
  // (Asio 1.81), so one that comes too late is not started.
  if (cancelled_) return 0;
  const uint64_t number = ++last_;
  Task& entry = tasks_[number];
  entry.name = std::move(name);
  auto done = [this, number](std::exception_ptr e) {
    if (e) {
      const absl::Status status = StatusFromException(e);
      if (!absl::IsCancelled(status)) {
        Log(LogLevel::kError, "task.failed",
            {{"task", tasks_[number].name}, {"error", std::string(status.message())}});
      }
    }
    // Asio touches the task's cancellation slot after this handler, and a signal must not be
    // destroyed while it emits: the task leaves the group in a turn of its own.
    boost::asio::post(executor_, [this, number] {
      tasks_.erase(number);
      if (tasks_.empty()) idle_.cancel();
    });
  };
  boost::asio::co_spawn(executor_, std::move(task),
                        boost::asio::bind_cancellation_slot(entry.signal.slot(), std::move(done)));
  return number;
}

void TaskGroup::Cancel(uint64_t task) {
  const auto it = tasks_.find(task);
  if (it != tasks_.end()) it->second.signal.emit(boost::asio::cancellation_type::terminal);
}

void TaskGroup::CancelAll() {
  cancelled_ = true;
  for (auto& [number, task] : tasks_) {
    task.signal.emit(boost::asio::cancellation_type::terminal);
  }
}

Awaitable<bool> TaskGroup::Join(std::chrono::steady_clock::duration limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (!tasks_.empty() && std::chrono::steady_clock::now() < until) {
    idle_.expires_at(until);
    co_await idle_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  co_return tasks_.empty();
}

}  // namespace metamcp
