#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/audit/signing_key.h"

namespace metamcp::audit {

// What a log was at one moment.
struct Checkpoint {
  std::string origin;  // MakeOrigin
  int64_t size = 0;    // records, those that retention has removed included
  std::string root;    // of the Merkle tree over the chain hashes; 32 raw bytes
  std::string chain;   // hash of the last record; 32 raw bytes
  int64_t time_us = 0;
  bool operator==(const Checkpoint&) const = default;
};

// Names one tenant's log in one database: two databases never share a name.
std::string MakeOrigin(std::string_view log_id, std::string_view tenant);

// The checkpoint as a signed note (C2SP tlog-checkpoint and signed-note): origin, size and root,
// "chain <hex>", "time <us>", an empty line, one signature line.
std::string SignCheckpoint(const Checkpoint& checkpoint, const SigningKey& key);

// Reads a note without checking its signature. Errors: INVALID_ARGUMENT.
absl::StatusOr<Checkpoint> ReadCheckpoint(std::string_view note);
// Reads a note that `key` has signed. Errors: INVALID_ARGUMENT; PERMISSION_DENIED for another or no
// valid signature.
absl::StatusOr<Checkpoint> OpenCheckpoint(std::string_view note, const VerifyKey& key);

}  // namespace metamcp::audit
