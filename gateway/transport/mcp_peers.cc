// What arrives here and belongs to another gateway of the cluster.

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "common/async/run.h"
#include "common/base/error.h"
#include "gateway/transport/answer_reply.h"
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
      writing = true;
      const absl::Status written = co_await responder_.Write(event.data());
      writing = false;
      co_return written;
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
  bool writing = false;  // also when that was cut off

 private:
  http::HttpResponder& responder_;
  http::HttpHeaders headers_;
};

}  // namespace

bool BelongsToStream(std::string_view method) {
  return method == "resources/subscribe" || method == "resources/unsubscribe";
}

std::string McpEndpoint::OwnerOf(const jsonrpc::Envelope& envelope,
                                 const LegacySession& session) const {
  if (deps_.peers == nullptr || !deps_.peers->clustered()) return {};
  std::string owner;
  if (envelope.is_response()) {
    owner = AskerOf(envelope.id);
  } else if (BelongsToStream(envelope.method)) {
    owner = session.home;
  } else if (envelope.method.starts_with("tasks/")) {
    owner = HolderOf(envelope.params.String("taskId").value_or(""));
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
  auto delivering = deps_.peers->DeliverToOthers(x.principal, std::move(request));
  (void)co_await std::move(delivering);
}

Awaitable<bool> McpEndpoint::HandleTaskElsewhere(Exchange& x, const jsonrpc::Envelope& envelope,
                                                 std::shared_ptr<LegacySession> session,
                                                 Reply& reply) {
  if (deps_.peers == nullptr || !deps_.peers->clustered()) co_return false;
  if (envelope.method == "tasks/list") {
    co_await ListTasks(x, envelope, std::move(session), reply);
    co_return true;
  }
  // Who made a task remembers that it was cancelled; any gateway can ask its server for the rest.
  const std::string id = envelope.params.String("taskId").value_or("");
  if (envelope.method != "tasks/cancel" || session->FindTask(id) != nullptr) co_return false;
  v1::DeliverRequest request = MakeDelivery(x.request, x.virtual_server, envelope);
  auto delivering = deps_.peers->DeliverToOthers(x.principal, std::move(request));
  std::vector<v1::DeliverResponse> taken = co_await std::move(delivering);
  if (taken.empty()) co_return false;
  (void)co_await reply.Respond(taken[0].http_status(), std::move(*taken[0].mutable_answer()));
  co_return true;
}

Awaitable<void> McpEndpoint::ListTasks(Exchange& x, const jsonrpc::Envelope& envelope,
                                       std::shared_ptr<LegacySession> session, Reply& reply) {
  AnswerReply own;
  auto handling = legacy_.HandleRequest(x.MakeIncoming(envelope), std::move(session), own);
  co_await std::move(handling);
  v1::DeliverRequest request = MakeDelivery(x.request, x.virtual_server, envelope);
  auto delivering = deps_.peers->DeliverToOthers(x.principal, std::move(request), true);
  std::vector<v1::DeliverResponse> answers = co_await std::move(delivering);
  std::vector<std::string> results;
  const auto result_of = [](const v1::DeliverResponse& response) -> std::string {
    const auto answer = json::ScanObject(response.answer());
    return answer.ok() ? std::string(answer->Raw("result")) : std::string();
  };
  results.push_back(result_of(own.response));
  if (results[0].empty()) {  // an error, as for a virtual server without tasks
    (void)co_await reply.Respond(own.response.http_status(),
                                 std::move(*own.response.mutable_answer()));
    co_return;
  }
  for (const v1::DeliverResponse& response : answers) {
    if (std::string result = result_of(response); !result.empty()) {
      results.push_back(std::move(result));
    }
  }
  const auto joined = JoinTaskLists(results);
  if (!joined.ok()) {
    co_await RespondError(reply, envelope.id, joined.status(), Era::kLegacy);
    co_return;
  }
  (void)co_await reply.Respond(200, jsonrpc::MakeResult(envelope.id, *joined));
}

// Known to its endpoint as long as it is carried.
struct McpEndpoint::Passed {
  Passed(McpEndpoint& endpoint_in, std::shared_ptr<const Principal> principal_in)
      : endpoint(endpoint_in),
        principal(std::move(principal_in)),
        over(std::make_shared<asio::steady_timer>(endpoint_in.deps_.executor,
                                                  asio::steady_timer::time_point::max())) {
    endpoint.passed_.insert(this);
  }
  ~Passed() { endpoint.passed_.erase(this); }
  Passed(const Passed&) = delete;
  Passed& operator=(const Passed&) = delete;
  void End() {
    ended = true;
    over->cancel();
  }

  McpEndpoint& endpoint;
  const std::shared_ptr<const Principal> principal;
  const std::shared_ptr<asio::steady_timer> over;
  bool ended = false;  // from this side
};

void McpEndpoint::Drain() {
  draining_ = true;
  for (Passed* passed : passed_) passed->End();
}

void McpEndpoint::CloseWhere(const std::function<bool(const Principal&)>& who) {
  for (Passed* passed : passed_) {
    if (who(*passed->principal)) passed->End();
  }
}

Awaitable<void> McpEndpoint::AttachElsewhere(Exchange& x, std::string owner,
                                             std::string last_event_id) {
  using asio::experimental::awaitable_operators::operator||;
  absl::Status status = MakeError("SHUTTING_DOWN", "gateway", "this gateway stops; come back");
  if (draining_) {
    co_await x.Fail(status, Era::kLegacy);
    co_return;
  }
  v1::AttachRequest request;
  request.set_target(std::move(owner));
  request.set_session_id(std::string(x.request.headers.Get(mcp::kHeaderSessionId)));
  request.set_virtual_server(x.virtual_server);
  request.set_last_event_id(std::move(last_event_id));
  ClientSink sink(x.responder, x.cors);
  Passed passed(*this, x.principal);
  x.responder.OnDisconnect([over = passed.over] { over->cancel(); });
  auto attaching = deps_.peers->Attach(x.principal, std::move(request), sink);
  auto caught = CatchStatus(std::move(attaching));
  auto leaving = passed.over->async_wait(asio::as_tuple(asio::use_awaitable));
  const auto result = co_await (std::move(caught) || std::move(leaving));
  // What was cut off in the middle is no stream any more.
  if (x.responder.disconnected() || (passed.ended && sink.writing)) co_return;
  if (result.index() == 0) status = std::get<0>(result);
  if (sink.streaming) {
    // However it ended: the client comes back with the last id it has.
    (void)co_await x.responder.Finish();
  } else if (!x.responder.started()) {
    co_await x.Fail(status, Era::kLegacy);
  }
}

}  // namespace metamcp::gateway
