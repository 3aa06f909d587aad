#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace metamcp {

// Returns a new UUIDv7 (RFC 9562, section 5.7) in lower-case text form. Thread: any.
std::string NewUuidV7();

// Returns an id for one request: random per process, counted within it; a fraction of the cost of
// a UUID. Thread: any.
std::string NewRequestId();

// Returns the UUIDv5 (RFC 9562, section 5.5) of `name` in the name space of Meta-MCP items, so that
// two reporters of the same item agree on its id.
std::string ItemUuidV5(std::string_view name);

// Returns `bytes` cryptographically random bytes. Aborts if the system has no entropy.
std::string RandomBytes(size_t bytes);

// SHA-256 of `data` as 32 raw bytes, and as 64 lower-case hex digits.
std::string Sha256(std::string_view data);
std::string Sha256Hex(std::string_view data);

std::string HexEncode(std::string_view data);

// Microseconds since the epoch, UTC.
int64_t NowMicros();

}  // namespace metamcp
