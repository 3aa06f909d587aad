#include "common/config/clients.h"

#include "common/base/strings.h"

namespace metamcp::config {
namespace {

constexpr Client kAll[] = {Client::kClaudeDesktop, Client::kClaudeCode, Client::kVsCode,
                           Client::kCursor};

// The folder in which desktop programs keep their settings.
std::string SettingsFolder(const ClientPlaces& places) {
  return StrCat(places.home,
                places.system == HostSystem::kMacos ? "/Library/Application Support" : "/.config");
}

}  // namespace

std::span<const Client> AllClients() { return kAll; }

std::string_view ClientName(Client client) {
  switch (client) {
    case Client::kClaudeDesktop:
      return "claude-desktop";
    case Client::kClaudeCode:
      return "claude-code";
    case Client::kVsCode:
      return "vscode";
    case Client::kCursor:
      return "cursor";
  }
  return "";
}

std::optional<Client> ParseClient(std::string_view name) {
  for (const Client client : kAll) {
    if (ClientName(client) == name) return client;
  }
  return std::nullopt;
}

HostSystem ThisSystem() {
#ifdef __APPLE__
  return HostSystem::kMacos;
#else
  return HostSystem::kLinux;
#endif
}

std::vector<std::string> ClientFiles(Client client, const ClientPlaces& places) {
  std::vector<std::string> out;
  std::string project;
  switch (client) {
    case Client::kClaudeDesktop:
      return {SettingsFolder(places) + "/Claude/claude_desktop_config.json"};
    case Client::kClaudeCode:
      out.push_back(places.home + "/.claude.json");
      project = "/.mcp.json";
      break;
    case Client::kVsCode:
      out.push_back(SettingsFolder(places) + "/Code/User/mcp.json");
      out.push_back(SettingsFolder(places) + "/Code/User/settings.json");
      project = "/.vscode/mcp.json";
      break;
    case Client::kCursor:
      out.push_back(places.home + "/.cursor/mcp.json");
      project = "/.cursor/mcp.json";
      break;
  }
  if (!places.project.empty()) out.push_back(places.project + project);
  return out;
}

}  // namespace metamcp::config
