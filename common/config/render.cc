#include "common/config/render.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "common/base/strings.h"
#include "common/config/fields.h"

namespace metamcp::config {
namespace {

bool IsPlain(const JsonNode& node) { return node.items.empty() && node.members.empty(); }

bool FitsOneLine(const JsonNode& node) {
  constexpr size_t kWidth = 60;
  if (IsPlain(node)) return true;
  return std::all_of(node.items.begin(), node.items.end(), IsPlain) &&
         (node.members.empty() || (node.members.size() == 1 && IsPlain(node.members[0].value))) &&
         ToJson(node).size() <= kWidth;
}

void AppendPretty(const JsonNode& node, const std::string& indent, std::string_view newline,
                  std::string* out) {
  if (FitsOneLine(node)) {
    if (node.members.size() == 1) {
      *out +=
          StrCat("{ ", JsonQuote(node.members[0].key), ": ", ToJson(node.members[0].value), " }");
      return;
    }
    if (node.kind != JsonNode::Kind::kArray) {
      *out += ToJson(node);
      return;
    }
    *out += "[";
    for (size_t i = 0; i < node.items.size(); ++i) {
      *out += StrCat(i > 0 ? ", " : "", ToJson(node.items[i]));
    }
    *out += "]";
    return;
  }
  const bool object = node.kind == JsonNode::Kind::kObject;
  const std::string inner = indent + "  ";
  const size_t count = object ? node.members.size() : node.items.size();
  *out += object ? "{" : "[";
  for (size_t i = 0; i < count; ++i) {
    *out += StrCat(i > 0 ? "," : "", newline, inner);
    if (object) *out += JsonQuote(node.members[i].key) + ": ";
    AppendPretty(object ? node.members[i].value : node.items[i], inner, newline, out);
  }
  *out += StrCat(newline, indent, object ? "}" : "]");
}

template <typename Map>
JsonNode MapNode(const Map& map, bool hide) {
  JsonNode out = ObjectNode();
  for (const auto& [key, value] : map) {
    if constexpr (std::is_same_v<typename Map::mapped_type, std::string>) {
      const bool hidden = hide && !value.empty() && !absl::StrContains(value, "${");
      AddMember(&out, key, StringNode(hidden ? "***" : value));
    } else {
      AddMember(&out, key, IntegerNode(value));
    }
  }
  return out;
}

JsonNode TextNode(const Field& field, const std::string& text, bool hide) {
  if (field.type == FieldType::kJson || field.type == FieldType::kJsonObject) {
    return ParseJsonc(text.empty() ? "null" : text, "").root;
  }
  const bool hidden = hide && field.secret && !text.empty() && !absl::StrContains(text, "${");
  return StringNode(hidden ? "***" : text);
}

JsonNode SlotNode(const Field& field, const Slot& slot, bool hide) {
  if (const auto* text = std::get_if<std::string*>(&slot)) return TextNode(field, **text, hide);
  if (const auto* number = std::get_if<int64_t*>(&slot)) return IntegerNode(**number);
  if (const auto* flag = std::get_if<bool*>(&slot)) return BoolNode(**flag);
  if (const auto* list = std::get_if<std::vector<std::string>*>(&slot)) {
    JsonNode out;
    out.kind = JsonNode::Kind::kArray;
    for (const std::string& item : **list) out.items.push_back(StringNode(item));
    return out;
  }
  if (const auto* map = std::get_if<std::map<std::string, std::string>*>(&slot)) {
    return MapNode(**map, hide && field.secret);
  }
  if (const auto* map = std::get_if<std::map<std::string, int64_t>*>(&slot)) {
    return MapNode(**map, false);
  }
  return ObjectNode();
}

void AddAt(JsonNode* root, std::string_view path, JsonNode value) {
  const size_t dot = path.find('.');
  if (dot == std::string_view::npos) {
    AddMember(root, path, std::move(value));
    return;
  }
  const std::string_view head = path.substr(0, dot);
  for (JsonMember& member : root->members) {
    if (member.key == head) return AddAt(&member.value, path.substr(dot + 1), std::move(value));
  }
  JsonNode group = ObjectNode();
  AddAt(&group, path.substr(dot + 1), std::move(value));
  AddMember(root, head, std::move(group));
}

// Members of `object` that differ from `defaults`; all of them when `with_defaults`.
JsonNode StructNode(std::span<const Field> fields, const void* object, const void* defaults,
                    bool with_defaults, bool hide) {
  JsonNode out = ObjectNode();
  for (const Field& field : fields) {
    if (field.type == FieldType::kNested) continue;
    // Slots are handed out for writing; here nothing is written.
    JsonNode value = SlotNode(field, field.slot(const_cast<void*>(object)), hide);
    const JsonNode standard = SlotNode(field, field.slot(const_cast<void*>(defaults)), hide);
    if (!with_defaults && ToJson(value) == ToJson(standard)) continue;
    AddAt(&out, field.path, std::move(value));
  }
  return out;
}

JsonNode ServerNodeHiding(std::string_view name, const ServerConfig& server, bool hide) {
  ServerConfig shown = server;
  if (shown.type == "stdio") shown.type.clear();  // what command says already
  if (shown.display_name == name) shown.display_name.clear();
  const ServerConfig defaults;
  return StructNode(ServerFields(), &shown, &defaults, false, hide);
}

JsonNode OverrideNode(const OverrideConfig& item) {
  const OverrideConfig defaults;
  const ArgumentConfig argument_defaults;
  JsonNode out = StructNode(OverrideFields(), &item, &defaults, false, false);
  JsonNode arguments = ObjectNode();
  for (const auto& [name, argument] : item.arguments) {
    AddMember(&arguments, name,
              StructNode(ArgumentFields(), &argument, &argument_defaults, false, false));
  }
  if (!arguments.members.empty()) AddMember(&out, "arguments", std::move(arguments));
  return out;
}

}  // namespace

JsonNode StringNode(std::string_view text) {
  JsonNode node;
  node.kind = JsonNode::Kind::kString;
  node.text = std::string(text);
  return node;
}

JsonNode BoolNode(bool value) {
  JsonNode node;
  node.kind = JsonNode::Kind::kBool;
  node.boolean = value;
  return node;
}

JsonNode IntegerNode(int64_t value) {
  JsonNode node;
  node.kind = JsonNode::Kind::kNumber;
  node.is_integer = true;
  node.integer = value;
  node.text = StrCat(value);
  return node;
}

JsonNode ObjectNode() {
  JsonNode node;
  node.kind = JsonNode::Kind::kObject;
  return node;
}

void AddMember(JsonNode* node, std::string_view key, JsonNode value) {
  JsonMember member;
  member.key = std::string(key);
  member.value = std::move(value);
  node->members.push_back(std::move(member));
}

std::string ToPrettyJson(const JsonNode& node, std::string_view indent, std::string_view newline) {
  std::string out;
  AppendPretty(node, std::string(indent), newline, &out);
  return out;
}

JsonNode ServerNode(std::string_view name, const ServerConfig& server) {
  return ServerNodeHiding(name, server, false);
}

JsonNode VirtualServerNode(const VirtualServerConfig& server) {
  const VirtualServerConfig defaults;
  JsonNode out = StructNode(VirtualServerFields(), &server, &defaults, false, false);
  JsonNode overrides = ObjectNode();
  for (const auto& [name, item] : server.overrides) AddMember(&overrides, name, OverrideNode(item));
  if (!overrides.members.empty()) AddMember(&out, "overrides", std::move(overrides));
  return out;
}

namespace {

// The entries of `map`, at `path`, where there are any.
template <typename Entry>
void AddEntries(JsonNode* root, std::string_view path, std::span<const Field> fields,
                const std::map<std::string, Entry>& map) {
  if (map.empty()) return;
  const Entry defaults;
  JsonNode entries = ObjectNode();
  for (const auto& [name, entry] : map) {
    AddMember(&entries, name, StructNode(fields, &entry, &defaults, false, true));
  }
  AddAt(root, path, std::move(entries));
}

}  // namespace

std::string ConfigToJson(const Config& config, const RenderOptions& options) {
  const Config defaults;
  JsonNode root = StructNode(Settings(), &config, &defaults, options.with_defaults, true);
  if (root.Find("version") == nullptr) {
    JsonMember version;
    version.key = "version";
    version.value = IntegerNode(config.version);
    root.members.insert(root.members.begin(), std::move(version));
  }
  if (!config.auth.keys.empty()) {
    const KeyConfig key_defaults;
    JsonNode keys;
    keys.kind = JsonNode::Kind::kArray;
    for (const KeyConfig& key : config.auth.keys) {
      keys.items.push_back(StructNode(KeyFields(), &key, &key_defaults, false, true));
    }
    AddAt(&root, "auth.keys", std::move(keys));
  }
  AddEntries(&root, "auth.certificates", CertificateFields(), config.auth.certificates);
  AddEntries(&root, "auth.basic.users", BasicUserFields(), config.auth.basic.users);
  if (!config.auth.issuers.empty()) {
    const IssuerConfig issuer_defaults;
    JsonNode issuers = ObjectNode();
    for (const auto& [name, issuer] : config.auth.issuers) {
      AddMember(&issuers, name, StructNode(IssuerFields(), &issuer, &issuer_defaults, false, true));
    }
    AddAt(&root, "auth.issuers", std::move(issuers));
  }
  if (!config.ai.providers.empty()) {
    const AiProviderConfig provider_defaults;
    JsonNode providers = ObjectNode();
    for (const auto& [name, provider] : config.ai.providers) {
      AddMember(&providers, name,
                StructNode(AiProviderFields(), &provider, &provider_defaults, false, true));
    }
    AddAt(&root, "ai.providers", std::move(providers));
  }
  if (!config.sandbox.profiles.empty()) {
    const SandboxRules rule_defaults;
    JsonNode profiles = ObjectNode();
    for (const auto& [name, rules] : config.sandbox.profiles) {
      AddMember(&profiles, name, StructNode(SandboxFields(), &rules, &rule_defaults, false, true));
    }
    AddAt(&root, "sandbox.profiles", std::move(profiles));
  }
  JsonNode servers = ObjectNode();
  for (const auto& [name, server] : config.mcp_servers) {
    AddMember(&servers, name, ServerNodeHiding(name, server, true));
  }
  AddMember(&root, "mcpServers", std::move(servers));
  JsonNode virtual_servers = ObjectNode();
  for (const auto& [name, server] : config.virtual_servers) {
    AddMember(&virtual_servers, name, VirtualServerNode(server));
  }
  if (!config.virtual_servers.empty()) {
    AddMember(&root, "virtualServers", std::move(virtual_servers));
  }
  return ToPrettyJson(root) + "\n";
}

std::string DefaultConfigText() {
  const GatewayConfig gateway;
  return StrCat(R"({
  // The settings and their meaning: docs/configuration.md. Comments and trailing commas are fine.
  "version": 1,

  "gateway": { "listen": )",
                JsonQuote(gateway.listen), R"( },

  // The same block that every MCP client uses. Values may hold ${VAR}, ${VAR:-default} and
  // ${file:/path}, so that no secret has to stand here.
  "mcpServers": {
    // "git":  { "command": "uvx", "args": ["mcp-server-git"] },
    // "docs": { "url": "https://docs.example.com/mcp", "headers": { "Authorization": "Bearer ${DOCS_TOKEN}" } }
  }
}
)");
}

}  // namespace metamcp::config
