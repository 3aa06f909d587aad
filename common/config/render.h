#pragma once

#include <string>
#include <string_view>

#include "common/config/config.h"
#include "common/config/json_tree.h"

// From structs and trees to text.
namespace metamcp::config {

JsonNode StringNode(std::string_view text);
JsonNode BoolNode(bool value);
JsonNode IntegerNode(int64_t value);
JsonNode ObjectNode();
// Adds a member; `node` is an object.
void AddMember(JsonNode* node, std::string_view key, JsonNode value);

// JSON over several lines, two spaces a level; lists and objects of few plain values on one line.
// Lines after the first begin with `indent`.
std::string ToPrettyJson(const JsonNode& node, std::string_view indent = "",
                         std::string_view newline = "\n");

// The mcpServers entry of `server` called `name`: what differs from the defaults.
JsonNode ServerNode(std::string_view name, const ServerConfig& server);

// The virtualServers entry of `server`: what differs from the defaults.
JsonNode VirtualServerNode(const VirtualServerConfig& server);

struct RenderOptions {
  // Also what has its default.
  bool with_defaults = false;
};

// The configuration as a file, with "***" for keys, for literal values of env and headers, and for
// a database URL that holds a password.
std::string ConfigToJson(const Config& config, const RenderOptions& options = {});

// The file that `init` writes: valid, commented, no servers.
std::string DefaultConfigText();

}  // namespace metamcp::config
