// What arrives here and belongs to another gateway of the cluster.

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "common/async/run.h"
#include "gateway/transport/mcp_exchange.h"

namespace metamcp::gateway {

namespace asio = boost::asio;
using mcp::Era;

namespace {

v1::DeliverRequest MakeDelivery(const http::HttpRequest& request, const std::string& server,
                                const jsonrpc::Envelope& envelope) {
  v1::DeliverRequest out;
  out.set_session_id(std::string(request.headers.Get(mcp::kHeaderSessionId)));
  out.set_virtual_server(server);
  out.set_message(std::string(envelope.root.text()));
  return out;
}

// Carries a stream of another gateway to the client.
class ClientSink final : public Sink<v1::AttachResponse> {
 public:
  ClientSink(http::HttpResponder& responder, http::HttpHeaders headers)
      : responder_(responder), headers_(std::move(headers)) {}

  Awaitable<absl::Status> Write(v1::AttachResponse event) override {
    if (event.has_data()) {
      if (!responder_.started()) co_return absl::InternalError("a stream without a head");
      co_return co_await responder_.Write(event.data());
    }
    if (responder_.started()) co_return absl::InternalError("a second head");
    const v1::AttachHead& head = event.head();
    headers_.Set("Content-Type", head.content_type());
    if (head.ended()) {
      http::HttpResponse response(head.http_status());
      response.headers = std::move(headers_);
      response.body = head.body();
      co_return co_await responder_.Send(std::move(response));
    }
    headers_.Set("Cache-Control", "no-cache, no-transform");
    headers_.Set("X-Accel-Buffering", "no");
    streaming = true;
    co_return co_await responder_.StartStream(head.http_status(), std::move(headers_));
  }

  bool streaming = false;

 private:
  http::HttpResponder& responder_;
  http::HttpHeaders headers_;
};

}  // namespace

std::string McpEndpoint::OwnerOf(const jsonrpc::Envelope& envelope,
                                 const LegacySession& session) const {
  if (deps_.peers == nullptr || !deps_.peers->clustered()) return {};
  std::string owner;
  if (envelope.is_response()) {
    owner = AskerOf(envelope.id);
  } else if (envelope.method == "resources/subscribe" ||
             envelope.method == "resources/unsubscribe") {
    owner = session.home;  // what they change goes out on the stream that is there
  }
  return owner == deps_.peers->self() ? std::string() : owner;
}

Awaitable<void> McpEndpoint::PassOn(Exchange& x, const jsonrpc::Envelope& envelope,
                                    std::string owner, Reply& reply) {
  v1::DeliverRequest request = MakeDelivery(x.request, x.virtual_server, envelope);
  request.set_target(std::move(owner));
  auto delivering = deps_.peers->Deliver(x.principal, std::move(request));
  auto delivered = co_await std::move(delivering);
  if (!delivered.ok()) {
    const WireError wire = ToWireError(delivered.status(), Era::kLegacy);
    std::string message = jsonrpc::MakeErrorResponse(envelope.id, wire.error);
    (void)co_await reply.Respond(wire.http, std::move(message));
  } else if (envelope.is_call()) {
    (void)co_await reply.Respond(delivered->http_status(), std::move(*delivered->mutable_answer()));
  } else {
    (void)co_await reply.End(202);
  }
}

Awaitable<void> McpEndpoint::CancelElsewhere(Exchange& x, const jsonrpc::Envelope& envelope) {
  if (deps_.peers == nullptr || !deps_.peers->clustered()) co_return;
  v1::DeliverRequest request = MakeDelivery(x.request, x.virtual_server, envelope);
  auto delivering = deps_.peers->DeliverToAny(x.principal, std::move(request));
  (void)co_await std::move(delivering);
}

Awaitable<void> McpEndpoint::AttachElsewhere(Exchange& x, std::string owner,
                                             std::string last_event_id) {
  using asio::experimental::awaitable_operators::operator||;
  v1::AttachRequest request;
  request.set_target(std::move(owner));
  request.set_session_id(std::string(x.request.headers.Get(mcp::kHeaderSessionId)));
  request.set_virtual_server(x.virtual_server);
  request.set_last_event_id(std::move(last_event_id));
  ClientSink sink(x.responder, x.cors);
  auto gone =
      std::make_shared<asio::steady_timer>(deps_.executor, asio::steady_timer::time_point::max());
  x.responder.OnDisconnect([gone] { gone->cancel(); });
  auto attaching = deps_.peers->Attach(x.principal, std::move(request), sink);
  auto caught = CatchStatus(std::move(attaching));
  auto leaving = gone->async_wait(asio::as_tuple(asio::use_awaitable));
  const auto result = co_await (std::move(caught) || std::move(leaving));
  if (x.responder.disconnected() || result.index() == 1) co_return;
  const absl::Status status = std::get<0>(result);
  if (sink.streaming) {
    // However it ended: the client comes back with the last id it has.
    (void)co_await x.responder.Finish();
  } else if (!x.responder.started()) {
    co_await x.Fail(status, Era::kLegacy);
  }
}

}  // namespace metamcp::gateway
