#include "services/connector/sandbox/proxy_request.h"

#include <charconv>

#include "absl/strings/ascii.h"
#include "common/base/strings.h"
#include "common/http/http_types.h"
#include "common/http/url.h"

namespace metamcp::connector::sandbox {
namespace {

bool ReadAuthority(std::string_view text, ProxyRequest* out) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out->port);
  if (error != std::errc() || end != port.data() + port.size() || out->port == 0) return false;
  std::string_view host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  for (const char c : host) {
    if (!absl::ascii_isalnum(c) && c != '.' && c != '-' && c != '_' && c != ':') return false;
  }
  out->host = std::string(host);
  return !host.empty();
}

bool MeantForProxy(std::string_view name) {
  for (const std::string_view field :
       {"Connection", "Proxy-Connection", "Proxy-Authorization", "Keep-Alive", "Upgrade", "Host"}) {
    if (http::EqualsNoCase(name, field)) return true;
  }
  return false;
}

}  // namespace

std::optional<ProxyRequest> ReadProxyRequest(std::string_view head) {
  const size_t line_end = head.find("\r\n");
  if (line_end == std::string_view::npos || !head.ends_with("\r\n\r\n")) return std::nullopt;
  const std::string_view line = head.substr(0, line_end);
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || last <= first) return std::nullopt;
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  if (line.substr(last + 1, 7) != "HTTP/1." || !http::IsHttpToken(method)) return std::nullopt;
  ProxyRequest out;
  out.connect = method == "CONNECT";
  if (out.connect) {
    if (!ReadAuthority(target, &out)) return std::nullopt;
    return out;
  }
  const auto url = http::ParseUrl(target);
  if (!url.ok() || url->scheme != "http" || !url->user_info.empty()) return std::nullopt;
  out.host = url->host;
  out.port = url->port;
  out.head = StrCat(method, " ", url->target, " HTTP/1.1\r\nHost: ", url->authority(), "\r\n");
  std::string_view fields = head.substr(line_end + 2);
  while (fields.size() > 2) {
    const size_t end = fields.find("\r\n");
    const std::string_view field = fields.substr(0, end);
    fields.remove_prefix(end + 2);
    const size_t colon = field.find(':');
    if (colon == std::string_view::npos || !http::IsHttpToken(field.substr(0, colon)) ||
        field.find_first_of("\r\n\0") != std::string_view::npos) {
      return std::nullopt;
    }
    if (!MeantForProxy(field.substr(0, colon))) out.head += StrCat(field, "\r\n");
  }
  out.head += "Connection: close\r\n\r\n";
  return out;
}

}  // namespace metamcp::connector::sandbox
