#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/http/url.h"

namespace metamcp::http {

// Which proxy a URL goes through, as the usual environment variables say. Immutable.
class ProxyRule {
 public:
  // See HttpClientOptions::environment.
  explicit ProxyRule(const std::function<const char*(const char*)>& environment);

  // nullopt: connect directly. NO_PROXY holds "*", host names (which cover their subdomains), and
  // addresses, each with an optional port. Errors: INVALID_ARGUMENT for a proxy URL that is not
  // http://host:port.
  absl::StatusOr<std::optional<Url>> For(const Url& url) const;

 private:
  bool Bypassed(const Url& url) const;
  std::string http_proxy_, https_proxy_;
  std::vector<std::string> no_proxy_;
};

}  // namespace metamcp::http
