#include "common/http/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <vector>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::http {
namespace {

constexpr size_t kUrlBytesMax = 8 << 10;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
std::string Lowered(std::string_view s) {
  std::string out(s);
  std::transform(out.begin(), out.end(), out.begin(), Lower);
  return out;
}

absl::Status Bad(std::string_view why) {
  return absl::InvalidArgumentError(Av(StrCat("bad URL: ", why)));
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = Lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool HasControlOrSpace(std::string_view s) {
  return std::any_of(s.begin(), s.end(), [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u <= 0x20 || u == 0x7f;
  });
}

bool IsHostName(std::string_view host) {
  return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  });
}

absl::Status ParsePort(std::string_view text, uint16_t* port) {
  if (text.empty()) return absl::OkStatus();  // "host:" means the default port (RFC 3986, 3.2.3)
  uint32_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return Bad("the port is not a number");
    value = value * 10 + static_cast<uint32_t>(c - '0');
    if (value > 65535) return Bad("the port is above 65535");
  }
  if (value == 0) return Bad("the port is 0");
  *port = static_cast<uint16_t>(value);
  return absl::OkStatus();
}

absl::Status ParseAuthority(std::string_view authority, Url* url) {
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
    url->user_info = std::string(authority.substr(0, at));
    authority.remove_prefix(at + 1);
  }
  std::string_view port;
  if (!authority.empty() && authority.front() == '[') {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) return Bad("'[' without ']'");
    url->host = Lowered(authority.substr(1, end - 1));
    url->ipv6 = true;
    in6_addr parsed;
    if (inet_pton(AF_INET6, url->host.c_str(), &parsed) != 1) return Bad("not an IPv6 address");
    authority.remove_prefix(end + 1);
    if (!authority.empty() && authority.front() != ':') return Bad("text after ']'");
    if (!authority.empty()) port = authority.substr(1);
  } else {
    const size_t colon = authority.find(':');
    url->host = Lowered(authority.substr(0, colon));
    if (colon != std::string_view::npos) port = authority.substr(colon + 1);
    if (url->host.empty()) return Bad("it has no host");
    if (!IsHostName(url->host)) return Bad("the host has a character that is not allowed");
  }
  url->port = url->secure() ? 443 : 80;
  return ParsePort(port, &url->port);
}

// RFC 3986, 5.2.4, on the encoded path.
std::string RemoveDotSegments(std::string_view path) {
  std::vector<std::string_view> kept;
  bool directory = false;
  for (size_t begin = 1; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view segment = path.substr(begin, end - begin);
    directory = segment == "." || segment == "..";
    if (segment == ".." && !kept.empty()) kept.pop_back();
    if (!directory) kept.push_back(segment);
    begin = end + 1;
  }
  std::string out;
  for (std::string_view s : kept) out.append("/").append(s);
  if (directory || out.empty()) out += '/';
  return out;
}

bool HasScheme(std::string_view reference) {
  const size_t colon = reference.find(':');
  return colon != std::string_view::npos && colon > 0 && reference.find_first_of("/?#") > colon;
}

}  // namespace

std::string Url::authority() const {
  std::string out = ipv6 ? StrCat("[", host, "]") : host;
  if (!default_port()) out += StrCat(":", port);
  return out;
}
std::string Url::origin() const { return StrCat(scheme, "://", authority()); }
std::string Url::ToString() const { return StrCat(origin(), target); }

absl::StatusOr<Url> ParseUrl(std::string_view text) {
  if (text.size() > kUrlBytesMax) return Bad("it is longer than 8 KiB");
  if (HasControlOrSpace(text)) return Bad("it holds a space or a control character");
  const size_t mark = text.find("://");
  if (mark == std::string_view::npos) return Bad("it has no scheme such as https://");
  Url url;
  url.scheme = Lowered(text.substr(0, mark));
  if (url.scheme != "http" && url.scheme != "https" && url.scheme != "ws" && url.scheme != "wss") {
    return Bad("the scheme must be http, https, ws or wss");
  }
  std::string_view rest = text.substr(mark + 3);
  rest = rest.substr(0, rest.find('#'));
  const size_t end = std::min(rest.find_first_of("/?\\"), rest.size());
  if (const absl::Status s = ParseAuthority(rest.substr(0, end), &url); !s.ok()) return s;
  rest.remove_prefix(end);
  if (rest.find('\\') != std::string_view::npos) return Bad("it holds a backslash");
  url.target = rest.empty() || rest.front() != '/' ? StrCat("/", rest) : std::string(rest);
  return url;
}

Url AsHttp(Url url) {
  if (url.scheme == "ws" || url.scheme == "wss") url.scheme = url.secure() ? "https" : "http";
  return url;
}

