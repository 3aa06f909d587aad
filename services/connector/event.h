#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>

#include "common/async/run.h"

namespace metamcp::connector {

// Wakes one waiting coroutine; a Set before the wait is remembered. Single-threaded.
class Event {
 public:
  explicit Event(const boost::asio::any_io_executor& executor) : timer_(executor) {}

  void Clear() { set_ = false; }
  void Set() {
    set_ = true;
    timer_.cancel();
  }
  // Returns true when it was set (and takes it back), false at `until` or when cancelled.
  Awaitable<bool> WaitUntil(std::chrono::steady_clock::time_point until) {
    if (!set_) {
      timer_.expires_at(until);
      co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    }
    const bool was = set_;
    set_ = false;
    co_return was;
  }

 private:
  boost::asio::steady_timer timer_;
  bool set_ = false;
};

// Wakes every coroutine that waits. Single-threaded.
class Broadcast {
 public:
  explicit Broadcast(const boost::asio::any_io_executor& executor)
      : timer_(executor, boost::asio::steady_timer::time_point::max()) {}
  void WakeAll() { timer_.cancel(); }
  // Returns when woken, or soon after `until`; the caller checks its condition and the time again.
  Awaitable<void> WaitUntil(std::chrono::steady_clock::time_point until) {
    using boost::asio::experimental::awaitable_operators::operator||;
    boost::asio::steady_timer limit(timer_.get_executor(), until);
    auto woken = timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    auto expired = limit.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    co_await (std::move(woken) || std::move(expired));
  }

 private:
  boost::asio::steady_timer timer_;
};

}  // namespace metamcp::connector
