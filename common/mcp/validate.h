#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/mcp/version.h"

namespace metamcp::mcp {

// Checks messages against a table of required members, JSON types and fixed strings that
// scripts/gen_mcp_tables makes from the published schemas. One pass, no DOM. Unknown members are
// always allowed. A method that the revision does not have is not checked (ValidationKnown tells).
enum class Part : std::uint8_t { kParams, kResult };

bool ValidationKnown(Revision revision, std::string_view method, Part part);

// `params` may be empty (absent). Errors: INVALID_PARAMS (the sender's fault) with the place.
absl::Status ValidateParams(Revision revision, std::string_view method, std::string_view params);

// Errors: UPSTREAM_PROTOCOL (the answerer's fault) with the place.
absl::Status ValidateResult(Revision revision, std::string_view method, std::string_view result);

// The result with what peers commonly leave out: content of tools/call, and in modern revisions
// resultType, ttlMs (absent or negative: 0) and cacheScope (absent: private); then validated.
// Errors: UPSTREAM_PROTOCOL.
absl::StatusOr<std::string> RepairResult(Revision revision, std::string_view method,
                                         std::string_view result);

}  // namespace metamcp::mcp
