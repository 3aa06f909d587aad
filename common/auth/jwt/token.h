#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace metamcp::jwt {

inline constexpr size_t kTokenBytesMax = 16u << 10;

// Whether `text` has the form of a JWT in compact serialisation; says nothing about its worth.
bool LooksLikeToken(std::string_view text);

// A compact JWS (RFC 7515) taken apart; nothing of it has been verified. Views are into the token.
struct Parts {
  std::string algorithm;
  std::string kid;
  std::string_view signed_text;  // header and payload as sent
  std::string signature;
  std::string payload;  // JSON object
};

// Errors: AUTH_INVALID for more than 16 KiB, bad base64url or JSON, a member twice, a header with
// crit, b64, zip or a type that is no access token's, more than 8 levels of header.
absl::StatusOr<Parts> Split(std::string_view token);

// The claims that decide whether a token holds (RFC 7519, section 4.1). Times are seconds.
struct Claims {
  std::string issuer;
  std::string subject;
  std::vector<std::string> audiences;
  int64_t expires_s = 0;
  int64_t not_before_s = 0;  // 0: none
  int64_t issued_at_s = 0;   // 0: none
};

// Errors: AUTH_INVALID for a claim of the wrong type, a duplicate, no exp, or more than 32 levels.
absl::StatusOr<Claims> ReadClaims(std::string_view payload);

// The strings at `path` in the payload: a claim of that very name, else members by dots, as in
// "realm_access.roles". A string is split at spaces (RFC 8693, section 4.2), an array gives its
// strings. At most 1000; nothing for what is absent or of another type.
std::vector<std::string> ClaimStrings(std::string_view payload, std::string_view path);
// The string there; empty where it is none.
std::string ClaimText(std::string_view payload, std::string_view path);

}  // namespace metamcp::jwt
