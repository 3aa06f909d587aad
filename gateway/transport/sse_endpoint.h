#pragma once

#include <memory>
#include <string>

#include "gateway/transport/admission.h"
#include "gateway/transport/duplex_front.h"

namespace metamcp::gateway {

// HTTP with SSE as 2024-11-05 has it, on /sse and /servers/{name}/sse: a GET opens the stream that
// brings every message of ours; its first event, `endpoint`, names the URL to which the client
// POSTs its own. That URL is sealed for the principal and the virtual server of the stream, and
// does not stand for a credential: each request is authenticated. Any legacy revision may be
// negotiated, and requests of the modern era are served too. The end of the stream is the end of
// the session. Single-threaded. Source: MCP 2024-11-05, basic/transports.
class SseEndpoint {
 public:
  SseEndpoint(DuplexFront& front, const auth::Authenticator& authenticator, EdgePaths paths)
      : front_(front), authenticator_(authenticator), paths_(std::move(paths)) {}

  // Serves the stream. Origin and Host have been checked.
  Awaitable<void> HandleStream(http::HttpRequest& request, http::HttpResponder& responder,
                               std::string virtual_server, http::HttpHeaders cors);
  // Takes a message: 202, and what it says comes on the stream. 400 for what cannot be read, 404
  // for a stream that is not here or not this client's, 429 while the stream is not read.
  Awaitable<void> HandleMessage(http::HttpRequest& request, http::HttpResponder& responder,
                                std::string virtual_server, http::HttpHeaders cors);

 private:
  // 202, or why the message was not taken.
  static Awaitable<void> Answer(http::HttpResponder& responder, absl::Status status,
                                http::HttpHeaders cors);
  std::string MessagesUrl(const std::string& virtual_server, const std::string& key) const;
  Awaitable<void> Serve(std::shared_ptr<DuplexConnection> connection,
                        http::HttpResponder& responder, std::string endpoint,
                        http::HttpHeaders headers);

  DuplexFront& front_;
  const auth::Authenticator& authenticator_;
  const EdgePaths paths_;
};

}  // namespace metamcp::gateway
