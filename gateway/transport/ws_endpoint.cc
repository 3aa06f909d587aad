#include "gateway/transport/ws_endpoint.h"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::gateway {
namespace {

using End = DuplexConnection::End;

// What the opening lacks; OK if it can be answered.
absl::Status CheckOpening(const http::HttpRequest& request) {
  if (!http::AsksForWebSocket(request) || request.version_minor < 1) {
    return MakeError("INVALID_REQUEST", "gateway",
                     "this URL serves WebSockets: send GET with Upgrade: websocket");
  }
  if (request.headers.Get("Sec-WebSocket-Version") != "13") {
    return MakeError("INVALID_REQUEST", "gateway", "Sec-WebSocket-Version must be 13");
  }
  if (request.headers.Has("Sec-WebSocket-Protocol") &&
      !request.headers.HasToken("Sec-WebSocket-Protocol", "mcp")) {
    return MakeError("INVALID_REQUEST", "gateway", "the subprotocol is mcp");
  }
  return absl::OkStatus();
}

Awaitable<void> SendUpgradeRequired(http::HttpResponder& responder, absl::Status why) {
  http::HttpResponse response(426, "text/plain; charset=utf-8", StrCat(Sv(why.message()), "\n"));
  response.headers.Add("Upgrade", "websocket");
  response.headers.Add("Sec-WebSocket-Version", "13");
  response.headers.Add("Sec-WebSocket-Protocol", "mcp");
  (void)co_await responder.Send(std::move(response));
}

}  // namespace

Awaitable<void> WsEndpoint::Handle(http::HttpRequest& request, http::HttpResponder& responder,
                                   std::string virtual_server, http::HttpHeaders cors) {
  const auth::Credentials credentials = CredentialsOf(request, virtual_server);
  auto admitting = authenticator_.Admit(credentials);
  auto principal = co_await std::move(admitting);
  absl::Status status = principal.status();
  if (status.ok()) status = FindView(front_.deps(), virtual_server, **principal).status();
  if (status.ok()) {
    if (absl::Status opening = CheckOpening(request); !opening.ok()) {
      co_await SendUpgradeRequired(responder, std::move(opening));
      co_return;
    }
  }
  absl::StatusOr<DuplexFront::Opened> opened = absl::CancelledError();
  if (status.ok()) {
    opened = front_.Open("ws", std::move(virtual_server), *std::move(principal));
    status = opened.status();
  }
  if (!status.ok()) {
    co_await SendFailure(responder, status, mcp::Era::kLegacy, std::move(cors));
    co_return;
  }
  const std::shared_ptr<DuplexConnection> connection = opened->connection;
  const DuplexGuard guard(connection);
  http::WebSocketOptions options;
  options.message_bytes_max = front_.options().message_bytes_max;
  auto socket = co_await responder.Upgrade(std::move(options));
  if (!socket.ok()) co_return;
  using boost::asio::experimental::awaitable_operators::operator&&;
  auto reading = Read(*connection, **socket);
  auto writing = Write(*connection, **socket);
  co_await (std::move(reading) && std::move(writing));
}

Awaitable<void> WsEndpoint::Read(DuplexConnection& connection, http::WebSocket& socket) const {
  for (;;) {
    auto message = co_await socket.Read();
    if (!message.ok() || !message->has_value()) break;
    const absl::Status taken = co_await connection.Take(**std::move(message));
    if (!taken.ok()) co_await connection.Report(taken);
  }
  connection.Gone();
}

Awaitable<void> WsEndpoint::Write(DuplexConnection& connection, http::WebSocket& socket) const {
  absl::Status sent;
  while (sent.ok()) {
    std::optional<std::string> message = co_await connection.Next(front_.options().keep_alive);
    if (message) {
      sent = co_await socket.Write(*message);
    } else if (connection.end() != End::kOpen) {
      break;
    } else {
      sent = co_await socket.Ping();
    }
  }
  if (sent.ok() && connection.end() == End::kStopping) {
    co_await socket.Close(http::WebSocketClose::kGoingAway, "the gateway stops");
  } else if (sent.ok() && connection.end() == End::kRevoked) {
    co_await socket.Close(http::WebSocketClose::kPolicy, "the session was ended");
  } else if (sent.ok() && connection.end() == End::kBehind) {
    co_await socket.Close(http::WebSocketClose::kPolicy, "you do not read what you asked for");
  }
  // The reader ends with it.
  socket.Abort();
}

}  // namespace metamcp::gateway
