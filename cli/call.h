#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "cli/context.h"

namespace metamcp::cli {

// One MCP request through POST /api/v1/call.
struct CallSpec {
  std::string method;
  std::string target;
  std::string arguments;  // JSON object, or empty
  std::string virtual_server;
  int64_t timeout_ms = 0;  // 0: the gateway's default
};

// Returns {"result": ..., "isError": ..., "upstream": ...}. Errors: as RestClient::Call.
absl::StatusOr<nlohmann::json> CallGateway(CommandContext& ctx, const CallSpec& spec);

// JSON object from a command line: the text itself, "@file", or "-" for standard input. Empty is
// {}. Errors: ARGUMENT_INVALID.
absl::StatusOr<std::string> ReadArguments(CommandContext& ctx, const std::string& given);

}  // namespace metamcp::cli
