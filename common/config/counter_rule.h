#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace metamcp::config {

// A counter of the operator's own: telemetry.counters. Empty globs match everything.
struct CounterRule {
  std::string name;  // [a-z][a-z0-9_]*, at most 64
  std::string item, upstream, virtual_server, method, outcome;
  bool operator==(const CounterRule&) const = default;
};

// Reads "NAME FIELD=GLOB ...", for example "failed_pushes item=*push outcome=upstream_*". Errors:
// INVALID_ARGUMENT, saying what is wrong.
absl::StatusOr<CounterRule> ParseCounterRule(std::string_view text);

}  // namespace metamcp::config
