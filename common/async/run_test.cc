#include "common/async/run.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <stdexcept>

namespace metamcp {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

template <typename T>
T RunAll(asio::io_context& io, Awaitable<T> op) {
  std::optional<T> out;
  asio::co_spawn(io, std::move(op), [&out](std::exception_ptr e, T value) {
    ASSERT_FALSE(e);
    out = std::move(value);
  });
  io.run();
  return *out;
}

Awaitable<absl::StatusOr<int>> Answer(milliseconds after) {
  const bool slept = co_await Sleep(after);
  if (!slept) co_return absl::CancelledError("woken");
  co_return 42;
}
Awaitable<absl::Status> Throws() {
  throw std::runtime_error("boom");
  co_return absl::OkStatus();
}

TEST(RunUntilTest, ReturnsTheResultInTime) {
  asio::io_context io;
  auto op = RunUntil(std::chrono::steady_clock::now() + std::chrono::seconds(30),
                     Answer(milliseconds(1)));
  EXPECT_EQ(*RunAll<absl::StatusOr<int>>(io, std::move(op)), 42);
}

TEST(RunUntilTest, CancelsTheWorkAtTheDeadline) {
  asio::io_context io;
  auto op =
      RunUntil(std::chrono::steady_clock::now() + milliseconds(5), Answer(std::chrono::hours(1)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(RunAll<absl::StatusOr<int>>(io, std::move(op)).status()));
}

TEST(RunUntilTest, TurnsAnExceptionIntoAStatus) {
  asio::io_context io;
  auto op = RunUntil(std::chrono::steady_clock::now() + std::chrono::seconds(30), Throws());
  const absl::Status s = RunAll<absl::Status>(io, std::move(op));
  EXPECT_EQ(s.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(s.message(), "boom");
}

TEST(RunUntilTest, PassesTheCallersCancellationOn) {
  asio::io_context io;
  asio::cancellation_signal signal;
  bool ended = false;
  auto op = RunUntil(std::chrono::steady_clock::now() + std::chrono::hours(1),
                     Answer(std::chrono::hours(1)));
  auto done = [&ended](std::exception_ptr, absl::StatusOr<int> v) {
    ended = true;
    EXPECT_FALSE(v.ok());
  };
  asio::co_spawn(io, std::move(op), asio::bind_cancellation_slot(signal.slot(), std::move(done)));
  asio::post(io, [&signal] { signal.emit(asio::cancellation_type::terminal); });
  io.run();
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace metamcp
