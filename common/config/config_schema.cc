#include "common/config/config_schema.h"

#include "absl/strings/str_split.h"
#include "common/base/strings.h"
#include "common/config/fields.h"
#include "common/config/render.h"

namespace metamcp::config {
namespace {

JsonNode ArrayNode() {
  JsonNode node;
  node.kind = JsonNode::Kind::kArray;
  return node;
}

JsonNode TypeNode(std::string_view type) {
  JsonNode node = ObjectNode();
  AddMember(&node, "type", StringNode(type));
  return node;
}

// An integer or boolean may also be written as a string that holds a reference.
JsonNode OrReference(JsonNode node) {
  JsonNode reference = TypeNode("string");
  AddMember(&reference, "pattern", StringNode("\\$\\{"));
  JsonNode any = ArrayNode();
  any.items.push_back(std::move(node));
  any.items.push_back(std::move(reference));
  JsonNode out = ObjectNode();
  AddMember(&out, "anyOf", std::move(any));
  return out;
}

JsonNode IntegerSchema(const Field& field) {
  JsonNode node = TypeNode("integer");
  AddMember(&node, "minimum", IntegerNode(field.min));
  if (field.max != INT64_MAX) AddMember(&node, "maximum", IntegerNode(field.max));
  return node;
}

JsonNode MapSchema(JsonNode values) {
  JsonNode node = TypeNode("object");
  AddMember(&node, "additionalProperties", std::move(values));
  return node;
}

JsonNode ChoiceSchema(const Field& field) {
  JsonNode values = ArrayNode();
  for (const absl::string_view choice : absl::StrSplit(Av(field.choices), '|')) {
    values.items.push_back(StringNode(Sv(choice)));
  }
  JsonNode node = ObjectNode();
  AddMember(&node, "enum", std::move(values));
  return node;
}

JsonNode TypeSchema(const Field& field, bool references) {
  switch (field.type) {
    case FieldType::kInteger:
      return references ? OrReference(IntegerSchema(field)) : IntegerSchema(field);
    case FieldType::kBoolean:
      return references ? OrReference(TypeNode("boolean")) : TypeNode("boolean");
    case FieldType::kStrings: {
      JsonNode node = TypeNode("array");
      AddMember(&node, "items", TypeNode("string"));
      return node;
    }
    case FieldType::kStringMap:
      return MapSchema(TypeNode("string"));
    case FieldType::kIntegerMap:
      return MapSchema(TypeNode("integer"));
    case FieldType::kChoice:
      return ChoiceSchema(field);
    case FieldType::kJsonObject:
    case FieldType::kNested:
      return TypeNode("object");
    case FieldType::kJson:
      return ObjectNode();
    case FieldType::kString:
    case FieldType::kAddress:
    case FieldType::kTargets:
    case FieldType::kUrl:
      break;
  }
  return TypeNode("string");
}

// The "properties" of an object schema, made on first use.
JsonNode* PropertiesOf(JsonNode* schema) {
  for (JsonMember& member : schema->members) {
    if (member.key == "properties") return &member.value;
  }
  AddMember(schema, "properties", ObjectNode());
  return &schema->members.back().value;
}

JsonNode ClosedObject() {
  JsonNode node = TypeNode("object");
  AddMember(&node, "additionalProperties", BoolNode(false));
  return node;
}

void AddProperty(JsonNode* schema, std::string_view path, JsonNode value) {
  const size_t dot = path.find('.');
  JsonNode* properties = PropertiesOf(schema);
  const std::string_view head = path.substr(0, dot);
  if (dot == std::string_view::npos) {
    AddMember(properties, head, std::move(value));
    return;
  }
  for (JsonMember& member : properties->members) {
    if (member.key == head) return AddProperty(&member.value, path.substr(dot + 1), value);
  }
  JsonNode group = ClosedObject();
  AddProperty(&group, path.substr(dot + 1), std::move(value));
  AddMember(properties, head, std::move(group));
}

JsonNode ObjectSchema(std::span<const Field> fields, bool references) {
  JsonNode out = ClosedObject();
  for (const Field& field : fields) {
    if (field.type == FieldType::kNested) continue;
    JsonNode node = TypeSchema(field, references);
    AddMember(&node, "description", StringNode(field.description));
    AddProperty(&out, field.path, std::move(node));
  }
  return out;
}

std::string TypeText(const Field& field) {
  switch (field.type) {
    case FieldType::kInteger: {
      const std::string unit = field.unit.empty() ? "" : StrCat(" ", field.unit);
      return field.max == INT64_MAX ? StrCat("integer, from ", field.min, unit)
                                    : StrCat("integer, ", field.min, " to ", field.max, unit);
    }
    case FieldType::kBoolean:
      return "true, false";
    case FieldType::kStrings:
      return "list of strings";
    case FieldType::kStringMap:
      return "object of strings";
    case FieldType::kIntegerMap:
      return "object of integers";
    case FieldType::kChoice: {
      std::string out;
      for (const absl::string_view choice : absl::StrSplit(Av(field.choices), '|')) {
        out += StrCat(out.empty() ? "" : ", ", "`", choice, "`");
      }
      return out;
    }
    case FieldType::kAddress:
      return "host:port";
    case FieldType::kTargets:
      return "host:port, …";
    case FieldType::kUrl:
      return "URL";
    case FieldType::kJsonObject:
    case FieldType::kNested:
      return "object";
    case FieldType::kJson:
      return "any JSON";
    case FieldType::kString:
      break;
  }
  return "string";
}

std::string Code(std::string_view text) { return text.empty() ? "" : StrCat("`", text, "`"); }

std::string SettingsTables() {
  std::string out;
  std::string section;
  for (const Field& s : Settings()) {
    const std::string head(s.path.substr(0, s.path.find('.')));
    if (head != section && head != "version") {
      out += StrCat("\n### ", head,
                    "\n\n| Setting | Type | Default | Environment, flag | Meaning "
                    "|\n|---|---|---|---|---|\n");
      section = head;
    }
    if (head == "version") continue;
    const std::string flag = s.flag.empty() ? "" : StrCat(" `", s.flag, "`");
    out += StrCat("| `", s.path, "` | ", TypeText(s), " | ", Code(DefaultText(s)), " | `",
                  EnvironmentName(s.path), "`", flag, " | ", s.description,
                  s.restart ? "" : " A change takes effect at once.", " |\n");
  }
  return out;
}

std::string FieldsTable(std::span<const Field> fields) {
  std::string out = "\n| Key | Type | Meaning |\n|---|---|---|\n";
  for (const Field& f : fields) {
    out += StrCat("| `", f.path, "` | ", TypeText(f), " | ", f.description, " |\n");
  }
  return out;
}

constexpr std::string_view kIntroduction = R"(# Configuration

<!-- Generated from common/config; METAMCP_UPDATE_GOLDEN=1 build/dev/tests/config_test rewrites it. -->

`meta-mcp` reads `~/.meta-mcp/config.json` (`--config PATH` names another). Without a file the
defaults hold. The format is JSON; comments and trailing commas are accepted. Editors can check it
with [config.schema.json](config.schema.json). `meta-mcp config validate` names every mistake with
file, line and column and says how to mend it; `meta-mcp config show --origin` says where each value
comes from.

```json
{
  "version": 1,
  "gateway": { "listen": "127.0.0.1:8931" },
  "mcpServers": {
    "git":  { "command": "uvx", "args": ["mcp-server-git"], "env": { "TOKEN": "${GIT_TOKEN}" } },
    "docs": { "url": "https://docs.example.com/mcp", "headers": { "Authorization": "Bearer ${DOCS_TOKEN}" } }
  },
  "virtualServers": {
    "readers": { "servers": ["*"], "tools": { "annotations": { "readOnlyHint": true } } }
  }
}
```

## Where values come from

A flag beats an environment variable, which beats the file, which beats the default. The variable of
a setting is `META_MCP_` and its path in capitals: `gateway.pageSize` is `META_MCP_GATEWAY_PAGE_SIZE`.
Lists are joined by commas there.

Strings in the file may hold references:

| Written | Becomes |
|---|---|
| `${NAME}`, `${env:NAME}` | the environment variable |
| `${NAME:-text}` | the variable, or `text` when it is not set or empty |
| `${file:/path}` | the content of the file, without the line break at its end |
| `${secret:NAME}` | in `mcpServers`: a value of the vault ([secrets](security/secrets.md)) |
| `$${` | a literal `${` |

A variable that is missing is an error, except in `mcpServers`: there that one server stays
unconnected and says why. Numbers and booleans outside `mcpServers` may be written as a string with a
reference.

A changed file is read again by itself, on SIGHUP, or through the API. Servers, virtual servers,
keys and the settings that say so below take effect at once, the other settings at the next start;
the log (`config.reloaded`) and the API name what waits for it. What did not change is left
alone; a file with mistakes changes nothing and the mistakes are reported.

## Servers

`mcpServers` is the block that MCP clients use, so entries can be copied as they are; `servers` (VS
Code) is understood too. The key is the name shown; its short form (lower case, other characters to
`-`) is what tool names begin with, so two keys may not have the same short form. Keys that other
clients need are accepted and ignored with a note; any other unknown key is a mistake.

URLs are reached through the proxies that the variables `HTTP_PROXY` (http, ws), `HTTPS_PROXY` (https,
wss) and `NO_PROXY` name; WebSockets always by CONNECT, this machine never.
)";

}  // namespace

