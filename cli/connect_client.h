#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/context.h"
#include "common/config/clients.h"

namespace metamcp::cli {

// Where the clients of this user keep their files.
config::ClientPlaces PlacesOf(const CommandContext& ctx);

// Starts an MCP server over stdio as a client would, asks for its tools and ends it. Returns how
// many tools the first page has. Blocks for at most `limit`.
// Errors: UPSTREAM_PROTOCOL or UPSTREAM_TIMEOUT with what the program wrote to stderr last.
absl::StatusOr<int> CountToolsOverStdioBlocking(const std::string& command,
                                                const std::vector<std::string>& args,
                                                std::chrono::milliseconds limit);

// Asks an MCP endpoint over HTTP for its tools. Errors: as RestClient::Call.
absl::StatusOr<int> CountToolsOverHttp(CommandContext& ctx, const std::string& url);

}  // namespace metamcp::cli
