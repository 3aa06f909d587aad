#pragma once

#include <string>
#include <string_view>

namespace metamcp::jwt {

// A key pair for tests, made once for each kind.
struct TestKey {
  std::string kid;
  std::string private_pem;
  std::string public_pem;
  std::string jwk;  // public, with kid
};

// `kind`: RSA, RSA1024, P-256, P-384 or Ed25519.
TestKey MakeTestKey(const std::string& kind, const std::string& kid);

// {"keys":[…]}
std::string KeySetOf(std::initializer_list<TestKey> keys);

// A token of `payload` under `key`; `algorithm` must fit it.
std::string Signed(std::string_view payload, const TestKey& key, std::string_view algorithm);

// A token of any header and payload, signed by HMAC-SHA-256 with `secret`.
std::string SignedHs256(std::string_view header, std::string_view payload, std::string_view secret);

}  // namespace metamcp::jwt
