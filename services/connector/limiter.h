#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <list>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/async/sink.h"

namespace metamcp::connector {

// At most `permits` holders at once; others queue in order, at most `queue` of them.
// Single-threaded. Owned by shared_ptr, as permits may outlive their owner.
class Limiter : public std::enable_shared_from_this<Limiter> {
 public:
  // Given back when destroyed.
  class Permit {
   public:
    Permit() = default;
    explicit Permit(std::shared_ptr<Limiter> from) : from_(std::move(from)) {}
    Permit(Permit&& other) noexcept : from_(std::move(other.from_)) {}
    Permit& operator=(Permit&& other) noexcept {
      std::swap(from_, other.from_);
      return *this;
    }
    ~Permit() {
      if (from_ != nullptr) from_->Release();
    }

   private:
    std::shared_ptr<Limiter> from_;
  };

  Limiter(boost::asio::any_io_executor executor, int permits, size_t queue, std::string domain)
      : executor_(std::move(executor)),
        free_(permits),
        queue_max_(queue),
        domain_(std::move(domain)) {}

  // Errors: QUEUE_FULL, DEADLINE_EXCEEDED when it is not this caller's turn by `until`, CANCELLED.
  Awaitable<absl::StatusOr<Permit>> Acquire(std::chrono::steady_clock::time_point until);

  // Takes a permit without waiting, or nothing.
  bool TryAcquire() {
    if (free_ <= 0 || !waiters_.empty()) return false;
    --free_;
    return true;
  }
  Permit Adopt() { return Permit(shared_from_this()); }

  size_t queued() const { return waiters_.size(); }

 private:
  struct Waiter {
    explicit Waiter(const boost::asio::any_io_executor& executor) : timer(executor) {}
    boost::asio::steady_timer timer;
    bool granted = false;
  };
  void Release();

  boost::asio::any_io_executor executor_;
  int free_;
  const size_t queue_max_;
  const std::string domain_;
  std::list<Waiter> waiters_;
};

}  // namespace metamcp::connector
