#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace metamcp::http {

// An absolute http, https, ws or wss URL (RFC 3986), taken apart. The fragment is dropped.
struct Url {
  std::string scheme;  // lower case
  std::string user_info;
  std::string host;    // lower case; an IPv6 address without brackets
  uint16_t port = 0;   // the scheme's default when absent
  std::string target;  // path and query as sent, never empty: "/a?b"
  bool ipv6 = false;

  bool secure() const { return scheme == "https" || scheme == "wss"; }
  bool default_port() const { return port == (secure() ? 443 : 80); }
  // "example.com", "example.com:8080", "[::1]:80": what a Host header holds.
  std::string authority() const;
  // "https://example.com:8080", without the port when it is the default one.
  std::string origin() const;
  std::string ToString() const;  // without user info
};

// Errors: CONFIG_INVALID-class INVALID_ARGUMENT with the reason: another scheme, no host, bad port,
// control characters or spaces. At most 8 KiB.
absl::StatusOr<Url> ParseUrl(std::string_view text);

// The http or https URL of the place that a ws or wss URL names; others stay.
Url AsHttp(Url url);

// Resolves `reference` (absolute URL, "//host/p", "/p?q", "p", "?q") against `base`; RFC 3986, 5.2.
absl::StatusOr<Url> ResolveUrl(const Url& base, std::string_view reference);

// Decodes %XX; '+' stays. INVALID_ARGUMENT for a bad escape.
absl::StatusOr<std::string> PercentDecode(std::string_view text);
// Encodes all but unreserved characters (RFC 3986, 2.3).
std::string PercentEncode(std::string_view text);

// Splits the request target of an HTTP request into the decoded path and the raw query. Accepts the
// origin, absolute and asterisk forms of RFC 9112 section 3.2. Refuses, with INVALID_ARGUMENT, dot
// segments after decoding, an escaped '/' , '\\' or NUL, bad escapes and anything else.
absl::Status SplitTarget(std::string_view target, std::string* path, std::string* query);

// The value of `name` in a query string, decoded as a form ('+' is a space); empty when absent.
std::string QueryParameter(std::string_view query, std::string_view name);

// Whether `host` names this machine by itself: localhost, *.localhost, 127.0.0.0/8, ::1 (with or
// without brackets). Nothing is resolved.
bool IsLoopbackHost(std::string_view host);

}  // namespace metamcp::http
