#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/http/http_types.h"

namespace metamcp::gateway::admin {

// What clients need to reach one virtual server.
struct ConnectTarget {
  std::string virtual_server;
  std::string base_url;    // of the gateway, without a trailing slash
  bool needs_key = false;  // clients must send a key
};

// The base URL that clients use: `public_url` if set; else the address the request was sent to;
// for a request over the unix socket, which has none, `listen_url`.
// Errors: ARGUMENT_INVALID for a Host header that is no host.
absl::StatusOr<std::string> BaseUrl(const std::string& public_url, const std::string& listen_url,
                                    const http::HttpRequest& request);

// JSON: the URL, the stdio command and, per client, what to paste where (or a link that installs).
// Keys are never in it, only the place where one belongs. Pure.
std::string ConnectInfo(const ConnectTarget& target);

}  // namespace metamcp::gateway::admin
