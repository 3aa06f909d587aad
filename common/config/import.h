#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config/clients.h"
#include "common/config/config.h"
#include "common/config/problem.h"

namespace metamcp::config {

struct ImportedServer {
  std::string name;
  ServerConfig server;
  std::string file;
  Position at;
};

struct ImportResult {
  std::vector<ImportedServer> servers;  // names and slugs are unique
  std::vector<Problem> notes;           // what was left out or must be done by hand
};

// Reads the servers of any client's file: `mcpServers` (Claude Desktop, Claude Code with its
// `projects`, Cursor), `servers` (VS Code's mcp.json), `mcp.servers` (its settings.json), or a file
// of ours. ${input:token} becomes ${TOKEN}, ${userHome} becomes ${HOME}; entries that point at
// Meta-MCP itself and entries that would not load are left out with a note.
// Errors: CONFIG_INVALID when the text does not parse.
absl::StatusOr<ImportResult> ImportText(std::string_view text, const std::string& file);

// Reads one file. Blocks. Errors: also NOT_FOUND, PERMISSION_DENIED.
absl::StatusOr<ImportResult> ImportFileBlocking(const std::string& path);

// Reads every file of `client` that is there; a file that does not parse becomes a note. Blocks.
// Errors: NOT_FOUND when there is none.
absl::StatusOr<ImportResult> ImportClientBlocking(Client client, const ClientPlaces& places);

}  // namespace metamcp::config
