#include "services/connector/limiter.h"

#include "common/async/run.h"
#include "common/base/error.h"

namespace metamcp::connector {

Awaitable<absl::StatusOr<Limiter::Permit>> Limiter::Acquire(
    std::chrono::steady_clock::time_point until) {
  const auto self = shared_from_this();
  if (TryAcquire()) co_return Permit(self);
  if (waiters_.size() >= queue_max_) {
    co_return MakeError("QUEUE_FULL", domain_, "too many calls are waiting for this upstream");
  }
  const auto it = waiters_.emplace(waiters_.end(), executor_);
  it->timer.expires_at(until);
  co_await it->timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  const bool granted = it->granted;
  waiters_.erase(it);
  Permit permit = granted ? Permit(self) : Permit();
  const auto state = co_await boost::asio::this_coro::cancellation_state;
  if (state.cancelled() != boost::asio::cancellation_type::none) {
    co_return absl::CancelledError("cancelled");
  }
  if (!granted) {
    co_return MakeError("DEADLINE_EXCEEDED", domain_, "the call's turn did not come in time");
  }
  co_return permit;
}

void Limiter::Release() {
  for (Waiter& waiter : waiters_) {
    if (waiter.granted) continue;
    waiter.granted = true;
    waiter.timer.cancel();
    return;
  }
  ++free_;
}

}  // namespace metamcp::connector
