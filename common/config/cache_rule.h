#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace metamcp::config {

// How long resources of servers that do not say so are fresh: cache.resources.
struct CacheRule {
  std::string server;  // a glob of names
  std::chrono::milliseconds ttl{0};
  bool operator==(const CacheRule&) const = default;
};

// Reads "SERVER SECONDS", for example "docs-* 60". Errors: INVALID_ARGUMENT, saying what is wrong.
absl::StatusOr<CacheRule> ParseCacheRule(std::string_view text);

}  // namespace metamcp::config
