#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

typedef struct evp_pkey_st EVP_PKEY;

namespace metamcp::jwt {

// The signature algorithms that exist here (RFC 7518, RFC 8037): HS256, RS256, RS384, RS512, PS256,
// ES256, ES384, EdDSA. "none" is none of them.
bool IsAlgorithm(std::string_view name);

// A key that verifies signatures, parsed once; a copy shares it. What it is decides what it may be
// used for: an RSA key never verifies an HMAC. Immutable. Thread: any.
class VerifyKey {
 public:
  // One key of a JWK set (RFC 7517): RSA of 2048 to 8192 bits, EC on P-256 or P-384, OKP Ed25519.
  // Errors: ARGUMENT_INVALID for other kinds, private or symmetric keys, one whose use, key_ops or
  // alg says that it verifies nothing here, and values that make no key.
  static absl::StatusOr<VerifyKey> FromJwk(std::string_view json);
  // A public key in PEM (SubjectPublicKeyInfo). Errors: as FromJwk.
  static absl::StatusOr<VerifyKey> FromPem(std::string_view pem, std::string kid);
  // A secret of HS256.
  static VerifyKey FromSecret(std::string secret, std::string kid);

  const std::string& kid() const { return kid_; }
  // Whether this key may verify `algorithm`.
  bool Fits(std::string_view algorithm) const;
  // Whether `signature` is one of `text` under `algorithm`, which must fit. EC signatures are r ||
  // s.
  bool Verify(std::string_view algorithm, std::string_view text, std::string_view signature) const;

 private:
  VerifyKey() = default;
  absl::Status Adopt(EVP_PKEY* key);

  std::shared_ptr<EVP_PKEY> key_;
  std::string secret_;
  std::string kid_;
  std::string algorithm_;                // the only one, where the JWK names it
  std::vector<std::string> algorithms_;  // that its kind can do
};

// The usable keys of a JWK set; others are passed over, as RFC 7517, section 5 wants. Errors:
// ARGUMENT_INVALID when it is no JWK set, or has more than 64 keys.
absl::StatusOr<std::vector<VerifyKey>> ParseKeySet(std::string_view json);

}  // namespace metamcp::jwt
