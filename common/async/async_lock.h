#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

#include "common/async/sink.h"

namespace metamcp {

// Something that coroutines of one thread wait for. Notify wakes all; a waiter checks its condition
// again. Must outlive its waiters.
class Signal {
 public:
  explicit Signal(boost::asio::any_io_executor executor);
  void Notify();
  // Returns at the next Notify; or when the caller is cancelled, whose next await then throws.
  Awaitable<void> Wait();

 private:
  boost::asio::steady_timer timer_;
};

// Mutual exclusion of coroutines of one thread, across their awaits.
class AsyncLock {
 public:
  class Guard {
   public:
    explicit Guard(AsyncLock* lock) : lock_(lock) {}
    Guard(Guard&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)) {}
    Guard& operator=(Guard&&) = delete;
    ~Guard();

   private:
    AsyncLock* lock_;
  };

  explicit AsyncLock(boost::asio::any_io_executor executor) : freed_(std::move(executor)) {}
  Awaitable<Guard> Lock();

 private:
  Signal freed_;
  bool held_ = false;
};

}  // namespace metamcp
