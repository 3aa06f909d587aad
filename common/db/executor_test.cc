#include "common/db/executor.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <stdexcept>
#include <thread>

#include "common/base/error.h"
#include "common/db/testing.h"

namespace metamcp::db {
namespace {

namespace asio = boost::asio;

constexpr std::string_view kEndless =
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT (i + 1) % 1000 FROM c)"
    " SELECT count(*) AS n FROM c";

std::string Reason(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : "";
}

using Op = std::function<absl::StatusOr<int>(Database&)>;

class ExecutorTest : public DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    Start(1, 16);
  }
  void Start(int threads, int queue_max) {
    executor_ = nullptr;
    ExecutorOptions options;
    options.threads = threads;
    options.queue_max = queue_max;
    executor_ = std::make_unique<DbExecutor>(*db_, options);
  }
  // Starts a call; its result comes to `out` while io_ runs.
  void Spawn(Op op, std::optional<absl::StatusOr<int>>* out,
             std::chrono::milliseconds limit = std::chrono::minutes(5),
             asio::cancellation_signal* signal = nullptr) {
    CallContext context;
    context.deadline = CallContext::Clock::now() + limit;
    auto call = executor_->Run<int>(context, std::move(op));
    auto done = [out, this](std::exception_ptr e, absl::StatusOr<int> result) {
      EXPECT_FALSE(e);
      EXPECT_TRUE(std::this_thread::get_id() == caller_);
      *out = std::move(result);
    };
    if (signal == nullptr) {
      asio::co_spawn(io_, std::move(call), std::move(done));
    } else {
      asio::co_spawn(io_, std::move(call),
                     asio::bind_cancellation_slot(signal->slot(), std::move(done)));
    }
  }
  // Holds the one thread until Release.
  void Occupy(std::optional<absl::StatusOr<int>>* out) {
    Spawn(
        [this](Database&) -> absl::StatusOr<int> {
          taken_.set_value();
          release_.get_future().wait();
          return 0;
        },
        out);
    io_.poll();
    taken_.get_future().wait();
  }
  static Op Answer(int n) {
    return [n](Database&) -> absl::StatusOr<int> { return n; };
  }

  const std::thread::id caller_ = std::this_thread::get_id();
  asio::io_context io_;
  std::promise<void> taken_;
  std::promise<void> release_;
  std::unique_ptr<DbExecutor> executor_;
};

TEST_P(ExecutorTest, ReturnsTheResultOnTheCallersThread) {
  std::optional<absl::StatusOr<int>> out;
  std::thread::id worker;
  Spawn(
      [&worker](Database& db) -> absl::StatusOr<int> {
        worker = std::this_thread::get_id();
        METAMCP_ASSIGN_OR_RETURN(
            const Row row, db.Read([](Transaction& tx) { return tx.QueryOne("SELECT 42 AS n"); }));
        METAMCP_ASSIGN_OR_RETURN(const int64_t n, row.Get<int64_t>("n"));
        return static_cast<int>(n);
      },
      &out);
  io_.run();
  EXPECT_EQ(out->value(), 42);
  EXPECT_TRUE(worker != caller_);
}

TEST_P(ExecutorTest, PassesErrorsAndExceptionsOn) {
  std::optional<absl::StatusOr<int>> error;
  std::optional<absl::StatusOr<int>> thrown;
  Spawn([](Database&) -> absl::StatusOr<int> { return absl::DataLossError("x"); }, &error);
  Spawn([](Database&) -> absl::StatusOr<int> { throw std::runtime_error("boom"); }, &thrown);
  io_.run();
  EXPECT_EQ(error->status(), absl::DataLossError("x"));
  EXPECT_TRUE(absl::IsInternal(thrown->status()));
}

TEST_P(ExecutorTest, RefusesWhatDoesNotFitTheQueue) {
  Start(1, 2);
  std::optional<absl::StatusOr<int>> first;
  Occupy(&first);
  std::vector<std::optional<absl::StatusOr<int>>> out(3);
  for (int i = 0; i < 3; ++i) Spawn(Answer(i), &out[static_cast<size_t>(i)]);
  io_.poll();
  EXPECT_EQ(executor_->queued(), 2);
  ASSERT_TRUE(out[2].has_value());
  EXPECT_TRUE(absl::IsResourceExhausted(out[2]->status()));
  EXPECT_EQ(Reason(out[2]->status()), "QUEUE_FULL");
  release_.set_value();
  io_.run();
  EXPECT_EQ(out[0]->value(), 0);
  EXPECT_EQ(out[1]->value(), 1);
}

TEST_P(ExecutorTest, DropsWhatWasCancelledBeforeItsTurn) {
  std::optional<absl::StatusOr<int>> first;
  Occupy(&first);
  std::atomic<bool> ran = false;
  std::optional<absl::StatusOr<int>> out;
  asio::cancellation_signal signal;
  Spawn(
      [&ran](Database&) -> absl::StatusOr<int> {
        ran = true;
        return 1;
      },
      &out, std::chrono::minutes(5), &signal);
  io_.poll();
  EXPECT_EQ(executor_->queued(), 1);
  signal.emit(asio::cancellation_type::terminal);
  io_.poll();
  EXPECT_EQ(executor_->queued(), 0);
  ASSERT_TRUE(out.has_value());
  EXPECT_TRUE(absl::IsCancelled(out->status())) << out->status();
  release_.set_value();
  io_.run();
  executor_ = nullptr;
  EXPECT_FALSE(ran);
}

