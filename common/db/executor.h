#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "common/async/call_context.h"
#include "common/async/sink.h"
#include "common/db/database.h"

namespace metamcp::db {

struct ExecutorOptions {
  int threads = 0;       // 0: as many as the database has connections
  int queue_max = 1024;  // waiting operations
};

// Runs synchronous database work on its own threads, on behalf of coroutines. The queue is bounded;
// an operation whose caller went away or whose deadline passed before its turn is dropped without
// being started; one that runs is aborted at its deadline or when its caller is cancelled, unless
// it is committing. Destruction refuses what waits (UNAVAILABLE), and waits for what runs.
// A call that is destroyed with its event loop counts as cancelled. Thread: any.
class DbExecutor {
 public:
  // `database` must outlive this.
  explicit DbExecutor(Database& database, const ExecutorOptions& options = {});
  DbExecutor(const DbExecutor&) = delete;
  DbExecutor& operator=(const DbExecutor&) = delete;
  ~DbExecutor();

  // Runs `op` on a database thread and returns its result on the caller's executor. `op` owns what
  // it uses (captures by value): it may outlive the caller. The Database that it gets applies the
  // context's deadline to every transaction; it is valid only during `op`.
  // Errors: those of `op`; RESOURCE_EXHAUSTED reason QUEUE_FULL; DEADLINE_EXCEEDED; CANCELLED;
  // UNAVAILABLE reason SHUTTING_DOWN. After DEADLINE_EXCEEDED or CANCELLED a commit that had begun
  // may still take effect.
  template <typename T>
  Awaitable<absl::StatusOr<T>> Run(const CallContext& context,
                                   std::function<absl::StatusOr<T>(Database&)> op) {
    return RunTyped<absl::StatusOr<T>>(context.deadline, std::move(op));
  }
  Awaitable<absl::Status> RunStatus(const CallContext& context,
                                    std::function<absl::Status(Database&)> op) {
    return RunTyped<absl::Status>(context.deadline, std::move(op));
  }

  // Operations that wait for a thread now.
  int queued() const;

 private:
  struct Core;

  // The untyped half. Calls `op` at most once; returns OK once it ran.
  Awaitable<absl::Status> Submit(CallContext::Clock::time_point deadline,
                                 std::function<void(Database&)> op);

  template <typename Result>
  Awaitable<Result> RunTyped(CallContext::Clock::time_point deadline,
                             std::function<Result(Database&)> op) {
    auto result = std::make_shared<std::optional<Result>>();
    std::function<void(Database&)> run = [result, op = std::move(op)](Database& database) {
      result->emplace(op(database));
    };
    const absl::Status status = co_await Submit(deadline, std::move(run));
    if (!status.ok()) co_return Result(status);
    co_return std::move(**result);
  }

  std::shared_ptr<Core> core_;
};

}  // namespace metamcp::db
