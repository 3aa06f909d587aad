#pragma once

#include "common/http/http_client.h"
#include "common/http/stream.h"
#include "common/http/url.h"
#include "common/http/websocket.h"

// How the server and the client make WebSockets of their connections. Internal to common/http.
namespace metamcp::http {

// Answers the opening of `request`, whose connection is `stream`; `early` is what came behind it.
// `stream` must outlive the WebSocket. CANCELLED: the client is gone.
Awaitable<absl::StatusOr<std::unique_ptr<WebSocket>>> AcceptWebSocket(Stream& stream,
                                                                      std::string early,
                                                                      const HttpRequest& request,
                                                                      WebSocketOptions options);

// Opens a WebSocket to `url` over a connection made for it, with the request's headers. Errors:
// UPSTREAM_AUTH for 401 and 403, UPSTREAM_UNAVAILABLE for 5xx and 429, UPSTREAM_PROTOCOL for any
// other answer or a foreign subprotocol, UPSTREAM_TIMEOUT, UPSTREAM_LOST.
Awaitable<absl::StatusOr<std::unique_ptr<WebSocket>>> ShakeWebSocket(std::unique_ptr<Stream> stream,
                                                                     Url url, HttpHeaders headers,
                                                                     WebSocketOptions options);

}  // namespace metamcp::http