absl::StatusOr<Url> ResolveUrl(const Url& base, std::string_view reference) {
  if (reference.size() > kUrlBytesMax) return Bad("it is longer than 8 KiB");
  if (HasScheme(reference)) return ParseUrl(reference);
  if (reference.substr(0, 2) == "//") return ParseUrl(StrCat(base.scheme, ":", reference));
  if (HasControlOrSpace(reference)) return Bad("it holds a space or a control character");
  if (reference.find('\\') != std::string_view::npos) return Bad("it holds a backslash");
  reference = reference.substr(0, reference.find('#'));
  Url url = base;
  if (reference.empty()) return url;
  const std::string_view base_path = std::string_view(base.target).substr(0, base.target.find('?'));
  const size_t question = std::min(reference.find('?'), reference.size());
  const std::string_view path = reference.substr(0, question);
  const std::string_view query = reference.substr(question);
  if (path.empty()) {
    url.target = StrCat(base_path, query);
  } else if (path.front() == '/') {
    url.target = StrCat(RemoveDotSegments(path), query);
  } else {
    const std::string_view folder = base_path.substr(0, base_path.rfind('/') + 1);
    url.target = StrCat(RemoveDotSegments(StrCat(folder, path)), query);
  }
  return url;
}

absl::StatusOr<std::string> PercentDecode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? HexValue(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? HexValue(text[i + 2]) : -1;
    if (high < 0 || low < 0) return absl::InvalidArgumentError("bad percent escape");
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

std::string PercentEncode(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if ((u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') || (u >= '0' && u <= '9') || u == '-' ||
        u == '.' || u == '_' || u == '~') {
      out += c;
    } else {
      out += '%';
      out += kHex[u >> 4];
      out += kHex[u & 15];
    }
  }
  return out;
}

absl::Status SplitTarget(std::string_view target, std::string* path, std::string* query) {
  path->clear();
  query->clear();
  if (target == "*") {
    *path = "*";
    return absl::OkStatus();
  }
  if (HasControlOrSpace(target)) return absl::InvalidArgumentError("bad request target");
  if (target.empty() || target.front() != '/') {
    const size_t mark = target.find("://");
    if (mark == std::string_view::npos) return absl::InvalidArgumentError("bad request target");
    const absl::StatusOr<Url> url = ParseUrl(target);
    if (!url.ok()) return url.status();
    return SplitTarget(url->target, path, query);
  }
  if (target.find('#') != std::string_view::npos) {
    return absl::InvalidArgumentError("a request target has no fragment");
  }
  const size_t question = std::min(target.find('?'), target.size());
  if (question < target.size()) query->assign(target.substr(question + 1));
  const std::string_view raw = target.substr(0, question);
  if (raw.find('%') == std::string_view::npos) {
    path->assign(raw);
  } else {
    absl::StatusOr<std::string> decoded = PercentDecode(raw);
    if (!decoded.ok()) return decoded.status();
    if (std::count(decoded->begin(), decoded->end(), '/') !=
        std::count(raw.begin(), raw.end(), '/')) {
      return absl::InvalidArgumentError("an escaped '/' in the path is refused");
    }
    *path = *std::move(decoded);
  }
  if (path->find('\\') != std::string::npos || path->find('\0') != std::string::npos) {
    return absl::InvalidArgumentError("a backslash or NUL in the path is refused");
  }
  for (size_t at = path->find("/."); at != std::string::npos; at = path->find("/.", at + 1)) {
    const std::string_view rest = std::string_view(*path).substr(at + 1);
    const std::string_view segment = rest.substr(0, rest.find('/'));
    if (segment == "." || segment == "..") {
      return absl::InvalidArgumentError("dot segments in the path are refused");
    }
  }
  return absl::OkStatus();
}

std::string QueryParameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const size_t amp = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, amp);
    query.remove_prefix(std::min(amp + 1, query.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    const absl::StatusOr<std::string> key = PercentDecode(pair.substr(0, equals));
    if (!key.ok() || *key != name) continue;
    std::string value(pair.substr(std::min(equals + 1, pair.size())));
    std::replace(value.begin(), value.end(), '+', ' ');
    absl::StatusOr<std::string> decoded = PercentDecode(value);
    return decoded.ok() ? *std::move(decoded) : std::string();
  }
  return {};
}

bool IsLoopbackHost(std::string_view host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  const std::string name = Lowered(host);
  if (name == "localhost") return true;
  if (name.size() > 10 && name.substr(name.size() - 10) == ".localhost") return true;
  in_addr v4;
  if (inet_pton(AF_INET, name.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6;
  if (inet_pton(AF_INET6, name.c_str(), &v6) != 1) return false;
  if (IN6_IS_ADDR_LOOPBACK(&v6)) return true;
  return IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127;
}

}  // namespace metamcp::http
