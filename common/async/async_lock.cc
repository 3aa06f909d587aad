#include "common/async/async_lock.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace metamcp {

Signal::Signal(boost::asio::any_io_executor executor)
    : timer_(std::move(executor), boost::asio::steady_timer::time_point::max()) {}

void Signal::Notify() { timer_.cancel(); }

Awaitable<void> Signal::Wait() {
  const auto token = boost::asio::as_tuple(boost::asio::use_awaitable);
  co_await timer_.async_wait(token);
}

AsyncLock::Guard::~Guard() {
  if (lock_ == nullptr) return;
  lock_->held_ = false;
  lock_->freed_.Notify();
}

Awaitable<AsyncLock::Guard> AsyncLock::Lock() {
  while (held_) co_await freed_.Wait();
  held_ = true;
  co_return Guard(this);
}

}  // namespace metamcp
