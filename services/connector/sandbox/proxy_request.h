#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace metamcp::connector::sandbox {

inline constexpr size_t kProxyHeadMax = 16 << 10;

// What a client asks of the egress proxy.
struct ProxyRequest {
  bool connect = false;
  std::string host;  // without brackets
  uint16_t port = 0;
  std::string head;  // of a plain request: what the server is sent instead of it
};

// Reads a request's head, its empty line included: "CONNECT host:port" or an http:// URL. The head
// of a plain request gets the origin form and "Connection: close"; fields meant for the proxy are
// left out. Nothing for anything else: other schemes, control characters, malformed lines.
std::optional<ProxyRequest> ReadProxyRequest(std::string_view head);

}  // namespace metamcp::connector::sandbox
