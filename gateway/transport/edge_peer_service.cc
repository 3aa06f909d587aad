#include "gateway/transport/edge_peer_service.h"

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "gateway/transport/answer_reply.h"
#include "gateway/transport/mcp_exchange.h"

namespace metamcp::gateway {
namespace {

constexpr int kMarksMax = 1000;
constexpr int kHandlesMax = 10000;
constexpr size_t kPieceBytes = 256u << 10;

// A client's connection that ends at another gateway.
class PeerResponder final : public http::HttpResponder {
 public:
  explicit PeerResponder(Sink<v1::AttachResponse>& sink) : sink_(sink) {}

  Awaitable<absl::Status> Send(http::HttpResponse response) override {
    v1::AttachResponse event;
    v1::AttachHead& head = *event.mutable_head();
    head.set_http_status(response.status);
    head.set_ended(true);
    head.set_content_type(std::string(response.headers.Get("Content-Type")));
    head.set_body(std::move(response.body));
    started_ = true;
    co_return co_await Pass(std::move(event));
  }
  Awaitable<absl::Status> StartStream(int status, http::HttpHeaders headers) override {
    v1::AttachResponse event;
    event.mutable_head()->set_http_status(status);
    event.mutable_head()->set_content_type(std::string(headers.Get("Content-Type")));
    started_ = true;
    co_return co_await Pass(std::move(event));
  }
  Awaitable<absl::Status> Write(std::string_view data) override {
    absl::Status status;
    for (size_t at = 0; at < data.size() && status.ok(); at += kPieceBytes) {
      v1::AttachResponse event;
      event.set_data(std::string(data.substr(at, kPieceBytes)));
      status = co_await Pass(std::move(event));
    }
    co_return status;
  }
  Awaitable<absl::Status> Finish() override { co_return absl::OkStatus(); }
  Awaitable<absl::StatusOr<std::unique_ptr<http::WebSocket>>> Upgrade(
      http::WebSocketOptions) override {
    co_return absl::UnimplementedError("a stream of another gateway is no WebSocket");
  }
  // A client that goes away cancels the call.
  void OnDisconnect(std::function<void()> callback) override { gone_ = std::move(callback); }
  bool disconnected() const override { return disconnected_; }
  bool started() const override { return started_; }

 private:
  Awaitable<absl::Status> Pass(v1::AttachResponse event) {
    const absl::Status status = co_await sink_.Write(std::move(event));
    if (!status.ok() && !disconnected_) {
      disconnected_ = true;
      if (const auto gone = std::move(gone_)) gone();
    }
    co_return status;
  }
  Sink<v1::AttachResponse>& sink_;
  std::function<void()> gone_;
  bool started_ = false;
  bool disconnected_ = false;
};

}  // namespace

absl::Status EdgePeerServiceImpl::CheckTarget(const CallContext& ctx,
                                              const std::string& target) const {
  if (deps_.peers == nullptr || target != deps_.peers->self()) {
    return MakeError("SESSION_NOT_FOUND", "gateway", "this message is for another gateway");
  }
  if (ctx.principal == nullptr) {
    return MakeError("AUTH_REQUIRED", "gateway", "a peer's request names its principal");
  }
  return absl::OkStatus();
}

Awaitable<absl::StatusOr<v1::DeliverResponse>> EdgePeerServiceImpl::DeliverToConnection(
    const CallContext& ctx, v1::DeliverRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTarget(ctx, request.target()));
  METAMCP_CO_ASSIGN_OR_RETURN(
      const std::shared_ptr<DuplexConnection> connection,
      duplex_.Find(request.connection_key(), request.virtual_server(), *ctx.principal));
  if (connection->full()) {
    co_return MakeError("RATE_LIMITED", "gateway", "read the stream before you send more");
  }
  auto taking = connection->Take(std::move(*request.mutable_message()));
  const absl::Status taken = co_await std::move(taking);
  if (!taken.ok()) co_return taken;
  v1::DeliverResponse response;
  response.set_taken(true);
  co_return response;
}

