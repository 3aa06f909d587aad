#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "common/async/sink.h"
#include "common/auth/oauth/challenge.h"

namespace metamcp::connector {

// Signs what is sent to one upstream with tokens: of a login (Credentials), or that callers' own
// are exchanged for (TokenExchange). An owner is whose token it is; empty is the gateway's own.
// Thread: the connector's.
class Signer {
 public:
  using Clock = std::chrono::steady_clock;
  virtual ~Signer() = default;

  // The token to send now; empty when there is none and none is known to be needed. Errors:
  // UPSTREAM_LOGIN_REQUIRED, UPSTREAM_AUTH; those of asking for one; CANCELLED.
  virtual Awaitable<absl::StatusOr<std::string>> Token(std::string owner,
                                                       Clock::time_point until) = 0;
  // The upstream took `token`.
  virtual void Accepted(const std::string& owner, const std::string& token) = 0;
  // The upstream answered 401, or 403 for lack of scope, to `token` (which may be empty). OK: send
  // again. Errors: UPSTREAM_LOGIN_REQUIRED (metadata "login": "shared" or "principal");
  // UPSTREAM_AUTH; UPSTREAM_UNAVAILABLE and the like.
  virtual Awaitable<absl::Status> Refused(std::string owner, std::string token, int http_status,
                                          oauth::Challenge challenge, Clock::time_point until) = 0;
  // Of errors: "upstream:<slug>".
  virtual const std::string& domain() const = 0;
};

}  // namespace metamcp::connector
