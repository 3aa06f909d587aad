#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/http/http_client.h"
#include "common/mcp/jsonrpc.h"
#include "services/connector/http_channel.h"

namespace metamcp::connector {

// A request to the target with its configured headers and TLS options.
http::HttpClientRequest TargetRequest(const HttpChannelOptions& options, std::string_view method,
                                      const std::string& url);

// The error that an unwelcome status stands for: UPSTREAM_AUTH for 401 and 403,
// UPSTREAM_UNAVAILABLE for 5xx, 408 and 429, UPSTREAM_PROTOCOL for everything else.
absl::Status StatusError(int status, std::string_view domain);

bool IsEventStream(const http::HttpClientResponse& response);
bool IsJson(const http::HttpClientResponse& response);

// The JSON-RPC error in the body of an HTTP error, given the id of its request even where the
// server left it out; an empty string when the body is something else.
std::string ErrorAnswer(const std::string& body, uint64_t request_id);

}  // namespace metamcp::connector
