#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config/clients.h"

namespace metamcp::config {

// How a client reaches Meta-MCP.
struct ConnectOptions {
  std::string entry = "meta-mcp";
  // The MCP endpoint; used by clients that speak HTTP.
  std::string url;
  // Program and arguments of `meta-mcp stdio`, for clients that have only stdio (Claude Desktop)
  // and wherever url is empty.
  std::string command = "meta-mcp";
  std::vector<std::string> args = {"stdio"};
  // Sent with every request over HTTP, such as an Authorization with the client's own reference.
  std::map<std::string, std::string> headers;
};

// The entry of `client` alone as a whole configuration file (compact JSON), for pasting.
std::string ClientSnippet(Client client, const ConnectOptions& options);

struct ConnectResult {
  std::string file;
  std::string backup;    // empty when there was no file
  bool changed = false;  // false: the entry was there already, as it should be
};

// Writes the entry into the user's file of `client` and keeps everything else in it: other servers,
// comments, order. Makes the file where there is none; makes a backup before a change. Blocks.
// Errors: CONFIG_INVALID when the file does not parse; PERMISSION_DENIED.
absl::StatusOr<ConnectResult> ConnectClientBlocking(Client client, const ClientPlaces& places,
                                                    const ConnectOptions& options);

// Removes the entry again. `changed` is false when there was none. Errors: as above.
absl::StatusOr<ConnectResult> DisconnectClientBlocking(Client client, const ClientPlaces& places,
                                                       const ConnectOptions& options);

}  // namespace metamcp::config
