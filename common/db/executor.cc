#include "common/db/executor.h"

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "common/async/run.h"
#include "common/base/error.h"

namespace metamcp::db {
namespace {

namespace asio = boost::asio;
using Clock = CallContext::Clock;
using std::chrono::milliseconds;

// What is still waited for after the deadline of an operation that runs. The drivers stop by
// themselves at the deadline; only what they leave is interrupted from here (which costs a
// PostgreSQL connection), and only what even that leaves is abandoned.
constexpr milliseconds kBeforeInterrupt{100};
constexpr milliseconds kBeforeAbandon{1000};
// So that a deadline of time_point::max() can be added to.
constexpr std::chrono::hours kLongest{24 * 365};

absl::Status Late() {
  return MakeError("DEADLINE_EXCEEDED", "database", "the deadline passed before the work was done");
}
absl::Status Cancelled() {
  return MakeError("CANCELLED", "database", "the caller cancelled the call");
}
absl::Status ShuttingDown() {
  return MakeError("SHUTTING_DOWN", "database", "the database pool is stopping");
}

struct Operation {
  Operation(asio::any_io_executor executor_in, Clock::time_point deadline_in,
            std::function<void(Database&)> run_in)
      : executor(std::move(executor_in)), deadline(deadline_in), run(std::move(run_in)) {}

  enum class State { kQueued, kRunning, kOver };

  const asio::any_io_executor executor;
  const Clock::time_point deadline;
  std::function<void(Database&)> run;  // used by the database thread once running
  Interrupt interrupt;

  // Guarded by Core::mu.
  State state = State::kQueued;
  bool awaited = true;                                    // then the executor exists
  std::list<std::shared_ptr<Operation>>::iterator place;  // in the queue, while kQueued

  // On the caller's executor. The timer is the caller's own: a database thread may be the last to
  // hold the operation, after the caller's event loop has gone.
  asio::steady_timer* timer = nullptr;
  bool done = false;
  absl::Status status;
};

// The Database that an operation gets: the real one under the operation's deadline and interrupt.
class BoundDatabase : public Database {
 public:
  BoundDatabase(Database& real, Operation& operation) : real_(real), operation_(operation) {}

  absl::StatusOr<std::unique_ptr<Listener>> Listen(std::vector<std::string> channels,
                                                   Callback callback) override {
    return real_.Listen(std::move(channels), std::move(callback));
  }
  Backend backend() const override { return real_.backend(); }
  int connections() const override { return real_.connections(); }

 protected:
  absl::StatusOr<std::unique_ptr<Transaction>> Begin(const TransactOptions& options,
                                                     Mode mode) override {
    METAMCP_RETURN_IF_ERROR(operation_.interrupt.status());
    TransactOptions bound = options;
    bound.deadline = std::min(options.deadline, operation_.deadline);
    if (bound.interrupt == nullptr) bound.interrupt = &operation_.interrupt;
    return BeginOn(real_, bound, mode);
  }

 private:
  Database& real_;
  Operation& operation_;
};

}  // namespace

struct DbExecutor::Core {
  using Pointer = std::shared_ptr<Operation>;

  Core(Database& database_in, int queue_max_in)
      : database(database_in), queue_max(static_cast<size_t>(std::max(queue_max_in, 0))) {}

  absl::Status Enqueue(const Pointer& operation) {
    std::lock_guard lock(mu);
    if (stopping) return ShuttingDown();
    // Idle threads take at once, so they do not count as queue.
    if (queue.size() >= queue_max + idle) {
      return MakeError("QUEUE_FULL", "database", "too many database operations wait");
    }
    operation->place = queue.insert(queue.end(), operation);
    work.notify_one();
    return absl::OkStatus();
  }

  // Takes an operation back if it has not started. Returns whether it will not start.
  bool Drop(const Pointer& operation) {
    std::lock_guard lock(mu);
    if (operation->state != Operation::State::kQueued) return false;
    operation->state = Operation::State::kOver;
    queue.erase(operation->place);
    return true;
  }

  // Nobody waits for the operation any more: it is dropped or interrupted, and nobody is told.
  void Abandon(const Pointer& operation) {
    {
      std::lock_guard lock(mu);
      operation->awaited = false;
    }
    if (!Drop(operation)) Interrupt(operation, Cancelled());
  }

  // Has the interrupt fired by a thread that may block.
  void Interrupt(const Pointer& operation, absl::Status why) {
    std::lock_guard lock(mu);
    if (operation->state != Operation::State::kRunning) return;
    interrupts.emplace_back(operation, std::move(why));
    to_interrupt.notify_one();
  }

