#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// The MCP clients whose configuration files we read (import.h) and write (connect.h).
namespace metamcp::config {

enum class Client { kClaudeDesktop, kClaudeCode, kVsCode, kCursor };

std::span<const Client> AllClients();
// "claude-desktop", "claude-code", "vscode", "cursor".
std::string_view ClientName(Client client);
std::optional<Client> ParseClient(std::string_view name);

enum class HostSystem { kLinux, kMacos };
// The system that this program was built for.
HostSystem ThisSystem();

// Where clients keep their files; tests set all of it.
struct ClientPlaces {
  std::string home;     // the user's home directory
  std::string project;  // a project's folder, or empty
  HostSystem system = ThisSystem();
};

// The files of `client` that may hold servers, the user's own first, then the project's. The first
// is the one that connect writes.
std::vector<std::string> ClientFiles(Client client, const ClientPlaces& places);

}  // namespace metamcp::config
