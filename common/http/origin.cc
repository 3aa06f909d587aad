#include "common/http/origin.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/url.h"

namespace metamcp::http {
namespace {

constexpr std::string_view kAllowMethods = "GET, POST, PUT, DELETE, OPTIONS";
constexpr std::string_view kAllowHeaders =
    "Authorization, Content-Type, Accept, Last-Event-ID, Mcp-Session-Id, Mcp-Protocol-Version, "
    "Mcp-Method, Mcp-Name";
constexpr std::string_view kExposeHeaders = "Mcp-Session-Id, WWW-Authenticate";

// What a requested header must be besides kAllowHeaders: one of the protocol's own.
bool IsMcpHeader(std::string_view name) {
  return name.size() > 4 && EqualsNoCase(name.substr(0, 4), "mcp-") && IsHttpToken(name);
}

// Names shown in an error are the client's own text: cut, and only printable.
std::string Shown(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, 100)) out += c > 0x20 && c < 0x7f ? c : '?';
  return out;
}

// The host of a Host header, checked by the URL parser.
absl::StatusOr<Url> ParseHost(std::string_view host) {
  if (host.find_first_of("/?#@\\") != std::string_view::npos) {
    return absl::InvalidArgumentError("not a host");
  }
  return ParseUrl(StrCat("http://", host));
}

bool IsLoopbackOrigin(std::string_view origin) {
  const absl::StatusOr<Url> url = ParseUrl(origin);
  return url.ok() && url->target == "/" && url->user_info.empty() && origin.back() != '/' &&
         (url->scheme == "http" || url->scheme == "https") && IsLoopbackHost(url->host);
}

}  // namespace

OriginRule::OriginRule(OriginOptions options) : options_(std::move(options)) {}

bool OriginRule::Listed(std::string_view origin) const {
  return std::any_of(options_.allowed_origins.begin(), options_.allowed_origins.end(),
                     [&](const std::string& o) { return EqualsNoCase(o, origin); });
}

absl::Status OriginRule::Check(const HttpRequest& request) const {
  if (options_.loopback_bind && !request.is_unix_socket) {
    const std::string_view host = request.headers.Get("Host");
    const absl::StatusOr<Url> url = ParseHost(host);
    const bool listed =
        std::any_of(options_.allowed_hosts.begin(), options_.allowed_hosts.end(),
                    [&](const std::string& allowed) {
                      return EqualsNoCase(allowed, host) ||
                             (url.ok() && !url->ipv6 && EqualsNoCase(allowed, url->host));
                    });
    if (request.headers.Count("Host") > 1 || !(listed || (url.ok() && IsLoopbackHost(url->host)))) {
      return MakeError("HOST_REFUSED", "gateway",
                       StrCat("the Host header '", Shown(host), "' is not this machine"));
    }
  }
  const size_t origins = request.headers.Count("Origin");
  if (origins == 0) return absl::OkStatus();
  const std::string_view origin = request.headers.Get("Origin");
  const bool local = options_.loopback_bind && !request.is_unix_socket && IsLoopbackOrigin(origin);
  if (origins == 1 && (local || Listed(origin))) return absl::OkStatus();
  return MakeError("ORIGIN_REFUSED", "gateway",
                   StrCat("the origin '", Shown(origin), "' is not allowed"));
}

void OriginRule::AddCors(const HttpRequest& request, HttpHeaders& response) const {
  const std::string_view origin = request.headers.Get("Origin");
  if (origin.empty() || !Listed(origin)) return;
  response.Set("Access-Control-Allow-Origin", origin);
  response.Set("Access-Control-Expose-Headers", kExposeHeaders);
  if (options_.cors_credentials) response.Set("Access-Control-Allow-Credentials", "true");
  response.Add("Vary", "Origin");
}

bool OriginRule::IsPreflight(const HttpRequest& request) {
  return request.method == "OPTIONS" && request.headers.Has("Origin") &&
         request.headers.Has("Access-Control-Request-Method");
}

HttpResponse OriginRule::Preflight(const HttpRequest& request) const {
  HttpResponse response(204);
  if (!Listed(request.headers.Get("Origin"))) return response;
  AddCors(request, response.headers);
  std::string allowed(kAllowHeaders);
  const HttpHeaders known = {{"h", kAllowHeaders}};
  std::string_view asked = request.headers.Get("Access-Control-Request-Headers").substr(0, 2048);
  while (!asked.empty()) {
    const size_t comma = std::min(asked.find(','), asked.size());
    std::string_view name = asked.substr(0, comma);
    while (!name.empty() && name.front() == ' ') name.remove_prefix(1);
    while (!name.empty() && name.back() == ' ') name.remove_suffix(1);
    if (IsMcpHeader(name) && !known.HasToken("h", name)) allowed += StrCat(", ", name);
    asked.remove_prefix(std::min(comma + 1, asked.size()));
  }
  response.headers.Set("Access-Control-Allow-Methods", kAllowMethods);
  response.headers.Set("Access-Control-Allow-Headers", allowed);
  response.headers.Set("Access-Control-Max-Age", std::to_string(options_.cors_max_age_s));
  return response;
}

}  // namespace metamcp::http
