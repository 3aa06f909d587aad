#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/http/http_server.h"

namespace metamcp::http {

// A socket that listens, non-blocking and close-on-exec. The caller closes `fd`.
struct ListenSocket {
  int fd = -1;
  int family = 0;
  HttpEndpoint endpoint;
};

// See HttpServer::ListenTcp and ListenUnix for the contracts. Blocking.
absl::StatusOr<ListenSocket> ListenOnTcp(const std::string& host, uint16_t port);
absl::StatusOr<ListenSocket> ListenOnUnix(const std::string& path);

}  // namespace metamcp::http
