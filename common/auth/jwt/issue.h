#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/key_ring.h"

namespace metamcp::jwt {

// What a token of our own says.
struct NewToken {
  std::string issuer;
  std::string audience;
  std::string subject;
  std::string name;
  std::vector<std::string> roles;
  std::vector<std::string> teams;
  std::vector<std::string> scopes;
  int64_t issued_at_s = 0;
  int64_t expires_s = 0;
};

// The shortest secret of HS256 (RFC 7518, section 3.2).
inline constexpr size_t kSecretBytesMin = 32;

// The secret of HS256 that belongs to a key of the ring; empty where there is no such key.
std::string RingSecret(const KeyRing& ring, std::string_view kid);

// The compact JWS of `token` under HS256, with a jti of its own. `kid` names the secret; may be
// empty.
std::string IssueToken(const NewToken& token, std::string_view secret, std::string_view kid);

}  // namespace metamcp::jwt
