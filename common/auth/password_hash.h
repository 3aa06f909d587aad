#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

// Hashes of passwords: Argon2id (RFC 9106), written as
// "$argon2id$v=19$m=...,t=...,p=...$salt$hash". Each call takes some 20 MiB and tens of
// milliseconds: never on the io thread.
namespace metamcp::auth {

// Errors: INVALID_ARGUMENT for an empty password and one above 1 KiB.
absl::StatusOr<std::string> HashPasswordBlocking(std::string_view password);

// Whether `password` is the one of `hash`. Compares in constant time.
bool CheckPasswordBlocking(const std::string& hash, std::string_view password);

// Whether `hash` is one that we check: Argon2id, with at least 8 MiB or 3 passes, and at most what
// a request may cost (256 MiB, 10 passes).
absl::Status CheckPasswordHash(const std::string& hash);

}  // namespace metamcp::auth
