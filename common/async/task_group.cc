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

void TaskGroup::Spawn(std::string name, Awaitable<void> task) {
  // A coroutine that is cancelled before its first suspension would throw out of the event loop
  // (Asio 1.81), so one that comes too late is not started.
  if (cancelled_) return;
  tasks_.emplace_back();
  const auto it = std::prev(tasks_.end());
  it->name = std::move(name);
  auto done = [this, it](std::exception_ptr e) {
    if (e) {
      const absl::Status status = StatusFromException(e);
      if (!absl::IsCancelled(status)) {
        Log(LogLevel::kError, "task.failed",
            {{"task", it->name}, {"error", std::string(status.message())}});
      }
    }
    // Asio touches the task's cancellation slot after this handler, and a signal must not be
    // destroyed while it emits: the task leaves the list in a turn of its own.
    boost::asio::post(executor_, [this, it] {
      tasks_.erase(it);
      if (tasks_.empty()) idle_.cancel();
    });
  };
  boost::asio::co_spawn(executor_, std::move(task),
                        boost::asio::bind_cancellation_slot(it->signal.slot(), std::move(done)));
}

void TaskGroup::CancelAll() {
  cancelled_ = true;
  for (Task& task : tasks_) task.signal.emit(boost::asio::cancellation_type::terminal);
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
