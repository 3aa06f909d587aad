#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/auth/authenticator.h"
#include "common/http/http_server.h"
#include "common/mcp/version.h"
#include "gateway/protocol/front.h"

// What every MCP transport does before it looks at a message.
namespace metamcp::gateway {

// What `request` shows of its sender, who asks for that virtual server (empty: for none). Looks
// into both.
auth::Credentials CredentialsOf(const http::HttpRequest& request,
                                std::string_view virtual_server = {});

// The virtual server of that name, if it is there for `who`. Errors: NOT_FOUND,
// DATABASE_UNAVAILABLE before the catalog is loaded.
absl::StatusOr<std::shared_ptr<const ServerView>> FindView(const FrontDeps& deps,
                                                           std::string_view virtual_server,
                                                           const Principal& who);

// Answers with a failure that belongs to the HTTP exchange, as a JSON-RPC error without an id.
Awaitable<void> SendFailure(http::HttpResponder& responder, absl::Status status, mcp::Era era,
                            http::HttpHeaders cors);

// Whether the media type of the request's body is JSON. Errors: UNSUPPORTED_MEDIA_TYPE.
absl::Status CheckJsonBody(const http::HttpRequest& request);

// Whether the request's Accept header allows `type`; everything is allowed without one.
bool Accepts(const http::HttpRequest& request, std::string_view type);

// Where the transports are served, beside each other for every virtual server.
struct EdgePaths {
  bool mcp = true;
  bool sse = true;
  bool ws = true;
  std::string sse_path = "/sse";            // of the server "default"
  std::string messages_path = "/messages";  // likewise
};

enum class EdgeKind { kMcp, kSse, kMessages, kWs };

struct EdgeRoute {
  EdgeKind kind = EdgeKind::kMcp;
  std::string virtual_server;
};

// What is served at `path`, if it is MCP.
std::optional<EdgeRoute> MatchEdge(std::string_view path, const EdgePaths& paths);

}  // namespace metamcp::gateway