absl::StatusOr<std::shared_ptr<LegacySession>> EdgePeerServiceImpl::Open(
    const CallContext& ctx, const std::string& target, const std::string& session_id,
    const std::string& virtual_server) const {
  METAMCP_RETURN_IF_ERROR(CheckTarget(ctx, target));
  return deps_.sessions.Find(session_id, virtual_server, *ctx.principal);
}

Awaitable<absl::StatusOr<v1::DeliverResponse>> EdgePeerServiceImpl::Deliver(
    const CallContext& ctx, v1::DeliverRequest request) {
  if (!request.connection_key().empty()) {
    auto delivering = DeliverToConnection(ctx, std::move(request));
    co_return co_await std::move(delivering);
  }
  METAMCP_CO_ASSIGN_OR_RETURN(
      const std::shared_ptr<LegacySession> session,
      Open(ctx, request.target(), request.session_id(), request.virtual_server()));
  jsonrpc::ParseOutcome parsed = jsonrpc::ParseEnvelope(request.message());
  if (!parsed.ok()) co_return parsed.status();
  const jsonrpc::Envelope& envelope = *parsed.envelope;
  Incoming in;
  in.envelope = &envelope;
  in.principal = ctx.principal;
  in.view = deps_.mirror.snapshot()->Find(request.virtual_server());
  v1::DeliverResponse response;
  if (envelope.is_response()) {
    response.set_taken(legacy_.HandleAnswer(envelope, *session));
    co_return response;
  }
  if (!envelope.is_call()) {
    response.set_taken(legacy_.HandleNotification(in, *session));
    co_return response;
  }
  const bool ours = BelongsToStream(envelope.method) || envelope.method.starts_with("tasks/");
  if (!ours || in.view == nullptr || !in.view->active()) {
    co_return MakeError("NOT_FOUND", "gateway",
                        StrCat("\"", envelope.method, "\" is not passed on"));
  }
  if (envelope.method.starts_with("tasks/") && envelope.method != "tasks/list" &&
      session->FindTask(envelope.params.String("taskId").value_or("")) == nullptr) {
    co_return response;
  }
  AnswerReply reply;
  auto handling = legacy_.HandleRequest(std::move(in), session, reply);
  co_await std::move(handling);
  reply.response.set_taken(true);
  co_return std::move(reply.response);
}

Awaitable<absl::Status> EdgePeerServiceImpl::Attach(const CallContext& ctx,
                                                    v1::AttachRequest request,
                                                    Sink<v1::AttachResponse>& sink) {
  METAMCP_CO_ASSIGN_OR_RETURN(
      std::shared_ptr<LegacySession> session,
      Open(ctx, request.target(), request.session_id(), request.virtual_server()));
  PeerResponder responder(sink);
  http::HttpHeaders none;
  auto serving = endpoint_.ServeStream(std::move(session), request.last_event_id(), responder,
                                       std::move(none));
  co_await std::move(serving);
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<v1::TellMarksResponse>> EdgePeerServiceImpl::TellMarks(
    const CallContext&, v1::TellMarksRequest request) {
  if (request.marks_size() > kMarksMax) {
    co_return MakeError("ARGUMENT_INVALID", "gateway", "at most 1000 marks");
  }
  for (const auto& mark : request.marks()) deps_.sessions.Mark(mark);
  co_return v1::TellMarksResponse();
}

Awaitable<absl::StatusOr<v1::LastUsedResponse>> EdgePeerServiceImpl::LastUsed(
    const CallContext&, v1::LastUsedRequest request) {
  if (request.handles_size() > kHandlesMax) {
    co_return MakeError("ARGUMENT_INVALID", "gateway", "at most 10000 handles");
  }
  v1::LastUsedResponse response;
  for (const std::string& handle : request.handles()) {
    const auto session = deps_.sessions.FindHandle(handle);
    response.add_last_used_us(session == nullptr ? 0 : session->last_used_us);
  }
  co_return response;
}

}  // namespace metamcp::gateway
