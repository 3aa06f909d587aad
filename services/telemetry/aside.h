#pragma once

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "common/async/async_lock.h"
#include "common/async/sink.h"

namespace metamcp::telemetry {

// A thread for what takes longer than the io thread has; there is none before the first use. Its
// destruction waits for what runs.
class Aside {
 public:
  Aside() = default;
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;
  ~Aside() {
    if (pool_) pool_->join();
  }

  // Runs `work`, which owns what it uses, and returns its result on the caller's executor. A
  // caller that is cancelled leaves at once. Thread: the io thread.
  template <typename Result>
  Awaitable<Result> Run(std::function<Result()> work) {
    if (!pool_) pool_ = std::make_unique<boost::asio::thread_pool>(1);
    const auto executor = co_await boost::asio::this_coro::executor;
    struct State {
      explicit State(boost::asio::any_io_executor on) : done(std::move(on)) {}
      Signal done;
      std::optional<Result> result;
    };
    auto state = std::make_shared<State>(executor);
    boost::asio::post(*pool_, [state, executor, work = std::move(work)]() mutable {
      auto result = std::make_shared<Result>(work());
      boost::asio::post(executor, [state = std::move(state), result] {
        state->result = std::move(*result);
        state->done.Notify();
      });
    });
    while (!state->result) {
      auto waiting = state->done.Wait();
      co_await std::move(waiting);
    }
    co_return *std::move(state->result);
  }

 private:
  std::unique_ptr<boost::asio::thread_pool> pool_;
};

}  // namespace metamcp::telemetry
