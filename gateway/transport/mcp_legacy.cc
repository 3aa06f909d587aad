#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/mcp/headers.h"
#include "common/mcp/methods.h"
#include "gateway/protocol/error_map.h"
#include "gateway/transport/mcp_exchange.h"
#include "gateway/transport/stream_reply.h"

namespace metamcp::gateway {

using mcp::Era;

namespace {

// What an upstream answers, in its own time.
bool Lasts(std::string_view method) {
  return method == "tools/call" || method == "prompts/get" || method == "resources/read" ||
         method == "completion/complete";
}

// Whether the client names the event stream before JSON.
bool PrefersStream(const http::HttpRequest& request) {
  const std::string_view accept = request.headers.Get("Accept");
  return accept.find("text/event-stream") < accept.find("application/json");
}

// Answers initialize without naming a session.
class Sessionless final : public Reply {
 public:
  explicit Sessionless(Reply& outer) : outer_(outer) {}
  Awaitable<absl::Status> Notify(std::string message) override {
    co_return co_await outer_.Notify(std::move(message));
  }
  Awaitable<absl::Status> Respond(int http_status, std::string message) override {
    co_return co_await outer_.Respond(http_status, std::move(message));
  }
  Awaitable<absl::Status> End(int http_status) override {
    co_return co_await outer_.End(http_status);
  }
  Awaitable<absl::Status> Open() override { co_return co_await outer_.Open(); }
  bool can_push() const override { return outer_.can_push(); }
  bool started() const override { return outer_.started(); }
  void OnGone(std::function<void()> callback) override { outer_.OnGone(std::move(callback)); }
  void SetHeader(std::string_view, std::string_view) override {}