  // Tells the caller, if it still waits.
  void Finish(const Pointer& operation, absl::Status status) {
    std::lock_guard lock(mu);
    operation->state = Operation::State::kOver;
    if (!operation->awaited) return;
    asio::post(operation->executor, [operation, status = std::move(status)] {
      operation->done = true;
      operation->status = status;
      if (operation->timer != nullptr) operation->timer->cancel();
    });
  }

  void Work() {
    for (;;) {
      Pointer operation;
      {
        std::unique_lock lock(mu);
        ++idle;
        work.wait(lock, [this] { return stopping || !queue.empty(); });
        --idle;
        if (queue.empty()) return;
        operation = queue.front();
        queue.pop_front();
        operation->state = Operation::State::kRunning;
      }
      Finish(operation, RunOne(*operation));
    }
  }

  absl::Status RunOne(Operation& operation) {
    if (Clock::now() >= operation.deadline) return Late();
    BoundDatabase bound(database, operation);
    std::exception_ptr thrown;
    try {
      operation.run(bound);
      operation.run = nullptr;  // what it owns dies here, not with the caller
    } catch (...) {
      thrown = std::current_exception();
    }
    return thrown ? StatusFromException(thrown) : absl::OkStatus();
  }

  void FireInterrupts() {
    std::unique_lock lock(mu);
    for (;;) {
      to_interrupt.wait(lock, [this] { return joined || !interrupts.empty(); });
      if (interrupts.empty()) return;
      auto [operation, why] = std::move(interrupts.front());
      interrupts.pop_front();
      lock.unlock();
      operation->interrupt.Fire(std::move(why));
      lock.lock();
    }
  }

  void Stop() {
    std::list<Pointer> refused;
    {
      std::lock_guard lock(mu);
      stopping = true;
      refused.swap(queue);
      for (const Pointer& operation : refused) operation->state = Operation::State::kOver;
      work.notify_all();
    }
    for (const Pointer& operation : refused) Finish(operation, ShuttingDown());
    for (std::thread& thread : threads) thread.join();
    {
      std::lock_guard lock(mu);
      joined = true;
      to_interrupt.notify_one();
    }
    interrupter.join();
  }

  Database& database;
  const size_t queue_max;
  std::mutex mu;
  std::condition_variable work;
  std::condition_variable to_interrupt;
  // Guarded by mu.
  std::list<Pointer> queue;
  std::deque<std::pair<Pointer, absl::Status>> interrupts;
  size_t idle = 0;
  bool stopping = false;
  bool joined = false;
  // Written by the constructor and Stop only.
  std::vector<std::thread> threads;
  std::thread interrupter;
};

DbExecutor::DbExecutor(Database& database, const ExecutorOptions& options)
    : core_(std::make_shared<Core>(database, options.queue_max)) {
  const int count = options.threads > 0 ? options.threads : database.connections();
  for (int i = 0; i < count; ++i)
    core_->threads.emplace_back([core = core_.get()] { core->Work(); });
  core_->interrupter = std::thread([core = core_.get()] { core->FireInterrupts(); });
}

DbExecutor::~DbExecutor() { core_->Stop(); }

int DbExecutor::queued() const {
  std::lock_guard lock(core_->mu);
  return static_cast<int>(core_->queue.size());
}

Awaitable<absl::Status> DbExecutor::Submit(Clock::time_point deadline,
                                           std::function<void(Database&)> op) {
  const std::shared_ptr<Core> core = core_;  // `this` may die while we wait
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  if (cancellation.cancelled() != asio::cancellation_type::none) co_return Cancelled();
  const auto now = Clock::now();
  if (now >= deadline) co_return Late();
  deadline = std::min(deadline, now + kLongest);
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const auto operation = std::make_shared<Operation>(executor, deadline, std::move(op));

  // Whatever ends this coroutine, nobody is left to wait for the operation then.
  struct Guard {
    explicit Guard(Core& core_in, const std::shared_ptr<Operation>& operation_in)
        : core(core_in), operation(operation_in) {}
    ~Guard() {
      operation->timer = nullptr;
      core.Abandon(operation);
    }
    Core& core;
    const std::shared_ptr<Operation>& operation;
  };
  asio::steady_timer timer(executor, Clock::time_point::max());
  operation->timer = &timer;
  METAMCP_CO_RETURN_IF_ERROR(core->Enqueue(operation));
  const Guard guard(*core, operation);

  const std::array<milliseconds, 3> stages = {milliseconds(0), kBeforeInterrupt, kBeforeAbandon};
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    timer.expires_at(deadline + stages[stage]);
    const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    if (operation->done) co_return operation->status;
    if (error) co_return Cancelled();
    if (stage == 0 && core->Drop(operation)) co_return Late();
    if (stage == 1) core->Interrupt(operation, Late());
  }
  co_return Late();
}

}  // namespace metamcp::db