std::string GenerateConfigSchema() {
  JsonNode root = ObjectSchema(Settings(), true);
  JsonNode override_schema = ObjectSchema(OverrideFields(), true);
  AddProperty(&override_schema, "arguments", MapSchema(ObjectSchema(ArgumentFields(), true)));
  JsonNode virtual_schema = ObjectSchema(VirtualServerFields(), true);
  AddProperty(&virtual_schema, "overrides", MapSchema(std::move(override_schema)));
  JsonNode server_schema = ObjectSchema(ServerFields(), false);
  // The known keys of other clients are fine, so the object is left open.
  for (JsonMember& member : server_schema.members) {
    if (member.key == "additionalProperties") member.value = BoolNode(true);
  }
  JsonNode keys = TypeNode("array");
  JsonNode key_schema = ObjectSchema(KeyFields(), true);
  JsonNode required = ArrayNode();
  required.items.push_back(StringNode("name"));
  required.items.push_back(StringNode("key"));
  AddMember(&key_schema, "required", std::move(required));
  AddMember(&keys, "items", std::move(key_schema));
  AddProperty(&root, "auth.keys", std::move(keys));
  JsonNode rules = TypeNode("array");
  JsonNode rule_schema = ObjectSchema(LimitRuleFields(), true);
  JsonNode rule_required = ArrayNode();
  rule_required.items.push_back(StringNode("scope"));
  AddMember(&rule_schema, "required", std::move(rule_required));
  AddMember(&rules, "items", std::move(rule_schema));
  AddProperty(&root, "limits.rules", std::move(rules));
  AddProperty(&root, "auth.certificates", MapSchema(ObjectSchema(CertificateFields(), true)));
  JsonNode user_schema = ObjectSchema(BasicUserFields(), true);
  JsonNode user_required = ArrayNode();
  user_required.items.push_back(StringNode("hash"));
  AddMember(&user_schema, "required", std::move(user_required));
  AddProperty(&root, "auth.basic.users", MapSchema(std::move(user_schema)));
  AddProperty(&root, "auth.issuers", MapSchema(ObjectSchema(IssuerFields(), true)));
  AddProperty(&root, "ai.providers", MapSchema(ObjectSchema(AiProviderFields(), true)));
  AddProperty(&root, "sandbox.profiles", MapSchema(ObjectSchema(SandboxFields(), true)));
  AddProperty(&root, "mcpServers", MapSchema(std::move(server_schema)));
  AddProperty(&root, "virtualServers", MapSchema(std::move(virtual_schema)));
  AddProperty(&root, "$schema", TypeNode("string"));
  JsonNode out = ObjectNode();
  AddMember(&out, "$schema", StringNode("https://json-schema.org/draft/2020-12/schema"));
  AddMember(&out, "title", StringNode("Meta-MCP configuration"));
  for (JsonMember& member : root.members) out.members.push_back(std::move(member));
  return ToPrettyJson(out) + "\n";
}