 private:
  Reply& outer_;
};

}  // namespace

// Everything that a legacy call needs when its connection is gone.
struct McpEndpoint::LegacyCall {
  ~LegacyCall() { reply->WriterGone(); }
  std::shared_ptr<const std::string> body;  // what the envelope looks into
  jsonrpc::Envelope envelope;
  Incoming in;
  std::shared_ptr<LegacySession> session;
  std::shared_ptr<StreamReply> reply;
};

// For one request of a client that has no session: it declared nothing.
std::shared_ptr<LegacySession> McpEndpoint::PassingSession(const Exchange& x) const {
  auto session = std::make_shared<LegacySession>(deps_.executor, 1);
  const auto version = Header(x.request, mcp::kHeaderProtocolVersion);
  session->revision =
      (version ? mcp::ParseRevision(*version) : std::nullopt).value_or(mcp::Revision::k20250326);
  session->handle = NewUuidV7();
  session->virtual_server = x.virtual_server;
  session->tenant = x.principal->tenant;
  session->subject = x.principal->subject;
  session->client_capabilities = "{}";
  return session;
}

absl::StatusOr<std::shared_ptr<LegacySession>> McpEndpoint::FindSession(const Exchange& x) const {
  const auto id = Header(x.request, mcp::kHeaderSessionId);
  if (!id && options_.stateless) return PassingSession(x);
  if (!id) {
    return MakeError("SESSION_REQUIRED", "gateway",
                     "this request needs the header Mcp-Session-Id that initialize gave");
  }
  return deps_.sessions.Find(*id, x.virtual_server, *x.principal);
}

absl::Status McpEndpoint::CheckLegacyVersion(const Exchange& x, const LegacySession&) const {
  const auto header = Header(x.request, mcp::kHeaderProtocolVersion);
  if (!header || mcp::ParseRevision(*header)) return absl::OkStatus();
  return MakeError("INVALID_REQUEST", "gateway",
                   StrCat("MCP-Protocol-Version \"", *header, "\" is not supported"));
}

Awaitable<void> McpEndpoint::HandleLegacy(Exchange& x, jsonrpc::Envelope& envelope, Reply& reply) {
  Incoming in = x.MakeIncoming(envelope);
  if (envelope.is_call() && envelope.method == "initialize") {
    if (!options_.stateless) {
      (void)co_await legacy_.Initialize(std::move(in), "http", reply);
      co_return;
    }
    Sessionless without_id(reply);
    const auto session = co_await legacy_.Initialize(std::move(in), "http", without_id);
    if (session != nullptr) deps_.sessions.Remove(session);
    co_return;
  }
  auto session = FindSession(x);
  absl::Status status = session.status();
  if (status.ok()) status = CheckLegacyVersion(x, **session);
  if (!status.ok()) {
    const WireError wire = ToWireError(status, Era::kLegacy);
    std::string message = jsonrpc::MakeErrorResponse(envelope.id, wire.error);
    (void)co_await reply.Respond(wire.http, std::move(message));
    co_return;
  }
  std::string owner = OwnerOf(envelope, **session);
  if (!owner.empty()) {
    co_await PassOn(x, envelope, std::move(owner), reply);
    co_return;
  }
  if (envelope.is_call() && envelope.method.starts_with("tasks/")) {
    const bool handled = co_await HandleTaskElsewhere(x, envelope, *session, reply);
    if (handled) co_return;
  }
  if (envelope.is_call() && x.reply != nullptr && x.reply->can_push() &&
      (Lasts(envelope.method) || PrefersStream(x.request))) {
    co_await HandleLegacyCall(x, envelope, *session);
    co_return;
  }
  if (envelope.is_call()) {
    co_await legacy_.HandleRequest(std::move(in), *session, reply);
    co_return;
  }
  if (envelope.is_response()) {
    (void)legacy_.HandleAnswer(envelope, **session);
  } else if (!legacy_.HandleNotification(in, **session)) {
    co_await CancelElsewhere(x, envelope);
  }
  (void)co_await reply.End(202);
}

Awaitable<void> McpEndpoint::HandleLegacyCall(Exchange& x, jsonrpc::Envelope& envelope,
                                              std::shared_ptr<LegacySession> session) {
  keep_alive_.Remove(x.reply);
  auto reply = std::make_shared<StreamReply>(deps_.executor, session);
  if (PrefersStream(x.request)) reply->OpenStream();
  auto call = std::make_shared<LegacyCall>();
  call->body = x.body;
  call->envelope = std::move(envelope);
  call->in = x.MakeIncoming(call->envelope);
  const auto keep = [&x](std::string_view name) {
    const auto value = Header(x.request, name);
    return value ? std::optional<std::string>(*value) : std::nullopt;
  };
  call->in.header = [parent = keep("traceparent"), state = keep("tracestate")](
                        std::string_view name) -> std::optional<std::string_view> {
    if (http::EqualsNoCase(name, "traceparent")) return parent;
    if (http::EqualsNoCase(name, "tracestate")) return state;
    return std::nullopt;
  };
  call->session = std::move(session);
  call->reply = reply;
  auto running = RunLegacyCall(std::move(call));
  tasks_.Spawn("legacy call", std::move(running));
  StreamConnection connection(x.responder, x.cors, keep_alive_.interval());
  auto serving = ServeReply(std::move(reply), std::move(connection));
  co_await std::move(serving);
}

Awaitable<void> McpEndpoint::RunLegacyCall(std::shared_ptr<LegacyCall> call) {
  Incoming in = call->in;
  auto handling = legacy_.HandleRequest(std::move(in), call->session, *call->reply);
  co_await std::move(handling);
}

namespace {

// Collects the responses of a batch; other messages go out at once on the exchange's stream.
class BatchReply final : public Reply {
 public:
  explicit BatchReply(Reply& outer) : outer_(outer) {}
  Awaitable<absl::Status> Notify(std::string message) override {
    co_return co_await outer_.Notify(std::move(message));
  }
  Awaitable<absl::Status> Respond(int, std::string message) override {
    responses.push_back(std::move(message));
    co_return absl::OkStatus();
  }
  Awaitable<absl::Status> End(int) override { co_return absl::OkStatus(); }
  Awaitable<absl::Status> Open() override { co_return co_await outer_.Open(); }
  bool can_push() const override { return outer_.can_push(); }
  bool started() const override { return outer_.started(); }
  void OnGone(std::function<void()>) override {}
  void SetHeader(std::string_view, std::string_view) override {}
  std::vector<std::string> responses;

