#include "common/rpc/channel.h"

#include <google/protobuf/message.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>

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

// One server stream, read message by message. gRPC calls the reactions on its own threads; the
// coroutine waits for each of them.
class StreamReactor final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  using Handler = std::function<void(bool)>;

  explicit StreamReactor(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  void Begin(std::shared_ptr<StreamReactor> self) {
    self_ = std::move(self);
    // Reads are started from outside the reactions: without a hold gRPC may finish in between.
    AddHold();
    StartCall();
    StartWriteLast(&request, grpc::WriteOptions());
  }
  // Reads one message into `response`; calls `handler` on the executor.
  void Read(Handler handler) {
    read_handler_ = std::move(handler);
    response.Clear();
    StartRead(&response);
  }
  // No more reads will be started.
  void EndReads() { RemoveHold(); }
  // Calls `handler` on the executor once the call is done (or at once if it is).
  void WaitDone(Handler handler) {
    const std::lock_guard lock(mu_);
    if (done_) {
      asio::post(executor_, [h = std::move(handler)] { h(true); });
    } else {
      done_handler_ = std::move(handler);
    }
  }

  void OnReadDone(bool ok) override {
    asio::post(executor_, [h = std::move(read_handler_), ok] { h(ok); });
  }
  void OnDone(const grpc::Status& s) override {
    Handler handler;
    std::shared_ptr<StreamReactor> self;
    {
      const std::lock_guard lock(mu_);
      status = s;
      done_ = true;
      handler = std::move(done_handler_);
      self = std::move(self_);
    }
    if (handler) asio::post(executor_, [h = std::move(handler)] { h(true); });
  }

  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer response;
  grpc::Status status;  // valid once done

 private:
  asio::any_io_executor executor_;
  Handler read_handler_;
  std::mutex mu_;
  bool done_ = false;                    // guarded by mu_
  Handler done_handler_;                 // guarded by mu_
  std::shared_ptr<StreamReactor> self_;  // guarded by mu_; keeps it alive until OnDone
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
    reactor->EndReads();
    // From here on the RPC is ending; wait for it even when the caller is cancelled. The state
    // belongs to the caller's whole stack, so it is put back.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    auto start = [reactor](std::function<void(bool)> done) { reactor->WaitDone(std::move(done)); };
    auto wait = Await(reactor, &reactor->context, std::move(start));
    co_await std::move(wait);
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (!local.ok()) co_return local;
    co_return Finished(reactor->context, reactor->status);
  }

 private:
  static Awaitable<absl::Status> ReadAll(std::shared_ptr<StreamReactor> reactor,
                                         const MethodInfo& method, Sink<MessagePtr>& sink) {
    for (;;) {
      auto start = [reactor](std::function<void(bool)> done) { reactor->Read(std::move(done)); };
      auto wait = Await(reactor, &reactor->context, std::move(start));
      const bool ok = co_await std::move(wait);
      if (!ok) co_return absl::OkStatus();
      MessagePtr message(method.response->New());
      METAMCP_CO_RETURN_IF_ERROR(Decode(reactor->response, *message));
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
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 3000);
  return std::shared_ptr<Channel>(
      std::make_shared<GrpcChannel>(grpc::CreateCustomChannel(target, credentials, arguments)));
}

}  // namespace metamcp::rpc
