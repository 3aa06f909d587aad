#include "gateway/admin/extra_routes.h"

namespace metamcp::gateway::admin {
namespace {

constexpr std::string_view kJson = "application/json";

constexpr ExtraRoute kRoutes[] = {
    {Extra::kVersion, "GET", "/api/v1/version", "viewer", kJson,
     "Returns the program's version and the MCP revisions it speaks."},
    {Extra::kStatus, "GET", "/api/v1/status", "viewer", kJson,
     "Returns the states of all upstreams, what virtual servers expose, and counts of "
     "connections, sessions and calls."},
    {Extra::kEvents, "GET", "/api/v1/events", "viewer", "text/event-stream",
     "Follows the catalog: an event \"snapshot\" first, then \"upstream\", \"upstream_removed\", "
     "\"list_changed\" and \"virtual_server_removed\" as they happen."},
    {Extra::kConnect, "GET", "/api/v1/virtual-servers/{name}/connect", "viewer", kJson,
     "Returns the URL of a virtual server and what to paste into each MCP client. Errors: "
     "NOT_FOUND."},
    {Extra::kReload, "POST", "/api/v1/config:reload", "admin", kJson,
     "Reads the configuration file again and returns what changed. Errors: CONFIG_INVALID; then "
     "nothing has changed."},
    {Extra::kMetrics, "GET", "/metrics", "viewer", "text/plain",
     "Returns counters and gauges in Prometheus' text format."},
    {Extra::kOpenApi, "GET", "/openapi.json", "viewer", kJson, "Returns this description."},
};

// Whether `path` fits the template; the parameter's text goes into `name`.
bool Fits(std::string_view pattern, std::string_view path, std::string_view* name) {
  const size_t open = pattern.find('{');
  if (open == std::string_view::npos) return pattern == path;
  const std::string_view before = pattern.substr(0, open);
  const std::string_view after = pattern.substr(pattern.find('}') + 1);
  if (path.size() <= before.size() + after.size() || path.substr(0, open) != before ||
      path.substr(path.size() - after.size()) != after) {
    return false;
  }
  *name = path.substr(open, path.size() - before.size() - after.size());
  return name->find('/') == std::string_view::npos;
}

}  // namespace

std::span<const ExtraRoute> ExtraRoutes() { return kRoutes; }

ExtraMatch MatchExtra(std::string_view method, std::string_view path) {
  ExtraMatch match;
  for (const ExtraRoute& route : kRoutes) {
    if (!Fits(route.path, path, &match.name)) continue;
    match.allowed = route.method;
    if (method == route.method || (method == "HEAD" && route.method == "GET")) {
      match.route = &route;
    }
    return match;
  }
  return match;
}

}  // namespace metamcp::gateway::admin
