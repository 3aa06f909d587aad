#include "gateway/limits/rule.h"

#include <algorithm>

#include "common/base/names.h"
#include "common/config/rate.h"

namespace metamcp::gateway::limits {
namespace {

constexpr Scope kScopes[] = {Scope::kGlobal, Scope::kTenant,   Scope::kPrincipal, Scope::kTeam,
                             Scope::kClient, Scope::kUpstream, Scope::kTool};
// Gateways exchange tokens ten times a second; what drips in meanwhile must not be lost.
constexpr int64_t kBetweenExchangesNs = 250'000'000;

Scope ParseScope(std::string_view name) {
  for (const Scope scope : kScopes) {
    if (ScopeName(scope) == name) return scope;
  }
  return Scope::kGlobal;
}

}  // namespace

std::string_view ScopeName(Scope scope) {
  switch (scope) {
    case Scope::kGlobal:
      return "global";
    case Scope::kTenant:
      return "tenant";
    case Scope::kPrincipal:
      return "principal";
    case Scope::kTeam:
      return "team";
    case Scope::kClient:
      return "client";
    case Scope::kUpstream:
      return "upstream";
    case Scope::kTool:
      return "tool";
  }
  return "";
}

bool Rule::Fits(Scope of, std::string_view value, const Subject& subject) const {
  if (matches_all || of == Scope::kGlobal) return true;
  return GlobMatch(match, value) || (of == Scope::kTool && GlobMatch(match, subject.exposed));
}

int64_t Rule::SharedBurst() const {
  return interval_ns == 0 ? 0 : std::max(burst, kBetweenExchangesNs / interval_ns);
}

Rule MakeRule(const config::LimitRuleConfig& from, uint32_t id) {
  Rule rule;
  rule.name = from.name;
  rule.id = id;
  rule.scope = ParseScope(from.scope);
  if (!from.per.empty()) rule.per = ParseScope(from.per);
  rule.match = from.match;
  rule.matches_all = from.match == "*";
  rule.surface = from.surface == "admin" ? Surface::kAdmin : Surface::kCalls;
  rule.concurrency = from.concurrency;
  rule.quota = from.daily_quota;
  if (const auto rate = config::ParseRate(from.rate)) {
    rule.rate = from.rate;
    rule.interval_ns = rate->interval().count();
    rule.burst = from.burst > 0 ? from.burst : rate->count;
  }
  return rule;
}

}  // namespace metamcp::gateway::limits