TEST_P(ExecutorTest, DropsWhatExpiredBeforeItsTurn) {
  std::optional<absl::StatusOr<int>> first;
  Occupy(&first);
  std::atomic<bool> ran = false;
  std::optional<absl::StatusOr<int>> out;
  std::optional<absl::StatusOr<int>> late;
  const Op op = [&ran](Database&) -> absl::StatusOr<int> {
    ran = true;
    return 1;
  };
  Spawn(op, &out, std::chrono::milliseconds(20));
  Spawn(op, &late, std::chrono::milliseconds(-1));
  while (!out) io_.run_one();
  EXPECT_EQ(Reason(out->status()), "DEADLINE_EXCEEDED");
  EXPECT_EQ(Reason(late->status()), "DEADLINE_EXCEEDED");
  release_.set_value();
  io_.run();
  executor_ = nullptr;
  EXPECT_FALSE(ran);
}

TEST_P(ExecutorTest, StopsWhatRunsAtTheDeadline) {
  std::optional<absl::StatusOr<int>> out;
  Spawn(
      [](Database& db) -> absl::StatusOr<int> {
        METAMCP_RETURN_IF_ERROR(
            db.Transact({}, [](Transaction& tx) { return tx.Query(kEndless).status(); }));
        return 1;
      },
      &out, std::chrono::milliseconds(30));
  io_.run();
  EXPECT_EQ(Reason(out->status()), "DEADLINE_EXCEEDED") << out->status();
  std::optional<absl::StatusOr<int>> next;
  Spawn(Answer(7), &next);
  io_.restart();
  io_.run();
  EXPECT_EQ(next->value(), 7);
}

TEST_P(ExecutorTest, StopsWhatRunsWhenTheCallerGoesAway) {
  std::promise<void> started;
  std::promise<absl::Status> seen;
  std::optional<absl::StatusOr<int>> out;
  asio::cancellation_signal signal;
  Spawn(
      [&](Database& db) -> absl::StatusOr<int> {
        const absl::Status status = db.Transact({}, [&](Transaction& tx) {
          started.set_value();
          return tx.Query(kEndless).status();
        });
        seen.set_value(status);
        return status;
      },
      &out, std::chrono::minutes(5), &signal);
  io_.poll();
  started.get_future().wait();
  signal.emit(asio::cancellation_type::terminal);
  io_.run();
  EXPECT_TRUE(absl::IsCancelled(out->status())) << out->status();
  EXPECT_TRUE(absl::IsCancelled(seen.get_future().get()));
}

TEST_P(ExecutorTest, RefusesWhatWaitsWhenItStops) {
  std::optional<absl::StatusOr<int>> first;
  Occupy(&first);
  std::optional<absl::StatusOr<int>> waiting;
  Spawn(Answer(1), &waiting);
  io_.poll();
  std::thread stopper([this] { executor_ = nullptr; });
  while (!waiting) io_.run_one();
  EXPECT_EQ(Reason(waiting->status()), "SHUTTING_DOWN");
  release_.set_value();
  io_.run();
  stopper.join();
  EXPECT_EQ(first->value(), 0);
}

// The address sanitizer is what judges this one.
TEST_P(ExecutorTest, OutlivesTheEventLoopOfACaller) {
  std::promise<void> started;
  std::promise<void> finish;
  bool told = false;
  auto loop = std::make_unique<asio::io_context>();
  Op op = [&](Database&) -> absl::StatusOr<int> {
    started.set_value();
    finish.get_future().wait();
    return 1;
  };
  CallContext context;
  context.deadline = CallContext::Clock::now() + std::chrono::minutes(5);
  auto call = executor_->Run<int>(context, std::move(op));
  asio::co_spawn(*loop, std::move(call),
                 [&told](std::exception_ptr, absl::StatusOr<int>) { told = true; });
  loop->poll();
  started.get_future().wait();
  loop = nullptr;
  finish.set_value();
  executor_ = nullptr;
  EXPECT_FALSE(told);
}

TEST_P(ExecutorTest, ManyCallersGetTheirOwnResults) {
  Start(0, 1000);
  std::vector<std::optional<absl::StatusOr<int>>> out(500);
  for (size_t i = 0; i < out.size(); ++i) {
    Spawn(
        [i](Database& db) -> absl::StatusOr<int> {
          METAMCP_ASSIGN_OR_RETURN(const Row row, db.Read([&](Transaction& tx) {
            return tx.QueryOne("SELECT CAST(:i AS BIGINT) AS n", {{"i", i}});
          }));
          METAMCP_ASSIGN_OR_RETURN(const int64_t n, row.Get<int64_t>("n"));
          return static_cast<int>(n);
        },
        &out[i]);
  }
  io_.run();
  for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i]->value(), static_cast<int>(i));
}

INSTANTIATE_TEST_SUITE_P(Backends, ExecutorTest, AllBackends(), BackendName);

}  // namespace
}  // namespace metamcp::db
