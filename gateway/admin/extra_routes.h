#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace metamcp::gateway::admin {

// The endpoints that are not methods of a service.
enum class Extra { kOpenApi, kVersion, kStatus, kEvents, kConnect, kReload, kMetrics };

struct ExtraRoute {
  Extra id;
  std::string_view method;
  std::string_view path;  // at most one parameter, "{name}"
  std::string_view role;
  std::string_view content_type;
  std::string_view summary;
};

std::span<const ExtraRoute> ExtraRoutes();

struct ExtraMatch {
  const ExtraRoute* route = nullptr;  // null where path or method are not known
  std::string_view name;              // the parameter; a view into the path
  std::string_view allowed;           // the path's method; empty where the path is unknown
};
ExtraMatch MatchExtra(std::string_view method, std::string_view path);

}  // namespace metamcp::gateway::admin
