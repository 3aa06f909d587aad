#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/config/config.h"

// The one table behind reading, environment variables, flags, `config show`, the difference on
// reload, the JSON Schema and docs/configuration.md.
namespace metamcp::config {

// Where a field's value lives in its struct.
using Slot = std::variant<std::monostate, std::string*, int64_t*, bool*, std::vector<std::string>*,
                          std::map<std::string, std::string>*, std::map<std::string, int64_t>*>;

enum class FieldType {
  kString,
  kInteger,
  kBoolean,
  kStrings,
  kStringMap,
  kIntegerMap,
  kChoice,      // a string out of `choices`
  kAddress,     // host:port, [v6]:port
  kTargets,     // addresses by commas, each also as dns:///host:port or unix:/path
  kUrl,         // http:// or https://
  kJsonObject,  // kept as JSON text
  kJson,        // any value, kept as JSON text
  kNested       // read by code of its own
};

struct Field {
  std::string_view path;  // dotted, relative to the struct
  FieldType type;
  std::string_view description;
  Slot (*slot)(void* object);
  std::string_view unit = {};     // ms, s, bytes or empty
  int64_t min = 0;                // of integers
  int64_t max = INT64_MAX;        // of integers, those of a map too
  std::string_view choices = {};  // "a|b|c"
  std::string_view flag = {};     // "--listen"
  bool restart = true;            // a change takes effect at the next start only
  bool secret = false;            // never printed
  int64_t bytes_max = 0;          // of a text, and of each element of a list; 0: any
  int64_t items_max = 0;          // elements of a list; 0: any
  bool filled = false;            // no element of a list is empty
};

// Fields of Config outside mcpServers, virtualServers, auth.keys, auth.certificates,
// auth.basic.users, auth.issuers, limits.rules, ai.providers and sandbox.profiles: the settings.
std::span<const Field> Settings();
std::span<const Field> ServerFields();         // of ServerConfig
std::span<const Field> VirtualServerFields();  // of VirtualServerConfig
std::span<const Field> OverrideFields();       // of OverrideConfig
std::span<const Field> ArgumentFields();       // of ArgumentConfig
std::span<const Field> KeyFields();            // of KeyConfig
std::span<const Field> CertificateFields();    // of CertificateConfig
std::span<const Field> BasicUserFields();      // of BasicUserConfig
std::span<const Field> SandboxFields();        // of SandboxRules
std::span<const Field> IssuerFields();         // of IssuerConfig
std::span<const Field> AiProviderFields();     // of AiProviderConfig
std::span<const Field> LimitRuleFields();      // of LimitRuleConfig

const Field* FindField(std::span<const Field> fields, std::string_view path);

// "META_MCP_GATEWAY_LISTEN" for "gateway.listen".
std::string EnvironmentName(std::string_view path);

// The value as text: lists joined by commas, booleans as true and false. Secrets as "***".
std::string FieldText(const Field& field, const void* object);

// The default of a setting as text.
std::string DefaultText(const Field& setting);

}  // namespace metamcp::config
