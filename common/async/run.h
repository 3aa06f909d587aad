#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/async/sink.h"

namespace metamcp {

// Turns the exception in flight into a Status: Asio's operation_aborted is CANCELLED, everything
// else INTERNAL.
absl::Status StatusFromException(std::exception_ptr e);

// Awaits `op` and turns an exception into a Status. T is absl::Status or absl::StatusOr<X>.
template <typename T>
Awaitable<T> CatchStatus(Awaitable<T> op) {
  std::exception_ptr caught;
  try {
    co_return co_await std::move(op);
  } catch (...) {
    caught = std::current_exception();
  }
  co_return T(StatusFromException(caught));
}

// The switch that ends an operation started with RunCancellable. Single-threaded; may be thrown
// before, during and after the operation. Held by a shared_ptr.
class Canceller {
 public:
  Canceller() = default;
  Canceller(const Canceller&) = delete;
  Canceller& operator=(const Canceller&) = delete;

  void Cancel() {
    cancelled_ = true;
    signal_.emit(boost::asio::cancellation_type::terminal);
  }
  bool cancelled() const { return cancelled_; }
  boost::asio::cancellation_slot slot() { return signal_.slot(); }

 private:
  boost::asio::cancellation_signal signal_;
  bool cancelled_ = false;
};

// Awaits `op`, which `canceller` (of this operation only) can end early: then `op` is cancelled
// (terminal) and unwinds, and CANCELLED is returned whatever it says. Cancellation of the caller is
// passed to `op`. Costs the start of one coroutine, a fraction of what `op || timer` costs.
// Never throws, except operation_aborted to a caller that is itself cancelled.
template <typename T>
Awaitable<T> RunCancellable(std::shared_ptr<Canceller> canceller, Awaitable<T> op) {
  if (canceller->cancelled()) co_return T(absl::CancelledError("cancelled before it began"));
  const auto executor = co_await boost::asio::this_coro::executor;
  const auto state = co_await boost::asio::this_coro::cancellation_state;
  // Asio touches the operation's slot once more after it has resumed us: the signal stays for one
  // more turn of the loop.
  struct Later {
    ~Later() {
      boost::asio::post(executor, [canceller = std::move(canceller)] {});
    }
    std::shared_ptr<Canceller> canceller;
    const boost::asio::any_io_executor& executor;
  } later{canceller, executor};
  auto caught = CatchStatus<T>(std::move(op));
  auto callers = state.slot();
  if (callers.is_connected()) {
    callers.assign([to = canceller.get()](boost::asio::cancellation_type) { to->Cancel(); });
  }
  auto token = boost::asio::bind_cancellation_slot(canceller->slot(), boost::asio::use_awaitable);
  T result = co_await boost::asio::co_spawn(executor, std::move(caught), token);
  if (callers.is_connected()) callers.clear();
  if (canceller->cancelled()) co_return T(absl::CancelledError("cancelled"));
  co_return result;
}

// Awaits `op` until `deadline`; then cancels it (terminal), waits for it to unwind, and returns
// DEADLINE_EXCEEDED. Cancellation of the caller is passed to `op` and comes back as CANCELLED.
// Never throws, except operation_aborted to a caller that is itself cancelled.
template <typename T>
Awaitable<T> RunUntil(std::chrono::steady_clock::time_point deadline, Awaitable<T> op) {
  if (deadline <= std::chrono::steady_clock::now()) {
    co_return T(absl::DeadlineExceededError("the deadline passed before the call began"));
  }
  auto canceller = std::make_shared<Canceller>();
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, deadline);
  timer.async_wait([canceller](const boost::system::error_code& error) {
    if (!error) canceller->Cancel();
  });
  auto running = RunCancellable(canceller, std::move(op));
  T result = co_await std::move(running);
  if (!canceller->cancelled()) co_return result;
  const auto cancelled = co_await boost::asio::this_coro::cancellation_state;
  if (cancelled.cancelled() != boost::asio::cancellation_type::none) {
    co_return T(absl::CancelledError("the caller cancelled the call"));
  }
  co_return T(absl::DeadlineExceededError("the deadline passed during the call"));
}

// Sleeps; returns false when cancelled.
Awaitable<bool> Sleep(std::chrono::steady_clock::duration time);

}  // namespace metamcp
