#include "gateway/transport/credentials.h"

namespace metamcp::gateway {

auth::Credentials CredentialsOf(const http::HttpRequest& request) {
  auth::Credentials out;
  out.authorization = request.headers.Get("Authorization");
  out.api_key = request.headers.Get("X-API-Key");
  out.loopback = request.is_loopback;
  out.unix_socket = request.is_unix_socket;
  for (const std::string_view name :
       {"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"}) {
    if (request.headers.Has(name)) out.forwarded_by = name;
  }
  return out;
}

}  // namespace metamcp::gateway
