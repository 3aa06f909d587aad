#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/http/http_types.h"

namespace metamcp::http {

struct OriginOptions {
  bool loopback_bind = true;                 // the listener is bound to this machine only
  std::vector<std::string> allowed_hosts;    // "gw.example", "gw.example:8443"
  std::vector<std::string> allowed_origins;  // "https://app.example"
  bool cors_credentials = false;             // pages may send cookies and client certificates
  int64_t cors_max_age_s = 600;              // how long a browser keeps a preflight's answer
};

// Guards a local server against DNS rebinding and foreign web pages (MCP, "Security Warning" of
// Streamable HTTP). Immutable.
class OriginRule {
 public:
  explicit OriginRule(OriginOptions options);

  // On a loopback bind, Host must be localhost, 127.0.0.0/8 or [::1] with any port, or
  // allow-listed. Origin, if present, must be allow-listed, or on a loopback bind name this
  // machine; "null" must be allow-listed as such. Requests over a unix socket pass when they have
  // no Origin. Errors: HOST_REFUSED, ORIGIN_REFUSED.
  absl::Status Check(const HttpRequest& request) const;

  // Adds the CORS headers for an allow-listed origin; leaves `response` alone otherwise.
  void AddCors(const HttpRequest& request, HttpHeaders& response) const;

  // Whether `request` is a CORS preflight, and its answer (204). Check first.
  static bool IsPreflight(const HttpRequest& request);
  HttpResponse Preflight(const HttpRequest& request) const;

 private:
  bool Listed(std::string_view origin) const;
  OriginOptions options_;
};

}  // namespace metamcp::http
