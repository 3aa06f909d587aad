#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
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

// Awaits `op` until `deadline`; then cancels it (terminal), waits for it to unwind, and returns
// DEADLINE_EXCEEDED. Cancellation of the caller is passed to `op` and comes back as CANCELLED.
// Never throws, except operation_aborted to a caller that is itself cancelled.
template <typename T>
Awaitable<T> RunUntil(std::chrono::steady_clock::time_point deadline, Awaitable<T> op) {
  using boost::asio::experimental::awaitable_operators::operator||;
  if (deadline <= std::chrono::steady_clock::now()) {
    co_return T(absl::DeadlineExceededError("the deadline passed before the call began"));
  }
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, deadline);
  auto caught = CatchStatus<T>(std::move(op));
  auto expiry = timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  auto result = co_await (std::move(caught) || std::move(expiry));
  if (result.index() == 0) co_return std::get<0>(std::move(result));
  const auto cancelled = co_await boost::asio::this_coro::cancellation_state;
  if (cancelled.cancelled() != boost::asio::cancellation_type::none) {
    co_return T(absl::CancelledError("the caller cancelled the call"));
  }
  co_return T(absl::DeadlineExceededError("the deadline passed during the call"));
}

// Sleeps; returns false when cancelled.
Awaitable<bool> Sleep(std::chrono::steady_clock::duration time);

}  // namespace metamcp
