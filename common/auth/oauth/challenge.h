#pragma once

#include <string>
#include <string_view>

#include "common/http/http_types.h"

namespace metamcp::oauth {

// What a resource server's WWW-Authenticate says about bearer tokens. Unknown parameters are left
// out; values are as sent, unescaped. Sources: RFC 6750 section 3, RFC 9728 section 5.1.
struct Challenge {
  bool bearer = false;
  std::string resource_metadata;
  std::string scope;
  std::string error;
  std::string error_description;
};

// Reads the first Bearer challenge of all WWW-Authenticate fields. Malformed text ends the reading
// of its field; what was read before counts. Pure.
Challenge ParseChallenge(const http::HttpHeaders& headers);
Challenge ParseChallenge(std::string_view field);

// Text of a foreign server for people: control characters out, at most `bytes_max`.
std::string PlainText(std::string_view text, size_t bytes_max = 200);

}  // namespace metamcp::oauth
