#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace metamcp::audit {

// The public half of an Ed25519 key (RFC 8032).
class VerifyKey {
 public:
  // From PEM (SubjectPublicKeyInfo). Errors: INVALID_ARGUMENT.
  static absl::StatusOr<VerifyKey> FromPem(std::string_view pem);
  // From 32 raw bytes.
  explicit VerifyKey(std::string raw) : raw_(std::move(raw)) {}

  bool Verify(std::string_view message, std::string_view signature) const;
  std::string Pem() const;
  const std::string& raw() const { return raw_; }

 private:
  std::string raw_;
};

// The key that signs checkpoints. Copyable; thread: any.
class SigningKey {
 public:
  // Reads PEM (PKCS #8) from `path`; where the file is missing, makes one of mode 0600, atomically.
  // Blocks. Errors: PERMISSION_DENIED for a file that anybody may read; INVALID_ARGUMENT for one
  // that is no Ed25519 key; else the system's.
  static absl::StatusOr<SigningKey> LoadOrCreateBlocking(const std::string& path);
  static SigningKey Generate();

  // 64 bytes.
  std::string Sign(std::string_view message) const;
  const VerifyKey& verify_key() const { return public_; }

 private:
  struct Pair;
  SigningKey(std::shared_ptr<const Pair> pair, VerifyKey verify)
      : pair_(std::move(pair)), public_(std::move(verify)) {}
  std::shared_ptr<const Pair> pair_;
  VerifyKey public_;
};

}  // namespace metamcp::audit
