#pragma once

#include <memory>
#include <string>

#include "common/auth/authenticator.h"
#include "common/http/http_server.h"
#include "common/http/origin.h"
#include "gateway/protocol/front.h"
#include "gateway/transport/http_reply.h"

namespace metamcp::gateway {

// Streamable HTTP of every revision on /mcp and /servers/{name}/mcp: decides the era of each
// message (mcp-digest 3.1) and hands it to the front that serves it. Single-threaded.
class McpEndpoint {
 public:
  struct Options {
    Options() {}
    size_t json_depth_max = 64;
    size_t batch_max = 50;
    size_t streams_per_session_max = 16;
  };
  // References must outlive the endpoint.
  McpEndpoint(FrontDeps deps, const auth::Authenticator& authenticator, KeepAlive& keep_alive,
              Options options);

  // Whether `path` belongs to this endpoint; then `name` is the virtual server.
  static bool Match(std::string_view path, std::string* name);

  // Answers one request. `cors` are headers for every answer. Origin and Host have been checked.
  Awaitable<void> Handle(http::HttpRequest& request, http::HttpResponder& responder,
                         std::string virtual_server, http::HttpHeaders cors);

 private:
  struct Exchange;  // one HTTP request on its way
  Awaitable<void> HandlePost(Exchange& x);
  Awaitable<void> HandleMessage(Exchange& x, std::string_view text, Reply& reply);
  Awaitable<void> HandleModern(Exchange& x, const jsonrpc::Envelope& envelope, Reply& reply);
  Awaitable<void> HandleLegacy(Exchange& x, const jsonrpc::Envelope& envelope, Reply& reply);
  Awaitable<void> HandleBatch(Exchange& x);
  Awaitable<void> HandleGet(Exchange& x);
  Awaitable<void> HandleDelete(Exchange& x);
  absl::StatusOr<std::shared_ptr<LegacySession>> FindSession(const Exchange& x) const;
  absl::Status CheckLegacyVersion(const Exchange& x, const LegacySession& session) const;

  FrontDeps deps_;
  const auth::Authenticator& authenticator_;
  KeepAlive& keep_alive_;
  const Options options_;
  ModernFront modern_;
  LegacyFront legacy_;
};

}  // namespace metamcp::gateway
