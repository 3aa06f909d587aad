#include "services/catalog/override.h"

#include <nlohmann/json.hpp>
#include <set>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"

namespace metamcp::catalog {
namespace {

// Order of members is kept: people read these definitions.
using Json = nlohmann::ordered_json;
using Arguments = google::protobuf::Map<std::string, pb::ArgumentOverride>;
constexpr int kSubschemaDepthMax = 8;

absl::Status Invalid(std::string_view message) {
  return MakeError("ARGUMENT_INVALID", "catalog", message);
}

bool IsHidden(const pb::ArgumentOverride& rule) {
  return rule.hidden() || !rule.fixed_value().empty();
}

const pb::ArgumentOverride* FindRule(const Arguments& rules, const std::string& name) {
  const auto it = rules.find(name);
  return it == rules.end() ? nullptr : &it->second;
}

const std::string& ExposedArgument(const Arguments& rules, const std::string& name) {
  const pb::ArgumentOverride* rule = FindRule(rules, name);
  return rule == nullptr || rule->rename().empty() ? name : rule->rename();
}

// Lets a schema accept text as well; the connector's side converts it before the call.
void AcceptStrings(Json& schema) {
  const auto type = schema.find("type");
  if (type != schema.end()) {
    Json types = Json::array();
    if (type->is_array()) {
      types = *type;
    } else {
      types.push_back(*type);
    }
    bool has_string = false;
    for (const Json& t : types) has_string = has_string || t == "string";
    if (!has_string) types.push_back("string");
    *type = types.size() == 1 ? types[0] : types;
  }
  const auto values = schema.find("enum");
  if (values == schema.end() || !values->is_array()) return;
  const Json originals = *values;
  for (const Json& value : originals) {
    if (value.is_number() || value.is_boolean()) values->push_back(value.dump());
  }
}

absl::Status ApplyRule(const pb::ArgumentOverride& rule, Json& schema) {
  if (!schema.is_object()) return absl::OkStatus();  // true or false: nothing to say in it
  if (!rule.coerce().empty()) AcceptStrings(schema);
  if (rule.default_value().empty()) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(
      Json value, metamcp::json::ParseOrderedJson(rule.default_value(), kDefinitionDepthMax));
  schema["default"] = std::move(value);
  return absl::OkStatus();
}

absl::Status RewriteProperties(const Arguments& rules, Json& schema) {
  const auto properties = schema.find("properties");
  if (properties == schema.end() || !properties->is_object()) return absl::OkStatus();
  Json out = Json::object();
  for (const auto& [name, property] : properties->items()) {
    const pb::ArgumentOverride* rule = FindRule(rules, name);
    if (rule != nullptr && IsHidden(*rule)) continue;
    const std::string& exposed = ExposedArgument(rules, name);
    if (out.contains(exposed)) {
      return Invalid(StrCat("the override would give two arguments the name '", exposed, "'"));
    }
    Json copy = property;
    if (rule != nullptr) METAMCP_RETURN_IF_ERROR(ApplyRule(*rule, copy));
    out[exposed] = std::move(copy);
  }
  *properties = std::move(out);
  return absl::OkStatus();
}

// Whether a client need not send the argument.
bool IsSupplied(const pb::ArgumentOverride* rule) {
  return rule != nullptr && (IsHidden(*rule) || !rule->default_value().empty());
}

void RewriteNames(const Arguments& rules, Json& names) {
  if (!names.is_array()) return;
  Json out = Json::array();
  for (const Json& name : names) {
    if (!name.is_string()) continue;
    const std::string original = name.get<std::string>();
    if (IsSupplied(FindRule(rules, original))) continue;
    out.push_back(ExposedArgument(rules, original));
  }
  names = std::move(out);
}

void RewriteDependentRequired(const Arguments& rules, Json& schema) {
  const auto it = schema.find("dependentRequired");
  if (it == schema.end() || !it->is_object()) return;
  Json out = Json::object();
  for (const auto& [name, needed] : it->items()) {
    const pb::ArgumentOverride* rule = FindRule(rules, name);
    if (rule != nullptr && IsHidden(*rule)) continue;
    Json copy = needed;
    RewriteNames(rules, copy);
    out[ExposedArgument(rules, name)] = std::move(copy);
  }
  *it = std::move(out);
}

// Subschemas that speak about the same object name the same arguments.
absl::Status RewriteSchema(const Arguments& rules, Json& schema, int depth) {
  if (!schema.is_object() || depth > kSubschemaDepthMax) return absl::OkStatus();
  METAMCP_RETURN_IF_ERROR(RewriteProperties(rules, schema));
  if (const auto it = schema.find("required"); it != schema.end()) {
    RewriteNames(rules, *it);
    if (it->is_array() && it->empty()) schema.erase(it);
  }
  RewriteDependentRequired(rules, schema);
  for (const char* key : {"allOf", "anyOf", "oneOf"}) {
    const auto it = schema.find(key);
    if (it == schema.end() || !it->is_array()) continue;
    for (Json& part : *it) METAMCP_RETURN_IF_ERROR(RewriteSchema(rules, part, depth + 1));
  }
  for (const char* key : {"if", "then", "else", "not"}) {
    const auto it = schema.find(key);
    if (it != schema.end()) METAMCP_RETURN_IF_ERROR(RewriteSchema(rules, *it, depth + 1));
  }
  return absl::OkStatus();
}

// Arguments of prompts are strings (MCP 2025-11-25, server/prompts).
absl::Status CheckPromptValues(const Arguments& rules) {
  for (const auto& [name, rule] : rules) {
    for (const std::string& value : {rule.default_value(), rule.fixed_value()}) {
      if (value.empty() || value.front() == '"') continue;
      return Invalid(StrCat("the override gives the prompt's argument '", name,
                            "' a value that is no string"));
    }
  }
  return absl::OkStatus();
}

absl::Status RewritePromptArguments(const Arguments& rules, Json& def) {
  METAMCP_RETURN_IF_ERROR(CheckPromptValues(rules));
  const auto args = def.find("arguments");
  if (args == def.end() || !args->is_array()) return absl::OkStatus();
  Json out = Json::array();
  std::set<std::string> seen;
  for (const Json& arg : *args) {
    const std::string original = arg.value("name", "");
    const pb::ArgumentOverride* rule = FindRule(rules, original);
    if (rule != nullptr && IsHidden(*rule)) continue;
    Json copy = arg;
    const std::string& exposed = ExposedArgument(rules, original);
    if (!seen.insert(exposed).second) {
      return Invalid(StrCat("the override would give two arguments the name '", exposed, "'"));
    }
    copy["name"] = exposed;
    if (IsSupplied(rule)) copy["required"] = false;
    out.push_back(std::move(copy));
  }
  *args = std::move(out);
  return absl::OkStatus();
}

absl::Status MergeAnnotations(const std::string& text, Json& def) {
  if (text.empty()) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(const Json patch,
                           metamcp::json::ParseOrderedJson(text, kDefinitionDepthMax));
  if (!patch.is_object()) return Invalid("annotations of an override must be a JSON object");
  Json& target = def["annotations"];
  if (!target.is_object()) target = Json::object();
  for (const auto& [key, value] : patch.items()) {
    if (value.is_null()) {
      target.erase(key);
    } else {
      target[key] = value;
    }
  }
  if (target.empty()) def.erase("annotations");
  return absl::OkStatus();
}

bool IsUriKind(pb::ItemKind kind) {
  return kind == pb::ITEM_KIND_RESOURCE || kind == pb::ITEM_KIND_TEMPLATE;
}

absl::Status CheckJson(std::string_view what, const std::string& text) {
  if (text.empty()) return absl::OkStatus();
  const auto parsed = metamcp::json::ScanValue(text);
  if (parsed.ok()) return absl::OkStatus();
  return Invalid(StrCat(what, " is not valid JSON: ", Sv(parsed.status().message())));
}

}  // namespace

bool ChangesDefinition(const pb::ItemOverride& change, pb::ItemKind kind) {
  return !change.title().empty() || !change.description().empty() ||
         !change.annotations().empty() || !change.arguments().empty() ||
         (IsUriKind(kind) && !change.name().empty());
}

absl::StatusOr<std::string> DeriveDefinition(const ItemEntry& item, const pb::ItemOverride& change,
                                             std::string_view exposed_name) {
  METAMCP_ASSIGN_OR_RETURN(
      Json def, metamcp::json::ParseOrderedJson(item.item.definition(), kDefinitionDepthMax));
  const pb::ItemKind kind = item.item.kind();
  switch (kind) {
    case pb::ITEM_KIND_RESOURCE:
      def["uri"] = std::string(exposed_name);
      break;
    case pb::ITEM_KIND_TEMPLATE:
      def["uriTemplate"] = std::string(exposed_name);
      break;
    default:
      def["name"] = std::string(exposed_name);
  }
  if (IsUriKind(kind) && !change.name().empty()) def["name"] = change.name();
  if (!change.title().empty()) def["title"] = change.title();
  if (!change.description().empty()) def["description"] = change.description();
  METAMCP_RETURN_IF_ERROR(MergeAnnotations(change.annotations(), def));
  if (!change.arguments().empty() && kind == pb::ITEM_KIND_TOOL) {
    METAMCP_RETURN_IF_ERROR(RewriteSchema(change.arguments(), def["inputSchema"], 0));
  } else if (!change.arguments().empty() && kind == pb::ITEM_KIND_PROMPT) {
    METAMCP_RETURN_IF_ERROR(RewritePromptArguments(change.arguments(), def));
  }
  return metamcp::json::DumpJson(def);
}

absl::Status CheckOverride(std::string_view qualified, const pb::ItemOverride& change) {
  const std::string where = StrCat("overrides[\"", qualified, "\"]");
  if (qualified.find('.') == std::string_view::npos) {
    return Invalid(StrCat(where, ": the key must be a qualified name, 'server.item'"));
  }
  if (!change.annotations().empty()) {
    const auto parsed = metamcp::json::ScanObject(change.annotations());
    if (!parsed.ok()) return Invalid(StrCat(where, ".annotations must be a JSON object"));
  }
  std::set<std::string> renamed;
  for (const auto& [name, rule] : change.arguments()) {
    const std::string at = StrCat(where, ".arguments[\"", name, "\"]");
    METAMCP_RETURN_IF_ERROR(CheckJson(StrCat(at, ".defaultValue"), rule.default_value()));
    METAMCP_RETURN_IF_ERROR(CheckJson(StrCat(at, ".fixedValue"), rule.fixed_value()));
    static const std::set<std::string> kCoercions = {"", "string", "integer", "number", "boolean"};
    if (kCoercions.count(rule.coerce()) == 0) {
      return Invalid(StrCat(at, ".coerce must be string, integer, number or boolean"));
    }
    if (!rule.rename().empty() && !renamed.insert(rule.rename()).second) {
      return Invalid(StrCat(at, ".rename: '", rule.rename(), "' is used twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace metamcp::catalog
