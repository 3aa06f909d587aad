#include "common/http/proxy.h"

#include <algorithm>

#include "common/base/strings.h"
#include "common/http/http_types.h"

namespace metamcp::http {
namespace {

std::string First(const std::function<const char*(const char*)>& environment,
                  std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = environment(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return {};
}

std::vector<std::string> SplitList(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    std::string item(text.substr(0, comma));
    std::erase_if(item, [](char c) { return c == ' ' || c == '\t'; });
    if (!item.empty()) out.push_back(std::move(item));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return out;
}

bool HostMatches(std::string_view host, std::string_view pattern) {
  if (!pattern.empty() && pattern.front() == '.') pattern.remove_prefix(1);
  if (pattern.empty() || host.size() < pattern.size()) return false;
  const std::string_view tail = host.substr(host.size() - pattern.size());
  if (!EqualsNoCase(tail, pattern)) return false;
  return tail.size() == host.size() || host[host.size() - tail.size() - 1] == '.';
}

}  // namespace

ProxyRule::ProxyRule(const std::function<const char*(const char*)>& environment) {
  if (!environment) return;
  // A CGI host sets HTTP_PROXY from the request header "Proxy", so that it is only believed
  // outside of one.
  const bool cgi = environment("REQUEST_METHOD") != nullptr;
  http_proxy_ =
      cgi ? First(environment, {"http_proxy"}) : First(environment, {"http_proxy", "HTTP_PROXY"});
  https_proxy_ = First(environment, {"https_proxy", "HTTPS_PROXY"});
  no_proxy_ = SplitList(First(environment, {"no_proxy", "NO_PROXY"}));
}

bool ProxyRule::Bypassed(const Url& url) const {
  if (IsLoopbackHost(url.host)) return true;
  for (std::string_view pattern : no_proxy_) {
    if (pattern == "*") return true;
    const size_t bracket = pattern.find(']');
    if (pattern.front() == '[' && bracket != std::string_view::npos) {
      if (pattern.substr(1, bracket - 1) == url.host) return true;
      continue;
    }
    const size_t colon = pattern.find(':');
    if (colon != std::string_view::npos && pattern.rfind(':') == colon) {
      if (pattern.substr(colon + 1) != std::to_string(url.port)) continue;
      pattern = pattern.substr(0, colon);
    }
    if (HostMatches(url.host, pattern)) return true;
  }
  return false;
}

absl::StatusOr<std::optional<Url>> ProxyRule::For(const Url& url) const {
  std::string text = url.secure() ? https_proxy_ : http_proxy_;
  if (text.empty() || Bypassed(url)) return std::optional<Url>();
  if (text.find("://") == std::string::npos) text = StrCat("http://", text);
  absl::StatusOr<Url> proxy = ParseUrl(text);
  if (!proxy.ok() || proxy->scheme != "http") {
    return absl::InvalidArgumentError(
        "the proxy in the environment is not of the form http://host:port");
  }
  return std::optional<Url>(*std::move(proxy));
}

}  // namespace metamcp::http
