#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "cli/bridge.h"
#include "cli/context.h"
#include "cli/translate.h"

namespace metamcp::cli {

// What `meta-mcp stdio` is to do.
struct StdioPlan {
  // Joins one gateway over Streamable HTTP.
  BridgeOptions bridge;
  // Instead: HTTP+SSE, WebSocket, or several servers.
  std::optional<TranslateOptions> translate;
};

// Reads --url, --token and `virtual_server`, and the variables MCP_SERVER_URL, MCP_AUTH,
// MCP_TOOL_CALL_TIMEOUT, CONCURRENCY and MCP_WRAPPER_LOG_LEVEL that wrappers of other gateways
// take; of older ones MCP_SERVER_CATALOG_URLS and MCP_AUTH_TOKEN. Without any URL it is the gateway
// of this machine. Errors: usage, naming the variable.
absl::StatusOr<StdioPlan> PlanStdio(const CommandContext& ctx, const std::string& virtual_server);

}  // namespace metamcp::cli
