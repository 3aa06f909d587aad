#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/cord.h"

// The WWW-Authenticate header that goes with a refusal (RFC 6750, section 3; RFC 9728, section
// 5.1), carried by the Status from whoever refuses to whoever answers.
namespace metamcp::auth {

inline constexpr char kChallengePayload[] = "metamcp/www-authenticate";

inline absl::Status WithChallenge(absl::Status status, std::string_view challenge) {
  if (!challenge.empty()) status.SetPayload(kChallengePayload, absl::Cord(std::string(challenge)));
  return status;
}

// The challenge of `status`; empty where it has none.
inline std::string ChallengeOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kChallengePayload);
  return payload ? std::string(*payload) : std::string();
}

// What a 401 says at least.
inline constexpr char kPlainChallenge[] = "Bearer realm=\"meta-mcp\"";

}  // namespace metamcp::auth
