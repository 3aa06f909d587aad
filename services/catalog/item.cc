#include "services/catalog/item.h"

#include <nlohmann/json.hpp>

#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "common/mcp/headers.h"
#include "services/catalog/search_index.h"

namespace metamcp::catalog {
namespace {

using nlohmann::json;

// The member of a definition that holds the original name.
std::string_view NameMember(pb::ItemKind kind) {
  switch (kind) {
    case pb::ITEM_KIND_RESOURCE:
      return "uri";
    case pb::ITEM_KIND_TEMPLATE:
      return "uriTemplate";
    default:
      return "name";
  }
}

constexpr size_t kProblemBytesMax = 1024;

std::string StringOr(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

bool IsObjectOrAbsent(const json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_object();
}

std::string CheckSchema(const json& def, const char* key) {
  const json& schema = def[key];
  const auto type = schema.find("type");
  if (type != schema.end() && *type != "object") return StrCat(key, ".type must be \"object\"");
  if (!IsObjectOrAbsent(schema, "properties")) {
    return StrCat(key, ".properties must be an object");
  }
  const auto required = schema.find("required");
  if (required == schema.end()) return "";
  if (!required->is_array()) return StrCat(key, ".required must be an array");
  for (const json& name : *required) {
    if (!name.is_string()) return StrCat(key, ".required must hold strings");
  }
  return "";
}

std::string CheckTool(const json& def) {
  const auto input = def.find("inputSchema");
  if (input == def.end() || !input->is_object()) return "inputSchema must be an object";
  if (!IsObjectOrAbsent(def, "outputSchema")) return "outputSchema must be an object";
  if (!IsObjectOrAbsent(def, "annotations")) return "annotations must be an object";
  return CheckSchema(def, "inputSchema");
}

std::string CheckPrompt(const json& def) {
  const auto args = def.find("arguments");
  if (args == def.end()) return "";
  if (!args->is_array()) return "arguments must be an array";
  for (const json& arg : *args) {
    if (!arg.is_object() || StringOr(arg, "name").empty()) {
      return "every element of arguments must be an object with a name";
    }
  }
  return "";
}

std::string CheckShape(pb::ItemKind kind, std::string_view original, const json& def) {
  if (!def.is_object()) return "the definition must be an object";
  const std::string member(NameMember(kind));
  if (StringOr(def, member.c_str()) != original) {
    return StrCat("its member ", member, " must be the string that the list names it by");
  }
  for (const char* text : {"title", "description"}) {
    const auto it = def.find(text);
    if (it != def.end() && !it->is_string()) return StrCat(text, " must be a string");
  }
  if (kind == pb::ITEM_KIND_TOOL) return CheckTool(def);
  if (kind == pb::ITEM_KIND_PROMPT) return CheckPrompt(def);
  return "";
}

std::string CheckName(pb::ItemKind kind, std::string_view name, std::string_view clean) {
  const bool uri = kind == pb::ITEM_KIND_RESOURCE || kind == pb::ITEM_KIND_TEMPLATE;
  const size_t max = uri ? kUriBytesMax : kNameBytesMax;
  if (name.empty()) return "the name is empty";
  if (name.size() > max) return StrCat("the name is longer than ", max, " bytes");
  if (name != clean) return "the name is not UTF-8 text without control characters";
  return "";
}

// Tools with an x-mcp-header that is not allowed must not be offered over HTTP.
// Source: MCP 2026-07-28, server/tools.
std::string CheckParamHeaders(std::string_view definition) {
  if (definition.find("x-mcp-header") == std::string_view::npos) return "";
  const auto view = metamcp::json::ScanObject(definition);
  if (!view.ok()) return "";
  const auto headers = metamcp::mcp::ExtractParamHeaders(view->Raw("inputSchema"));
  return headers.ok() ? "" : std::string(Sv(headers.status().message()));
}

void ReadAnnotations(const json& def, ItemFacts* facts) {
  const auto it = def.find("annotations");
  if (it == def.end() || !it->is_object() || it->empty()) return;
  const auto flag = [&it](const char* key, bool fallback) {
    const auto member = it->find(key);
    return member != it->end() && member->is_boolean() ? member->get<bool>() : fallback;
  };
  facts->read_only = flag("readOnlyHint", false);
  facts->destructive = flag("destructiveHint", true);
  facts->idempotent = flag("idempotentHint", false);
  facts->open_world = flag("openWorldHint", true);
  facts->annotations = metamcp::json::DumpJson(*it);
}

uint64_t Hash64(std::string_view text) {
  const std::string digest = Sha256(text);
  uint64_t out = 0;
  for (int i = 0; i < 8; ++i) out = out << 8 | static_cast<unsigned char>(digest[i]);
  return out == 0 ? 1 : out;
}

SearchDoc MakeDoc(std::string_view slug, pb::ItemKind kind, std::string_view original,
                  const json& def) {
  SearchDocBuilder builder;
  builder.Add(original, 3.0f);
  builder.Add(slug, 1.0f);
  if (kind == pb::ITEM_KIND_RESOURCE || kind == pb::ITEM_KIND_TEMPLATE) {
    builder.Add(StringOr(def, "name"), 3.0f);
  }
  builder.Add(StringOr(def, "title"), 2.0f);
  builder.Add(StringOr(def, "description"), 1.0f);
  if (kind == pb::ITEM_KIND_TOOL) {
    const auto& schema = def["inputSchema"];
    const auto properties = schema.find("properties");
    if (properties != schema.end()) {
      for (const auto& [key, value] : properties->items()) builder.Add(key, 1.0f);
    }
  } else if (kind == pb::ITEM_KIND_PROMPT && def.contains("arguments")) {
    for (const json& arg : def["arguments"]) builder.Add(StringOr(arg, "name"), 1.0f);
  }
  return std::move(builder).Build();
}

}  // namespace

std::string StorableText(std::string_view text, size_t bytes_max) {
  std::string cut(text.substr(0, bytes_max));
  for (char& c : cut) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) c = '?';
  }
  auto clean = metamcp::json::JsonUnquote(metamcp::json::JsonQuote(cut));
  return clean.ok() ? *std::move(clean) : std::string("?");
}