 private:
  Reply& outer_;
};

}  // namespace

Awaitable<void> McpEndpoint::HandleBatch(Exchange& x) {
  json::ScanLimits limits;
  limits.depth_max = options_.json_depth_max;
  auto messages = jsonrpc::ParseBatch(*x.body, options_.batch_max, limits);
  auto session = FindSession(x);
  absl::Status status = messages.ok() ? session.status() : messages.status();
  if (status.ok() && (!mcp::ToleratesBatch((*session)->revision) ||
                      NamesModern(Header(x.request, mcp::kHeaderProtocolVersion)))) {
    status =
        MakeError("INVALID_REQUEST", "gateway",
                  StrCat("batches are not part of MCP ", mcp::RevisionName((*session)->revision)));
  }
  if (!status.ok()) {
    co_await x.Fail(status, Era::kLegacy);
    co_return;
  }
  auto reply = std::make_shared<HttpReply>(deps_.executor, x.responder, x.cors, MayStream(x));
  BatchReply batch(*reply);
  for (const std::string_view text : *messages) {
    jsonrpc::ParseOutcome parsed = jsonrpc::ParseEnvelope(text, limits);
    if (!parsed.ok()) {
      batch.responses.push_back(jsonrpc::MakeErrorResponse(parsed.id, parsed.error));
    } else if (mcp::HasModernClaim(parsed.envelope->meta) ||
               parsed.envelope->method == "initialize") {
      const absl::Status refused =
          MakeError("INVALID_REQUEST", "gateway", "this message must not be part of a batch");
      co_await RespondError(batch, parsed.id, refused, Era::kLegacy);
    } else {
      co_await HandleLegacy(x, *parsed.envelope, batch);
    }
  }
  if (batch.responses.empty()) {
    (void)co_await reply->End(202);
  } else {
    std::string joined = jsonrpc::MakeBatch(batch.responses);
    (void)co_await reply->Respond(200, std::move(joined));
  }
}

Awaitable<void> McpEndpoint::HandleGet(Exchange& x) {
  const bool has_id = x.request.headers.Has(mcp::kHeaderSessionId);
  auto session = has_id ? FindSession(x) : absl::StatusOr<std::shared_ptr<LegacySession>>(nullptr);
  const bool stream = Accepts(x.request, "text/event-stream") && x.request.headers.Has("Accept");
  if (!has_id || (session.ok() && !stream)) {
    http::HttpResponse response(has_id ? 406 : 405, "application/json",
                                has_id ? R"({"error":"GET needs Accept: text/event-stream"})"
                                       : R"({"error":"GET needs the header Mcp-Session-Id; send )"
                                         R"(messages with POST"})");
    response.headers.Add("Allow", "POST, DELETE");
    (void)co_await x.responder.Send(std::move(response));
    co_return;
  }
  if (!session.ok()) {
    co_await x.Fail(session.status(), Era::kLegacy);
    co_return;
  }
  const std::string last(Header(x.request, "Last-Event-ID").value_or(""));
  const std::string_view named = EventLogs::InstanceOf(last);
  std::string owner = cluster::IsInstanceId(named) ? std::string(named) : (*session)->home;
  if (deps_.peers != nullptr && deps_.peers->clustered() && owner != deps_.peers->self()) {
    co_await AttachElsewhere(x, std::move(owner), last);
    co_return;
  }
  co_await ServeStream(*session, last, x.responder, x.cors);
}

Awaitable<void> McpEndpoint::ServeStream(std::shared_ptr<LegacySession> own,
                                         std::string last_event_id, http::HttpResponder& responder,
                                         http::HttpHeaders cors) {
  if (static_cast<size_t>(own->streams) >= options_.streams_per_session_max) {
    const absl::Status status =
        MakeError("RATE_LIMITED", "gateway", "this session has too many open streams");
    co_await SendFailure(responder, status, Era::kLegacy, std::move(cors));
    co_return;
  }
  EventLogs::Place place;
  if (!last_event_id.empty()) {
    place = own->logs.Find(last_event_id).value_or(EventLogs::Place());
    if (place.log == nullptr && place.request) {
      const absl::Status status =
          MakeError("INVALID_REQUEST", "gateway",
                    "the stream of Last-Event-ID is not kept any more; repeat the request");
      co_await SendFailure(responder, status, Era::kLegacy, std::move(cors));
      co_return;
    }
  }
  const bool resumes = place.log != nullptr;
  if (!resumes) place.log = own->logs.Open(deps_.executor, true);
  if (place.log->standalone()) (void)own->outbox.Reopen();
  // The registry may end the session while the stream is open; the session outlives it here.
  struct Count {
    explicit Count(LegacySession& s) : session(s) { ++session.streams; }
    ~Count() { --session.streams; }
    LegacySession& session;
  } count(*own);
  StreamConnection connection(responder, std::move(cors), keep_alive_.interval());
  const bool prime = !resumes && own->revision >= mcp::Revision::k20251125;
  auto source = place.log->standalone() ? own : nullptr;
  auto serving =
      ServeLog(std::move(place.log), std::move(source), place.seq, prime, std::move(connection));
  co_await std::move(serving);
}

Awaitable<void> McpEndpoint::HandleDelete(Exchange& x) {
  if (!x.request.headers.Has(mcp::kHeaderSessionId)) {
    http::HttpResponse response(405);
    response.headers.Add("Allow", "POST");
    (void)co_await x.responder.Send(std::move(response));
    co_return;
  }
  auto session = FindSession(x);
  if (!session.ok()) {
    co_await x.Fail(session.status(), Era::kLegacy);
    co_return;
  }
  std::vector<SessionRegistry::SessionMark> marks;
  marks.push_back(deps_.sessions.Remove(*session));
  if (deps_.peers != nullptr) {
    auto publishing = deps_.peers->Publish(std::move(marks));
    const absl::Status stored = co_await std::move(publishing);
    if (!stored.ok()) {
      co_await x.Fail(stored, Era::kLegacy);
      co_return;
    }
  }
  http::HttpResponse done(204);
  (void)co_await x.responder.Send(std::move(done));
}

}  // namespace metamcp::gateway
