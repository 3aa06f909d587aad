#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/mcp/convert.h"
#include "common/mcp/version.h"

namespace metamcp::mcp {

// Checks messages against a table of required members, JSON types and fixed strings that
// scripts/gen_mcp_tables makes from the published schemas. One pass, no DOM. Unknown members are
// always allowed. A method that the revision does not have is not checked (ValidationKnown tells).
enum class Part : std::uint8_t { kParams, kResult, kInputRequired, kItem };

bool ValidationKnown(Revision revision, std::string_view method, Part part);

// `params` may be empty (absent). Errors: INVALID_PARAMS (the sender's fault) with the place.
absl::Status ValidateParams(Revision revision, std::string_view method, std::string_view params);

// A result of whatever type it says it is. null stands for an optional member that is absent, as
// some serializers write it. Errors: UPSTREAM_PROTOCOL (the answerer's fault) with the place.
absl::Status ValidateResult(Revision revision, std::string_view method, std::string_view result);

// One tool, prompt, resource or template of a list. Errors as above.
absl::Status ValidateItem(Revision revision, ItemKind kind, std::string_view item);

enum class ResultType : std::uint8_t { kComplete, kInputRequired, kTask, kOther };

struct CanonicalAnswer {
  ResultType type = ResultType::kComplete;
  std::string json;
};

// An upstream's result of revision `from` in the canonical form: gets what peers commonly leave out
// (resultType; content of a tool call; ttlMs, absent or negative: 0; cacheScope, absent: private),
// loses what is legacy only, and is checked. A result of 2025-11-25 that is a task comes out as it
// is, with type kTask; so do modern ones of types that the core protocol does not know (kOther).
// A text that needs no change keeps its bytes. Errors: UPSTREAM_PROTOCOL with the place.
absl::StatusOr<CanonicalAnswer> CanonicalResult(Revision from, std::string_view method,
                                                std::string result);

}  // namespace metamcp::mcp
