#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "common/mcp/version.h"

namespace metamcp::mcp {

enum class Direction : std::uint8_t { kNone, kToServer, kToClient, kBoth };

// The capability whose absence makes a method unavailable: the server's for methods to the server,
// the client's for methods to the client.
enum class Capability : std::uint8_t {
  kNone,
  kTools,
  kPrompts,
  kResources,
  kResourcesSubscribe,
  kLogging,
  kCompletions,
  kTasks,
  kRoots,
  kSampling,
  kElicitation,
};

constexpr std::string_view CapabilityName(Capability c) {
  constexpr std::array<std::string_view, 11> kNames = {
      "",      "tools", "prompts",  "resources",  "resources.subscribe", "logging", "completions",
      "tasks", "roots", "sampling", "elicitation"};
  return kNames[static_cast<std::size_t>(c)];
}

struct MethodInfo {
  std::string_view name;
  bool notification = false;
  Direction legacy = Direction::kNone;  // none: the method is modern only
  Revision legacy_since = Revision::k20241105;
  Direction modern = Direction::kNone;  // none: removed in 2026-07-28
  // The params member that names what is addressed, mirrored in Mcp-Name; empty if none.
  std::string_view target = {};
  bool may_require_input = false;  // may answer resultType "input_required"
  bool cacheable = false;          // a complete modern result needs ttlMs and cacheScope
  Capability capability = Capability::kNone;
  bool input_request = false;  // in 2026-07-28 embedded in inputRequests, never sent by itself
  bool extension = false;      // modern: only with io.modelcontextprotocol/tasks
};

namespace methods_internal {
using D = Direction;
using C = Capability;
using R = Revision;
inline constexpr R k24 = R::k20241105;
inline constexpr R k250618 = R::k20250618;
inline constexpr R k251125 = R::k20251125;

// Sorted by name.
inline constexpr MethodInfo kMethods[] = {
    {"completion/complete", false, D::kToServer, k24, D::kToServer, "", false, false,
     C::kCompletions},
    {"elicitation/create", false, D::kToClient, k250618, D::kNone, "", false, false,
     C::kElicitation, true},
    {"initialize", false, D::kToServer, k24, D::kNone},
    {"logging/setLevel", false, D::kToServer, k24, D::kNone, "", false, false, C::kLogging},
    {"notifications/cancelled", true, D::kBoth, k24, D::kBoth},
    {"notifications/elicitation/complete", true, D::kToClient, k251125, D::kNone, "", false, false,
     C::kElicitation},
    {"notifications/initialized", true, D::kToServer, k24, D::kNone},
    {"notifications/message", true, D::kToClient, k24, D::kToClient},
    {"notifications/progress", true, D::kBoth, k24, D::kToClient},
    {"notifications/prompts/list_changed", true, D::kToClient, k24, D::kToClient},
    {"notifications/resources/list_changed", true, D::kToClient, k24, D::kToClient},
    {"notifications/resources/updated", true, D::kToClient, k24, D::kToClient},
    {"notifications/roots/list_changed", true, D::kToServer, k24, D::kNone},
    {"notifications/subscriptions/acknowledged", true, D::kNone, k24, D::kToClient},
    {"notifications/tasks", true, D::kNone, k24, D::kToClient, "", false, false, C::kNone, false,
     true},
    {"notifications/tasks/status", true, D::kBoth, k251125, D::kNone},
    {"notifications/tools/list_changed", true, D::kToClient, k24, D::kToClient},
    {"ping", false, D::kBoth, k24, D::kNone},
    {"prompts/get", false, D::kToServer, k24, D::kToServer, "name", true, false, C::kPrompts},
    {"prompts/list", false, D::kToServer, k24, D::kToServer, "", false, true, C::kPrompts},
    {"resources/list", false, D::kToServer, k24, D::kToServer, "", false, true, C::kResources},
    {"resources/read", false, D::kToServer, k24, D::kToServer, "uri", true, true, C::kResources},
    {"resources/subscribe", false, D::kToServer, k24, D::kNone, "uri", false, false,
     C::kResourcesSubscribe},
    {"resources/templates/list", false, D::kToServer, k24, D::kToServer, "", false, true,
     C::kResources},
    {"resources/unsubscribe", false, D::kToServer, k24, D::kNone, "uri", false, false,
     C::kResourcesSubscribe},
    {"roots/list", false, D::kToClient, k24, D::kNone, "", false, false, C::kRoots, true},
    {"sampling/createMessage", false, D::kToClient, k24, D::kNone, "", false, false, C::kSampling,
     true},
    {"server/discover", false, D::kNone, k24, D::kToServer, "", false, true},
    {"subscriptions/listen", false, D::kNone, k24, D::kToServer},
    {"tasks/cancel", false, D::kBoth, k251125, D::kToServer, "taskId", false, false, C::kTasks,
     false, true},
    {"tasks/get", false, D::kBoth, k251125, D::kToServer, "taskId", false, false, C::kTasks, false,
     true},
    {"tasks/list", false, D::kBoth, k251125, D::kNone, "", false, false, C::kTasks},
    {"tasks/result", false, D::kBoth, k251125, D::kNone, "taskId", false, false, C::kTasks},
    {"tasks/update", false, D::kNone, k24, D::kToServer, "taskId", false, false, C::kTasks, false,
     true},
    {"tools/call", false, D::kToServer, k24, D::kToServer, "name", true, false, C::kTools},
    {"tools/list", false, D::kToServer, k24, D::kToServer, "", false, true, C::kTools},
};
}  // namespace methods_internal

// Every method of every supported revision and of the tasks extension, sorted by name.
constexpr const auto& Methods() { return methods_internal::kMethods; }

// Returns the method's row, or nullptr.
constexpr const MethodInfo* FindMethod(std::string_view name) {
  const auto* end = std::end(methods_internal::kMethods);
  const auto* it =
      std::lower_bound(std::begin(methods_internal::kMethods), end, name,
                       [](const MethodInfo& m, std::string_view n) { return m.name < n; });
  return it != end && it->name == name ? it : nullptr;
}

// Who may send the method in `r`; kNone if the revision does not have it.
constexpr Direction DirectionIn(const MethodInfo& m, Revision r) {
  if (IsModern(r)) return m.modern;
  return r >= m.legacy_since ? m.legacy : Direction::kNone;
}
constexpr bool ServerAccepts(const MethodInfo& m, Revision r) {
  const Direction d = DirectionIn(m, r);
  return d == Direction::kToServer || d == Direction::kBoth;
}
constexpr bool ClientAccepts(const MethodInfo& m, Revision r) {
  const Direction d = DirectionIn(m, r);
  return d == Direction::kToClient || d == Direction::kBoth;
}
constexpr bool IsServerMethod(std::string_view name, Revision r) {
  const MethodInfo* m = FindMethod(name);
  return m != nullptr && ServerAccepts(*m, r);
}
constexpr bool IsClientMethod(std::string_view name, Revision r) {
  const MethodInfo* m = FindMethod(name);
  return m != nullptr && ClientAccepts(*m, r);
}

}  // namespace metamcp::mcp
