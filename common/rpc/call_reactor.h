#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/generic/async_generic_service.h>

#include <atomic>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <optional>

#include "common/async/run.h"
#include "common/base/status_macros.h"
#include "common/rpc/service.h"
#include "common/rpc/tls.h"
#include "common/rpc/wire.h"
#include "common/telemetry/trace.h"

// One call on the server's side. Internal to common/rpc.
namespace metamcp::rpc {

namespace asio = boost::asio;

using FinishedHook =
    std::function<void(std::string_view, absl::StatusCode, std::chrono::steady_clock::duration)>;

struct Target {
  Service* service;
  int index;
  const MethodInfo* info;
};

// One RPC. gRPC calls the On… reactions on its threads; everything else runs on the executor. Lives
// until OnDone through `self_`; the coroutine holds it too.
//
// A message is sent at the end of the turn of the loop that wrote it. A handler that ends in the
// same turn, as every unary one does, so sends its last message, the status and the trailers as one
// operation: one system call and two wake-ups less than one after the other.
class CallReactor final : public grpc::ServerGenericBidiReactor,
                          public Sink<MessagePtr>,
                          public std::enable_shared_from_this<CallReactor> {
 public:
  CallReactor(asio::any_io_executor executor, grpc::GenericCallbackServerContext* context,
              Target target, std::atomic<int>& running)
      : executor_(std::move(executor)), context_(context), target_(target), running_(running) {
    ++running_;
  }
  ~CallReactor() override { --running_; }

  // Both before Begin; what they refer to outlives the call.
  void Tell(const FinishedHook& hook) {
    hook_ = &hook;
    began_ = std::chrono::steady_clock::now();
  }
  // The request is refused unless `check` takes it from a caller with these roles.
  void Check(const RequestCheck& check, std::vector<std::string> roles) {
    check_ = &check;
    roles_ = std::move(roles);
  }

  void Begin(std::shared_ptr<CallReactor> self) {
    self_ = std::move(self);
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    auto self = self_;
    if (!ok) {
      FinishOnce(absl::CancelledError("the request did not arrive"));
      return;
    }
    asio::post(executor_, [self] { self->Spawn(self); });
  }
  void OnWriteDone(bool ok) override {
    asio::post(executor_, [self = self_, ok] {
      self->sending_ = false;
      if (!ok) self->broken_ = true;
      if (self->outcome_) self->SendStatus();
      auto handler = std::move(self->sent_handler_);
      if (handler) handler();
    });
  }
  void OnCancel() override {
    asio::post(executor_, [self = self_] {
      self->cancelled_ = true;
      self->signal_.emit(asio::cancellation_type::terminal);
    });
  }
  void OnDone() override {
    // Queued reactions and the coroutine, if there are any, hold the reactor too.
    const std::shared_ptr<CallReactor> self = std::move(self_);
  }

  // Ends a call that would not end by itself; what its handler still does is not sent. On the
  // executor.
  void End(const absl::Status& status) {
    cancelled_ = true;
    FinishOnce(status);
    signal_.emit(asio::cancellation_type::terminal);
  }

  // Takes one message; the next has to wait until gRPC has taken this one.
  Awaitable<absl::Status> Write(MessagePtr message) override {
    Send();
    if (sending_) co_await Sent();
    if (cancelled_ || broken_) co_return absl::CancelledError("the caller went away");
    METAMCP_CO_RETURN_IF_ERROR(Encode(*message, response_));
    waiting_ = true;
    asio::post(executor_, [self = shared_from_this()] { self->Send(); });
    co_return absl::OkStatus();
  }

 private:
  void Spawn(std::shared_ptr<CallReactor> self) {
    auto done = [self](std::exception_ptr e, absl::Status status) {
      if (e) status = StatusFromException(e);
      if (self->hook_ != nullptr) {
        (*self->hook_)(self->target_.info->path, status.code(),
                       std::chrono::steady_clock::now() - self->began_);
      }
      self->FinishOnce(status);
      // Asio touches the slot after this handler, and gRPC may be done with the reactor before.
      asio::post(self->executor_, [self] {});
    };
    asio::co_spawn(executor_, Handle(self),
                   asio::bind_cancellation_slot(signal_.slot(), std::move(done)));
    if (cancelled_) signal_.emit(asio::cancellation_type::terminal);
  }

  static Awaitable<absl::Status> Handle(std::shared_ptr<CallReactor> self) {
    // gRPC's context goes with a call that has ended.
    if (self->cancelled_) co_return absl::CancelledError("the call ended before it began");
    CallContext ctx;
    METAMCP_CO_RETURN_IF_ERROR(self->ReadContext(ctx));
    MessagePtr request(self->target_.info->request->New());
    METAMCP_CO_RETURN_IF_ERROR(Decode(self->request_, *request));
    self->request_.Clear();
    if (self->check_ != nullptr) {
      METAMCP_CO_RETURN_IF_ERROR((*self->check_)(self->roles_, *request));
    }
    trace::Span span;
    if (!ctx.trace.traceparent.empty()) {
      span = trace::Span(trace::Kind::kPeer, self->target_.info->path.substr(1), ctx.trace);
      span.Set("rpc.system", "grpc");
      span.Set("rpc.method", self->target_.info->name);
    }
    if (self->target_.info->streaming) {
      auto op =
          self->target_.service->InvokeStream(self->target_.index, ctx, std::move(request), *self);
      absl::Status status = co_await RunUntil(ctx.deadline, std::move(op));
      span.Fail(status);
      co_return status;
    }
    auto op = self->target_.service->InvokeUnary(self->target_.index, ctx, std::move(request));
    absl::StatusOr<MessagePtr> result = co_await RunUntil(ctx.deadline, std::move(op));
    span.Fail(result.status());
    if (!result.ok()) co_return result.status();
    co_return co_await self->Write(*std::move(result));
  }

  absl::Status ReadContext(CallContext& ctx) {
    const auto left = context_->deadline() - std::chrono::system_clock::now();
    ctx.deadline = CallContext::Clock::now() +
                   std::min<std::chrono::system_clock::duration>(left, kCallTimeMax);
    const auto& metadata = context_->client_metadata();
    const auto it = metadata.find(kCallMetaKey);
    if (it == metadata.end()) return absl::OkStatus();
    return DecodeCallMeta(std::string(it->second.data(), it->second.size()), ctx);
  }

  // Starts to send the message that waits, if there is one.
  void Send() {
    if (!waiting_) return;
    waiting_ = false;
    sending_ = true;
    StartWrite(&response_);
  }

  // Until gRPC has taken the message that is being sent. Not to be cancelled: the buffer is in use.
  Awaitable<void> Sent() {
    auto token = asio::use_awaitable;
    auto initiation = [this](auto handler) {
      auto shared = std::make_shared<decltype(handler)>(std::move(handler));
      sent_handler_ = [shared] { std::move (*shared)(); };
    };
    co_await asio::async_initiate<decltype(token), void()>(std::move(initiation), token);
  }

  void FinishOnce(const absl::Status& status) {
    if (finished_.exchange(true)) return;
    std::string error_info;
    outcome_ = ToGrpc(status, error_info);
    if (!error_info.empty()) context_->AddTrailingMetadata(kErrorInfoKey, error_info);
    if (!sending_) SendStatus();
  }

  void SendStatus() {
    if (std::exchange(waiting_, false)) {
      StartWriteAndFinish(&response_, grpc::WriteOptions(), *outcome_);
    } else {
      Finish(*outcome_);
    }
  }

  asio::any_io_executor executor_;
  grpc::GenericCallbackServerContext* context_;
  Target target_;
  std::atomic<int>& running_;
  const FinishedHook* hook_ = nullptr;
  std::chrono::steady_clock::time_point began_;
  const RequestCheck* check_ = nullptr;
  std::vector<std::string> roles_;  // of the caller, for it
  std::shared_ptr<CallReactor> self_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  std::atomic<bool> finished_{false};
  // On the executor:
  asio::cancellation_signal signal_;
  bool cancelled_ = false;
  bool waiting_ = false;  // response_ is to be sent
  bool sending_ = false;  // response_ is being sent
  bool broken_ = false;   // a message could not be sent
  std::optional<grpc::Status> outcome_;
  std::function<void()> sent_handler_;
};

}  // namespace metamcp::rpc
