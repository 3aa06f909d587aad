#pragma once

#include <memory>
#include <string>

#include "gateway/transport/admission.h"
#include "gateway/transport/duplex_front.h"

namespace metamcp::gateway {

// MCP over WebSocket on /ws and /servers/{name}/ws: the subprotocol `mcp`, one JSON-RPC message in
// each text frame, otherwise as over stdio. Credentials come with the opening, never in the URL.
// Closes with 1008 when the session is revoked or the client does not read what it asked for, 1009
// and 1003 for messages that are too big or binary, 1001 when the gateway stops. Single-threaded.
class WsEndpoint {
 public:
  WsEndpoint(DuplexFront& front, const auth::Authenticator& authenticator)
      : front_(front), authenticator_(authenticator) {}

  // Origin and Host have been checked.
  Awaitable<void> Handle(http::HttpRequest& request, http::HttpResponder& responder,
                         std::string virtual_server, http::HttpHeaders cors);

 private:
  Awaitable<void> Read(DuplexConnection& connection, http::WebSocket& socket) const;
  Awaitable<void> Write(DuplexConnection& connection, http::WebSocket& socket) const;

  DuplexFront& front_;
  const auth::Authenticator& authenticator_;
};

}  // namespace metamcp::gateway