std::string GenerateConfigDocs() {
  return StrCat(
      kIntroduction, FieldsTable(ServerFields()),
      "\n## Virtual servers\n\nEach entry of `virtualServers` is an endpoint `/servers/{name}/mcp` "
      "with its own choice of items, beside it `/sse` and `/ws`; `default` configures `/mcp`.\n",
      FieldsTable(VirtualServerFields()), "\nAn override:\n", FieldsTable(OverrideFields()),
      "\nAn argument of an override:\n", FieldsTable(ArgumentFields()),
      "\n## Keys\n\nEntries of the list `auth.keys`:\n", FieldsTable(KeyFields()),
      "\n## Client certificates\n\nEntries of `auth.certificates`, by a name of your own, which is "
      "the subject of who shows one ([security](security.md#client-certificates)):\n",
      FieldsTable(CertificateFields()),
      "\n## Users with a password\n\nEntries of `auth.basic.users`, by the user's name "
      "([security](security.md#passwords)):\n",
      FieldsTable(BasicUserFields()),
      "\n## Issuers\n\nEntries of `auth.issuers`, by a name of your own, which leads the subjects "
      "of "
      "its people ([security](security.md)):\n",
      FieldsTable(IssuerFields()),
      "\n## Models\n\nEntries of `ai.providers`, by a name of your own ([AI](ai.md)):\n",
      FieldsTable(AiProviderFields()),
      "\n## Limits\n\nEntries of the list `limits.rules`; a change takes effect at once "
      "([security](security.md#how-much)):\n",
      FieldsTable(LimitRuleFields()),
      "\n## Sandbox profiles\n\nEntries of `sandbox.profiles`, by a name of your own "
      "([what a server may touch](security/sandbox.md)):\n",
      FieldsTable(SandboxFields()), "\n## Settings\n", SettingsTables());
}

}  // namespace metamcp::config
