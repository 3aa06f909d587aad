#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

// Signatures of webhooks. Source: Standard Webhooks 1.0 (symmetric signatures, "v1"): HMAC-SHA256
// of "id.timestamp.body". Pure but for MakeSecret.
namespace metamcp::workflow {

// "whsec_" and 32 random bytes in base64.
std::string MakeSecret();
// The bytes of such a secret. Errors: ARGUMENT_INVALID for another form, or fewer than 24 or more
// than 64 bytes.
absl::StatusOr<std::string> SecretBytes(std::string_view secret);

// "v1," and the signature in base64. `timestamp` in seconds since 1970.
std::string Sign(std::string_view secret_bytes, std::string_view id, int64_t timestamp,
                 std::string_view body);

// Whether one of the signatures in `header` (space between them) fits, and the time is within
// `tolerance_s` of `now_s`. Compares in constant time. Errors: AUTH_INVALID.
absl::Status CheckSignature(std::string_view secret_bytes, std::string_view id,
                            std::string_view timestamp, std::string_view header,
                            std::string_view body, int64_t now_s, int64_t tolerance_s);

}  // namespace metamcp::workflow
