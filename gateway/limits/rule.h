#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config.h"

namespace metamcp::gateway::limits {

enum class Scope { kGlobal, kTenant, kPrincipal, kTeam, kClient, kUpstream, kTool };
std::string_view ScopeName(Scope scope);

// What is limited: calls of clients, or requests to the REST API.
enum class Surface { kCalls, kAdmin };

// Who uses something, and what. Views of the call; empty where there is none.
struct Subject {
  std::string_view tenant;
  std::string_view principal;
  std::string_view client;
  std::string_view upstream;  // slug
  std::string_view tool;      // qualified name
  std::string_view exposed;   // the name that the client wrote
  std::span<const std::string> teams;
};

// One entry of limits.rules made ready. Immutable but for the count.
struct Rule {
  std::string name;
  uint32_t id = 0;  // of this name, in this process
  Scope scope = Scope::kGlobal;
  std::optional<Scope> per;
  std::string match;
  Surface surface = Surface::kCalls;
  std::string rate;         // as it was written
  int64_t interval_ns = 0;  // between two at the rate; 0: no rate
  int64_t burst = 0;
  int64_t concurrency = 0;
  int64_t quota = 0;  // of a day
  bool matches_all = true;

  // Whether `value` of this scope is limited by it.
  bool Fits(Scope of, std::string_view value, const Subject& subject) const;
  // Tokens that the shared bucket holds: the burst, and what drips in between two exchanges.
  int64_t SharedBurst() const;
};
using RulePtr = std::shared_ptr<const Rule>;

// The configuration was checked when it was read.
Rule MakeRule(const config::LimitRuleConfig& from, uint32_t id);

}  // namespace metamcp::gateway::limits
