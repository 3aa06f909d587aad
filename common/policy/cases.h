#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/policy/policy.h"

namespace metamcp::policy {

// One line of a test of a policy: who calls what, and what should be decided.
struct Case {
  std::string name;
  Principal who;
  Item item;
  std::string arguments, client;
  int64_t at_us = 0;
  std::string expect;  // allow, deny, consent
  std::string rule;    // that should decide; empty: any
};

// Cases of a JSON text: {"cases": [{"name", "subject", "roles", "teams", "scopes", "kind", "tool" |
// "resource" | "prompt", "upstream", "virtualServer", "readOnly", "destructive", "idempotent",
// "openWorld", "arguments", "client", "at" (RFC 3339), "anonymous", "expect", "rule"}]}. Only one
// of tool, resource and prompt and `expect` must be there; the upstream is what a qualified name
// says. Errors: ARGUMENT_INVALID naming the case and the member.
absl::StatusOr<std::vector<Case>> ReadCases(std::string_view json);

// What was decided otherwise than a case says, as people read it; empty: as it says.
std::string Check(const Policy& policy, const Case& one);

}  // namespace metamcp::policy