std::string StorableName(std::string_view name) { return StorableText(name, kUriBytesMax); }

std::string_view KindName(pb::ItemKind kind) {
  switch (kind) {
    case pb::ITEM_KIND_TOOL:
      return "tool";
    case pb::ITEM_KIND_RESOURCE:
      return "resource";
    case pb::ITEM_KIND_TEMPLATE:
      return "template";
    case pb::ITEM_KIND_PROMPT:
      return "prompt";
    default:
      return "item";
  }
}

std::string ItemId(std::string_view upstream_id, pb::ItemKind kind, std::string_view original) {
  return ItemUuidV5(StrCat(upstream_id, "\n", KindName(kind), "\n", original));
}

AnalyzedItem AnalyzeItem(std::string_view upstream_id, std::string_view slug, pb::ItemKind kind,
                         std::string_view original_name, std::string_view definition,
                         std::string_view problem) {
  AnalyzedItem out;
  out.entry = std::make_shared<ItemEntry>();
  ItemEntry& entry = *out.entry;
  const std::string clean = StorableName(original_name);
  entry.item.set_upstream_id(std::string(upstream_id));
  entry.item.set_kind(kind);
  entry.item.set_original_name(clean);
  entry.item.set_id(ItemId(upstream_id, kind, clean));
  entry.item.set_fingerprint(Sha256Hex(definition));  // of the bytes, unless they prove valid
  entry.invalid = CheckName(kind, original_name, clean);
  if (entry.invalid.empty()) entry.invalid = StorableText(problem, kProblemBytesMax);
  if (!entry.invalid.empty()) return out;
  if (definition.size() > kDefinitionBytesMax) {
    entry.invalid = StrCat("the definition has ", definition.size(), " bytes; at most ",
                           kDefinitionBytesMax, " are accepted");
    return out;
  }
  const auto parsed = metamcp::json::ParseJson(definition, kDefinitionDepthMax);
  if (!parsed.ok()) {
    entry.invalid = StrCat("the definition is not valid JSON: ", Sv(parsed.status().message()));
    return out;
  }
  entry.invalid = CheckShape(kind, original_name, *parsed);
  if (entry.invalid.empty() && kind == pb::ITEM_KIND_TOOL) {
    entry.invalid = CheckParamHeaders(definition);
  }
  if (!entry.invalid.empty()) return out;
  entry.item.set_definition(std::string(definition));
  entry.item.set_fingerprint(Sha256Hex(metamcp::json::CanonicalJson(*parsed)));
  if (kind == pb::ITEM_KIND_TOOL) {
    ReadAnnotations(*parsed, &entry.facts);
    entry.facts.schema_hash = Hash64(metamcp::json::CanonicalJson((*parsed)["inputSchema"]));
  }
  out.doc = MakeDoc(slug, kind, original_name, *parsed);
  return out;
}

ItemText ReadItemText(std::string_view definition) {
  ItemText text;
  const auto view = metamcp::json::ScanObject(definition);
  if (!view.ok()) return text;
  text.title = view->String("title").value_or("");
  text.description = view->String("description").value_or("");
  return text;
}

}  // namespace metamcp::catalog
