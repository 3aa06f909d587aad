#include "common/rpc/channel.h"

#include <google/protobuf/message.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <deque>
#include <optional>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/rpc/wire.h"

namespace metamcp::rpc {
namespace {

namespace asio = boost::asio;

void Prepare(grpc::ClientContext& context, const CallContext& ctx) {
  // gRPC's deadline is on the wall clock; what travels is the time left.
  context.set_deadline(std::chrono::system_clock::now() +
                       std::min<CallContext::Clock::duration>(ctx.TimeLeft(), kCallTimeMax));
  context.AddMetadata(kCallMetaKey, EncodeCallMeta(ctx));
}

absl::Status Finished(const grpc::ClientContext& context, const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const auto& trailing = context.GetServerTrailingMetadata();
  const auto it = trailing.find(kErrorInfoKey);
  return FromGrpc(status, it == trailing.end() ? std::string()
                                               : std::string(it->second.data(), it->second.size()));
}

// One unary call: lives until gRPC has called back, whatever happened to the waiter.
struct UnaryState {
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer response;
};

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
  void OnDone(const grpc::Status& s) override {
    Handler handler;
    std::shared_ptr<StreamReactor> self;
    {
      const std::lock_guard lock(mu_);
      status = s;
      done_ = true;
      handler = std::exchange(waiting_, nullptr);
      self = std::move(self_);
    }
    if (handler) asio::post(executor_, [h = std::move(handler)] { h(true); });
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

auto Waiting(std::shared_ptr<StreamReactor> reactor) {
  return [reactor](std::function<void(bool)> done) { reactor->Wait(std::move(done)); };
}

class GrpcChannel final : public Channel {
 public:
  explicit GrpcChannel(std::shared_ptr<grpc::Channel> channel) : stub_(std::move(channel)) {}

  Awaitable<absl::Status> Unary(const CallContext& ctx, const MethodInfo& method,
                                const google::protobuf::Message& request,
                                google::protobuf::Message& response) override {
    if (ctx.deadline <= CallContext::Clock::now()) {
      co_return absl::DeadlineExceededError("the deadline passed before the call began");
    }
    auto state = std::make_shared<UnaryState>();
    METAMCP_CO_RETURN_IF_ERROR(Encode(request, state->request));
    Prepare(state->context, ctx);
    auto result = std::make_shared<grpc::Status>();
    const auto executor = co_await asio::this_coro::executor;
    auto start = [this, state, result, executor,
                  path = std::string(method.path)](std::function<void(bool)> done) {
      stub_.UnaryCall(&state->context, path, grpc::StubOptions(), &state->request, &state->response,
                      [state, result, executor, done](grpc::Status s) {
                        asio::post(executor, [result, s = std::move(s), done] {
                          *result = s;
                          done(true);
                        });
                      });
    };
    auto wait = Await(state, &state->context, std::move(start));
    co_await std::move(wait);
    if (!result->ok()) co_return Finished(state->context, *result);
    co_return Decode(state->response, response);
  }

  Awaitable<absl::Status> Stream(const CallContext& ctx, const MethodInfo& method,
                                 const google::protobuf::Message& request,
                                 Sink<MessagePtr>& sink) override {
    if (ctx.deadline <= CallContext::Clock::now()) {
      co_return absl::DeadlineExceededError("the deadline passed before the call began");
    }
    auto reactor = std::make_shared<StreamReactor>(co_await asio::this_coro::executor);
    METAMCP_CO_RETURN_IF_ERROR(Encode(request, reactor->request));
    Prepare(reactor->context, ctx);
    stub_.PrepareBidiStreamingCall(&reactor->context, std::string(method.path), grpc::StubOptions(),
                                   reactor.get());
    reactor->Begin(reactor);
    auto read = ReadAll(reactor, method, sink);
    const absl::Status local = co_await CatchStatus(std::move(read));
    if (!local.ok()) reactor->context.TryCancel();
    reactor->Stop();
    if (!reactor->done()) {
      // The RPC is ending; wait for it even when the caller is cancelled. The state belongs to the
      // caller's whole stack, so it is put back.
      const bool throws = co_await asio::this_coro::throw_if_cancelled();
      co_await asio::this_coro::throw_if_cancelled(false);
      while (!reactor->done()) {
        auto wait = Await(reactor, &reactor->context, Waiting(reactor));
        co_await std::move(wait);
      }
      co_await asio::this_coro::throw_if_cancelled(throws);
    }
    if (!local.ok()) co_return local;
    co_return Finished(reactor->context, reactor->status);
  }

 private:
  static Awaitable<absl::Status> ReadAll(std::shared_ptr<StreamReactor> reactor,
                                         const MethodInfo& method, Sink<MessagePtr>& sink) {
    for (;;) {
      // In this order: a message that came before the end is not overlooked.
      const bool done = reactor->done();
      std::optional<grpc::ByteBuffer> encoded = reactor->Take();
      if (!encoded && done) co_return absl::OkStatus();
      if (!encoded) {
        auto wait = Await(reactor, &reactor->context, Waiting(reactor));
        co_await std::move(wait);
        continue;
      }
      MessagePtr message(method.response->New());
      METAMCP_CO_RETURN_IF_ERROR(Decode(*encoded, *message));
      METAMCP_CO_RETURN_IF_ERROR(co_await sink.Write(std::move(message)));
    }
  }

  grpc::GenericStub stub_;
};

}  // namespace

bool IsLocalTarget(std::string_view target) {
  for (const std::string_view prefix :
       {"unix:", "127.", "localhost:", "[::1]:", "ipv4:127.", "dns:///localhost:"}) {
    if (target.substr(0, prefix.size()) == prefix) return true;
  }
  return false;
}

absl::StatusOr<std::shared_ptr<Channel>> Channel::Create(const std::string& target,
                                                         const TlsMaterial& tls) {
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (!tls.ca.empty()) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = tls.ca;
    options.pem_cert_chain = tls.certificate;
    options.pem_private_key = tls.key;
    credentials = grpc::SslCredentials(options);
  } else if (IsLocalTarget(target)) {
    credentials = grpc::InsecureChannelCredentials();
  } else {
    return MakeError("CONFIG_INVALID", "gateway",
                     StrCat("service address ", target,
                            " is not on this machine: configure services.tls (mTLS)"));
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 3000);
  return std::shared_ptr<Channel>(
      std::make_shared<GrpcChannel>(grpc::CreateCustomChannel(target, credentials, arguments)));
}

}  // namespace metamcp::rpc
