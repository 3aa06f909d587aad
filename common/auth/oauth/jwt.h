#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace metamcp::oauth {

// Returns the compact JWS (RFC 7515) of `payload`, a JSON object, under the private key in `pem`
// (PKCS #8, PKCS #1 or SEC 1, unencrypted). `algorithm` is ES256, ES384, RS256, PS256 or EdDSA;
// empty: what fits the key. `key_id` and `type` go into the header where not empty.
// Errors: CONFIG_INVALID when the key cannot be read or does not fit the algorithm. The key is
// never part of a message. Blocks for the time of one signature (under 2 ms). Thread: any.
absl::StatusOr<std::string> SignJwt(std::string_view payload, std::string_view pem,
                                    std::string_view algorithm, std::string_view key_id,
                                    std::string_view type = "JWT");

// The algorithm that SignJwt takes for a key. Errors: as SignJwt.
absl::StatusOr<std::string> DefaultAlgorithm(std::string_view pem);

}  // namespace metamcp::oauth
