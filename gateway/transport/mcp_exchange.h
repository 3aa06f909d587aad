#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/mcp/headers.h"
#include "gateway/protocol/error_map.h"
#include "gateway/transport/admission.h"
#include "gateway/transport/mcp_endpoint.h"

// Parts of the endpoint that its source files share.
namespace metamcp::gateway {

// A header's first value, if the client sent it.
std::optional<std::string_view> Header(const http::HttpRequest& request, std::string_view name);

// Whether a request changes what the stream of its session carries.
bool BelongsToStream(std::string_view method);

// Whether the version header names a modern revision.
bool NamesModern(std::optional<std::string_view> header);

// One HTTP request on its way.
struct McpEndpoint::Exchange {
  Exchange(http::HttpRequest& request_in, http::HttpResponder& responder_in, std::string server,
           http::HttpHeaders cors_in)
      : request(request_in),
        responder(responder_in),
        virtual_server(std::move(server)),
        cors(std::move(cors_in)) {}
  http::HttpRequest& request;
  http::HttpResponder& responder;
  std::string virtual_server;
  http::HttpHeaders cors;
  // The request's body; shared, as a legacy call outlives its connection.
  std::shared_ptr<const std::string> body;
  // What answers a single message; a batch has one of its own.
  std::shared_ptr<HttpReply> reply;
  std::shared_ptr<const ServerView> view;
  std::shared_ptr<const Principal> principal;

  Incoming MakeIncoming(const jsonrpc::Envelope& envelope) const {
    Incoming in;
    in.envelope = &envelope;
    in.view = view;
    in.principal = principal;
    in.has_headers = true;
    in.header = [r = &request](std::string_view name) { return Header(*r, name); };
    return in;
  }
  Awaitable<void> Fail(const absl::Status& status, mcp::Era era);
};

}  // namespace metamcp::gateway
