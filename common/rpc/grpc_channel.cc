#include "common/rpc/grpc_channel.h"

#include <google/protobuf/message.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <optional>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/rpc/client_calls.h"
#include "common/rpc/tls_credentials.h"
#include "common/rpc/wire.h"
#include "common/telemetry/trace.h"

namespace metamcp::rpc {
namespace {

void Prepare(grpc::ClientContext& context, const CallContext& ctx) {
  // gRPC's deadline is on the wall clock; what travels is the time left.
  context.set_deadline(std::chrono::system_clock::now() +
                       std::min<CallContext::Clock::duration>(ctx.TimeLeft(), kCallTimeMax));
  context.AddMetadata(kCallMetaKey, EncodeCallMeta(ctx));
}

// The span of a call that belongs to a trace; what lasts as long as a process (a watch) has none.
// Makes `own` the context to call with where there is a span.
trace::Span BeginSpan(const CallContext& ctx, const MethodInfo& method,
                      std::optional<CallContext>& own) {
  if (!trace::Enabled() || ctx.trace.traceparent.empty()) return {};
  own.emplace(ctx);
  trace::Span span(trace::Kind::kClient, method.path.substr(1), own->trace);
  span.Set("rpc.system", "grpc");
  span.Set("rpc.method", method.name);
  return span;
}

// One unary call: lives until gRPC has called back, whatever happened to the waiter.
struct UnaryState {
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer response;
};

// gRPC's own name for the target, with the resolver said.
std::string FullTarget(const std::string& target) {
  return target.rfind("unix:", 0) == 0 || target.rfind("dns:", 0) == 0 ? target
                                                                       : StrCat("dns:///", target);
}

}  // namespace

GrpcChannel::GrpcChannel(std::string target, ChannelOptions options)
    : target_(FullTarget(target)), options_(std::move(options)) {
  (void)Current();  // begins to connect
}

std::shared_ptr<grpc::Channel> GrpcChannel::Connect(const Tls::Current* tls) const {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepAliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepAliveTimeoutMs);
  // A watch may be silent for hours.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 3000);
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  if (!options_.health.empty()) {
    arguments.SetServiceConfigJSON(StrCat(
        R"({"loadBalancingConfig":[{"round_robin":{}}],"healthCheckConfig":{"serviceName":")",
        options_.health, R"("}})"));
  }
  auto credentials =
      tls == nullptr ? grpc::InsecureChannelCredentials() : ClientCredentials(*tls, options_.roles);
  return grpc::CreateCustomChannel(target_, credentials, arguments);
}

std::shared_ptr<GrpcChannel::Connection> GrpcChannel::Current() {
  std::shared_ptr<const Tls::Current> tls;
  if (options_.tls != nullptr) tls = options_.tls->current();
  const uint64_t generation = tls == nullptr ? 0 : tls->generation;
  const std::lock_guard lock(mu_);
  if (current_ == nullptr || current_->generation != generation) {
    current_ = std::make_shared<Connection>(generation, Connect(tls.get()));
    (void)current_->channel->GetState(true);
  }
  return current_;
}

bool GrpcChannel::Connected() { return Current()->channel->GetState(true) == GRPC_CHANNEL_READY; }

absl::Status GrpcChannel::Finished(const grpc::ClientContext& context,
                                   const grpc::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  const auto& trailing = context.GetServerTrailingMetadata();
  const auto it = trailing.find(kErrorInfoKey);
  if (it != trailing.end())
    return FromGrpc(status, std::string(it->second.data(), it->second.size()));
  // gRPC names a peer once the call has been given to a connection, and the target before.
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE && context.peer() == target_) {
    return MakeError(
        "SERVICE_UNREACHABLE", "gateway",
        StrCat("the service at ", target_, " cannot be reached: ", status.error_message()),
        {{"target", target_}});
  }
  return FromGrpc(status, std::string());
}

Awaitable<absl::Status> GrpcChannel::Unary(const CallContext& ctx, const MethodInfo& method,
                                           const google::protobuf::Message& request,
                                           google::protobuf::Message& response) {
  if (ctx.deadline <= CallContext::Clock::now()) {
    co_return absl::DeadlineExceededError("the deadline passed before the call began");
  }
  const std::shared_ptr<Connection> connection = Current();
  auto state = std::make_shared<UnaryState>();
  METAMCP_CO_RETURN_IF_ERROR(Encode(request, state->request));
  std::optional<CallContext> own;
  trace::Span span = BeginSpan(ctx, method, own);
  Prepare(state->context, own ? *own : ctx);
  auto result = std::make_shared<grpc::Status>();
  const auto executor = co_await asio::this_coro::executor;
  // The last reference goes on the executor: a context holds the channel, which gRPC does not let
  // one of its own threads destroy.
  auto start = [stub = &connection->stub, state, result, executor,
                path = std::string(method.path)](std::function<void(bool)> done) {
    auto finished = [state, result, executor, done](grpc::Status s) mutable {
      asio::post(executor,
                 [state = std::move(state), result, s = std::move(s), done = std::move(done)] {
                   *result = s;
                   done(true);
                 });
    };
    stub->UnaryCall(&state->context, path, grpc::StubOptions(), &state->request, &state->response,
                    std::move(finished));
  };
  auto wait = Await(state, &state->context, std::move(start));
  co_await std::move(wait);
  if (!result->ok()) {
    absl::Status status = Finished(state->context, *result);
    span.Fail(status);
    co_return status;
  }
  co_return Decode(state->response, response);
}

Awaitable<absl::Status> GrpcChannel::Stream(const CallContext& ctx, const MethodInfo& method,
                                            const google::protobuf::Message& request,
                                            Sink<MessagePtr>& sink) {
  if (ctx.deadline <= CallContext::Clock::now()) {
    co_return absl::DeadlineExceededError("the deadline passed before the call began");
  }
  const std::shared_ptr<Connection> connection = Current();
  auto reactor = std::make_shared<StreamReactor>(co_await asio::this_coro::executor);
  METAMCP_CO_RETURN_IF_ERROR(Encode(request, reactor->request));
  std::optional<CallContext> own;
  trace::Span span = BeginSpan(ctx, method, own);
  Prepare(reactor->context, own ? *own : ctx);
  connection->stub.PrepareBidiStreamingCall(&reactor->context, std::string(method.path),
                                            grpc::StubOptions(), reactor.get());
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
  absl::Status status = local.ok() ? Finished(reactor->context, reactor->status) : local;
  span.Fail(status);
  co_return status;
}

Awaitable<absl::Status> GrpcChannel::ReadAll(std::shared_ptr<StreamReactor> reactor,
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

}  // namespace metamcp::rpc
