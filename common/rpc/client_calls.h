#pragma once

#include <grpcpp/generic/generic_stub.h>

#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "common/async/sink.h"

// How gRPC's callbacks become awaits on the client's side. Internal to common/rpc.
namespace metamcp::rpc {

namespace asio = boost::asio;

// One server stream. gRPC calls the reactions on its own threads; they read ahead a little, so that
// the coroutine is woken once for a message and the end that came with it.
class StreamReactor final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  using Handler = std::function<void(bool)>;

  explicit StreamReactor(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  void Begin(std::shared_ptr<StreamReactor> self) {
    self_ = std::move(self);
    // Reads are also started from outside the reactions: without a hold gRPC may finish in between.
    AddHold();
    StartRead(&response_);
    StartWriteLast(&request, grpc::WriteOptions());
    StartCall();
  }
  // The next message, if one has arrived.
  std::optional<grpc::ByteBuffer> Take() {
    bool read = false;
    std::optional<grpc::ByteBuffer> message;
    {
      const std::lock_guard lock(mu_);
      if (arrived_.empty()) return message;
      message.emplace().Swap(&arrived_.front());
      arrived_.pop_front();
      read = paused_;
      paused_ = false;
    }
    if (read) StartRead(&response_);
    return message;
  }
  // Whether gRPC is done with the call.
  bool done() {
    const std::lock_guard lock(mu_);
    return done_;
  }
  // Calls `handler` on the executor once there is a message, or the call is done.
  void Wait(Handler handler) {
    const std::lock_guard lock(mu_);
    if (done_ || !arrived_.empty()) {
      asio::post(executor_, [h = std::move(handler)] { h(true); });
    } else {
      waiting_ = std::move(handler);
    }
  }
  // What has arrived and will arrive is dropped.
  void Stop() {
    bool paused = false;
    {
      const std::lock_guard lock(mu_);
      arrived_.clear();
      stopped_ = true;
      paused = std::exchange(paused_, false);
    }
    if (paused) RemoveHold();
  }

  void OnReadDone(bool ok) override {
    Handler handler;
    bool more = false, paused = false;
    {
      const std::lock_guard lock(mu_);
      if (ok && !stopped_) {
        arrived_.emplace_back();
        arrived_.back().Swap(&response_);
        handler = std::exchange(waiting_, nullptr);
        more = arrived_.size() < kReadAhead;
        paused = paused_ = !more;
      }
    }
    if (more) {
      response_.Clear();
      StartRead(&response_);
    } else if (!paused) {
      RemoveHold();  // no more reads will be started
    }
    if (handler) asio::post(executor_, [h = std::move(handler)] { h(true); });
  }
  // The last reference goes on the executor: a context holds the channel, which gRPC does not let
  // one of its own threads destroy.
  void OnDone(const grpc::Status& s) override {
    const std::lock_guard lock(mu_);
    status = s;
    done_ = true;
    asio::post(executor_, [self = std::move(self_), h = std::exchange(waiting_, nullptr)] {
      { const std::lock_guard left(self->mu_); }  // OnDone has
      if (h) h(true);
    });
  }

  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::Status status;  // valid once done

 private:
  // Messages that wait for the coroutine, at most.
  static constexpr size_t kReadAhead = 2;

  asio::any_io_executor executor_;
  grpc::ByteBuffer response_;  // of the read under way
  std::mutex mu_;
  std::deque<grpc::ByteBuffer> arrived_;  // guarded by mu_, as is all that follows
  bool paused_ = false;                   // no read is under way, because enough has arrived
  bool stopped_ = false;
  bool done_ = false;
  Handler waiting_;
  std::shared_ptr<StreamReactor> self_;  // keeps it alive until OnDone
};

// Waits for a callback of `Start`; the caller's cancellation cancels the RPC, whose end is then
// awaited all the same, so nothing is left behind.
template <typename Start>
Awaitable<bool> Await(std::shared_ptr<void> keep, grpc::ClientContext* context, Start start) {
  auto token = asio::use_awaitable;
  auto initiation = [keep, context, start](auto handler) mutable {
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) {
      slot.assign([keep, context](asio::cancellation_type) { context->TryCancel(); });
    }
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    start([keep, shared](bool ok) {
      auto h = std::move(*shared);
      auto s = asio::get_associated_cancellation_slot(h);
      if (s.is_connected()) s.clear();
      auto executor = asio::get_associated_executor(h);
      asio::dispatch(executor, [h = std::move(h), ok]() mutable { std::move(h)(ok); });
    });
  };
  co_return co_await asio::async_initiate<decltype(token), void(bool)>(std::move(initiation),
                                                                       token);
}

inline auto Waiting(std::shared_ptr<StreamReactor> reactor) {
  return [reactor](std::function<void(bool)> done) { reactor->Wait(std::move(done)); };
}

}  // namespace metamcp::rpc
