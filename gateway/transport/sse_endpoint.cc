#include "gateway/transport/sse_endpoint.h"

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/sse.h"
#include "common/http/url.h"

namespace metamcp::gateway {
namespace {

constexpr size_t kWriteBytes = 64u << 10;
constexpr std::string_view kKeyParameter = "session_id";

Awaitable<void> SendNotAllowed(http::HttpResponder& responder, std::string_view method,
                               http::HttpHeaders headers) {
  http::HttpResponse response(405, "application/json",
                              StrCat(R"({"error":"only )", method, R"( is served here"})"));
  for (size_t i = 0; i < headers.size(); ++i) {
    response.headers.Add(headers.at(i).name, headers.at(i).value);
  }
  response.headers.Set("Allow", method);
  (void)co_await responder.Send(std::move(response));
}

}  // namespace

std::string SseEndpoint::MessagesUrl(const std::string& virtual_server,
                                     const std::string& key) const {
  const std::string path = virtual_server == "default"
                               ? paths_.messages_path
                               : StrCat("/servers/", virtual_server, "/messages");
  return StrCat(path, "?", kKeyParameter, "=", http::PercentEncode(key));
}

Awaitable<void> SseEndpoint::HandleStream(http::HttpRequest& request,
                                          http::HttpResponder& responder,
                                          std::string virtual_server, http::HttpHeaders cors) {
  const auth::Credentials credentials = CredentialsOf(request, virtual_server);
  auto admitting = authenticator_.Admit(credentials);
  auto principal = co_await std::move(admitting);
  absl::Status status = principal.status();
  if (status.ok()) status = FindView(front_.deps(), virtual_server, **principal).status();
  if (status.ok() && request.method != "GET") {
    // Clients that try Streamable HTTP first take this for the answer.
    co_await SendNotAllowed(responder, "GET", std::move(cors));
    co_return;
  }
  if (status.ok() && !Accepts(request, "text/event-stream")) {
    status = MakeError("NOT_ACCEPTABLE", "gateway", "Accept must list text/event-stream");
  }
  absl::StatusOr<DuplexFront::Opened> opened = absl::CancelledError();
  if (status.ok()) {
    opened = front_.Open("sse", virtual_server, *std::move(principal));
    status = opened.status();
  }
  if (!status.ok()) {
    co_await SendFailure(responder, status, mcp::Era::kLegacy, std::move(cors));
    co_return;
  }
  const DuplexGuard guard(opened->connection);
  std::string endpoint = MessagesUrl(virtual_server, opened->key);
  co_await Serve(opened->connection, responder, std::move(endpoint), std::move(cors));
}

Awaitable<void> SseEndpoint::Serve(std::shared_ptr<DuplexConnection> connection,
                                   http::HttpResponder& responder, std::string endpoint,
                                   http::HttpHeaders headers) {
  responder.OnDisconnect([weak = std::weak_ptr<DuplexConnection>(connection)] {
    if (const auto alive = weak.lock()) alive->Gone();
  });
  headers.Set("Content-Type", "text/event-stream");
  headers.Set("Cache-Control", "no-cache, no-transform");
  headers.Set("X-Accel-Buffering", "no");
  absl::Status sent = co_await responder.StartStream(200, std::move(headers));
  std::string text = http::SseEvent(endpoint, "endpoint");
  while (sent.ok()) {
    sent = co_await responder.Write(text);
    text.clear();
    std::optional<std::string> message = co_await connection->Next(front_.options().keep_alive);
    if (!message) {
      if (connection->end() != DuplexConnection::End::kOpen) break;
      text = std::string(http::kSseKeepAlive);
      continue;
    }
    http::AppendSseEvent(*message, "message", {}, text);
    // What is there already goes out in one write.
    while (text.size() < kWriteBytes && connection->queued()) {
      message = co_await connection->Next(front_.options().keep_alive);
      if (message) http::AppendSseEvent(*message, "message", {}, text);
    }
  }
  if (sent.ok() && !responder.disconnected()) (void)co_await responder.Finish();
}

Awaitable<void> SseEndpoint::HandleMessage(http::HttpRequest& request,
                                           http::HttpResponder& responder,
                                           std::string virtual_server, http::HttpHeaders cors) {
  auth::Credentials credentials = CredentialsOf(request, virtual_server);
  // The stream is the resource that clients know.
  const std::string stream =
      virtual_server == "default" ? paths_.sse_path : StrCat("/servers/", virtual_server, "/sse");
  credentials.path = stream;
  auto admitting = authenticator_.Admit(credentials);
  auto principal = co_await std::move(admitting);
  absl::Status status = principal.status();
  if (status.ok() && request.method != "POST") {
    co_await SendNotAllowed(responder, "POST", std::move(cors));
    co_return;
  }
  if (status.ok()) status = CheckJsonBody(request);
  std::shared_ptr<DuplexConnection> connection;
  const std::string key = http::QueryParameter(request.query, kKeyParameter);
  if (status.ok()) {
    EdgePeers* peers = front_.deps().peers;
    const std::string holder = front_.HolderOf(key, virtual_server, **principal);
    if (peers != nullptr && peers->clustered() && !holder.empty() && holder != peers->self()) {
      v1::DeliverRequest passed;
      passed.set_target(holder);
      passed.set_connection_key(key);
      passed.set_virtual_server(virtual_server);
      passed.set_message(std::move(request.body));
      auto delivering = peers->Deliver(*principal, std::move(passed));
      const auto delivered = co_await std::move(delivering);
      co_await Answer(responder, delivered.status(), std::move(cors));
      co_return;
    }
    auto found = front_.Find(key, virtual_server, **principal);
    status = found.status();
    if (found.ok()) connection = *std::move(found);
  }
  if (status.ok() && connection->full()) {
    status = MakeError("RATE_LIMITED", "gateway", "read the stream before you send more");
  }
  if (status.ok()) status = co_await connection->Take(std::move(request.body));
  co_await Answer(responder, status, std::move(cors));
}

Awaitable<void> SseEndpoint::Answer(http::HttpResponder& responder, absl::Status status,
                                    http::HttpHeaders cors) {
  if (!status.ok()) {
    co_await SendFailure(responder, status, mcp::Era::kLegacy, std::move(cors));
    co_return;
  }
  http::HttpResponse accepted(202);
  accepted.headers = std::move(cors);
  (void)co_await responder.Send(std::move(accepted));
}

}  // namespace metamcp::gateway
