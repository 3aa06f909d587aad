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

TEST(RunCancellableTest, ReturnsTheResultOfWhatIsNotCancelled) {
  asio::io_context io;
  auto canceller = std::make_shared<Canceller>();
  EXPECT_EQ(*RunAll(io, RunCancellable(canceller, Answer(milliseconds(1)))), 42);
  canceller->Cancel();  // too late, and harmless
  EXPECT_TRUE(canceller->cancelled());
}

TEST(RunCancellableTest, NeverStartsWhatIsCancelledBefore) {
  asio::io_context io;
  auto canceller = std::make_shared<Canceller>();
  canceller->Cancel();
  auto op = RunCancellable(canceller, Throws());
  EXPECT_TRUE(absl::IsCancelled(RunAll<absl::Status>(io, std::move(op))));
}

TEST(RunCancellableTest, WaitsForWhatItCancelsToUnwind) {
  asio::io_context io;
  auto canceller = std::make_shared<Canceller>();
  bool unwound = false;
  auto work = [](bool* out) -> Awaitable<absl::Status> {
    const std::shared_ptr<void> leaving(nullptr, [out](void*) { *out = true; });
    const bool slept = co_await Sleep(std::chrono::hours(1));
    co_return slept ? absl::InternalError("not woken") : absl::OkStatus();
  };
  asio::steady_timer later(io, std::chrono::milliseconds(1));
  later.async_wait([canceller](const boost::system::error_code&) { canceller->Cancel(); });
  auto op = RunCancellable(canceller, work(&unwound));
  EXPECT_TRUE(absl::IsCancelled(RunAll<absl::Status>(io, std::move(op))));
  EXPECT_TRUE(unwound);
}

TEST(RunCancellableTest, PassesTheCallersCancellationOn) {
  asio::io_context io;
  asio::cancellation_signal signal;
  auto canceller = std::make_shared<Canceller>();
  bool ended = false;
  auto done = [&ended](std::exception_ptr, absl::StatusOr<int> v) {
    ended = true;
    EXPECT_FALSE(v.ok());
  };
  asio::co_spawn(io, RunCancellable(canceller, Answer(std::chrono::hours(1))),
                 asio::bind_cancellation_slot(signal.slot(), std::move(done)));
  asio::post(io, [&signal] { signal.emit(asio::cancellation_type::terminal); });
  io.run();
  EXPECT_TRUE(ended);
}

// The signal must outlive what Asio does after the operation has resumed its caller.
TEST(RunCancellableTest, LetsTheCancellerGoWithTheOperation) {
  asio::io_context io;
  auto many = []() -> Awaitable<absl::StatusOr<int>> {
    int sum = 0;
    for (int i = 0; i < 100; ++i) {
      auto canceller = std::make_shared<Canceller>();
      if (i % 2 == 1) {
        auto executor = co_await asio::this_coro::executor;
        asio::post(executor, [canceller] { canceller->Cancel(); });
      }
      auto op = RunCancellable(std::move(canceller), Answer(std::chrono::hours(i % 2)));
      const auto result = co_await std::move(op);
      sum += result.ok() ? 1 : 0;
    }
    co_return sum;
  };
  EXPECT_EQ(*RunAll(io, many()), 50);
}

}  // namespace
}  // namespace metamcp
