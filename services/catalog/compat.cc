#include "services/catalog/compat.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::catalog {
namespace {

using nlohmann::json;
constexpr int kDepthMax = 16;

const json* Member(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

std::set<std::string> Strings(const json* value) {
  std::set<std::string> out;
  if (value == nullptr) return out;
  if (value->is_string()) out.insert(value->get<std::string>());
  if (value->is_array()) {
    for (const json& v : *value) {
      if (v.is_string()) out.insert(v.get<std::string>());
    }
  }
  return out;
}

// Whether every value of the types `narrow` is one of the types `wide`. Empty means any.
bool TypesWithin(const std::set<std::string>& narrow, const std::set<std::string>& wide) {
  if (wide.empty()) return true;
  if (narrow.empty()) return false;
  return std::all_of(narrow.begin(), narrow.end(), [&wide](const std::string& type) {
    return wide.count(type) > 0 || (type == "integer" && wide.count("number") > 0);
  });
}

// Whether every value that enum/const of `narrow` allows is allowed by `wide`'s.
bool EnumWithin(const json& narrow, const json& wide) {
  const json* wide_enum = Member(wide, "enum");
  if (wide_enum == nullptr || !wide_enum->is_array()) return true;
  const json* narrow_enum = Member(narrow, "enum");
  if (narrow_enum == nullptr || !narrow_enum->is_array()) return false;
  return std::all_of(narrow_enum->begin(), narrow_enum->end(), [wide_enum](const json& value) {
    return std::find(wide_enum->begin(), wide_enum->end(), value) != wide_enum->end();
  });
}

bool IsClosed(const json& schema) {
  const json* additional = Member(schema, "additionalProperties");
  return additional != nullptr && additional->is_boolean() && !additional->get<bool>();
}

// `out` false: callers send values of the schema, it must not accept less. True: callers receive
// them, it must not give up anything.
std::string Compare(const json& before, const json& after, const std::string& path, bool output,
                    int depth);

std::string CompareProperties(const json& before, const json& after, const std::string& path,
                              bool output, int depth) {
  const json* old_props = Member(before, "properties");
  const json* new_props = Member(after, "properties");
  if (old_props == nullptr || !old_props->is_object()) return "";
  for (const auto& [name, schema] : old_props->items()) {
    const std::string at = path.empty() ? name : StrCat(path, ".", name);
    const json* now = new_props == nullptr ? nullptr : Member(*new_props, name.c_str());
    if (now == nullptr) {
      return StrCat(output ? "output property '" : "argument '", at, "' was removed");
    }
    std::string found = Compare(schema, *now, at, output, depth + 1);
    if (!found.empty()) return found;
  }
  return "";
}

std::string CompareRequired(const json& before, const json& after, const std::string& path,
                            bool output) {
  const auto more = Strings(Member(output ? before : after, "required"));
  const auto less = Strings(Member(output ? after : before, "required"));
  for (const std::string& name : more) {
    if (less.count(name) > 0) continue;
    const std::string at = path.empty() ? name : StrCat(path, ".", name);
    return output ? StrCat("output property '", at, "' is no longer always there")
                  : StrCat("argument '", at, "' is now required");
  }
  return "";
}

std::string Compare(const json& before, const json& after, const std::string& path, bool output,
                    int depth) {
  if (depth > kDepthMax || before == after) return "";
  const std::string what = path.empty() ? (output ? "the output" : "the input") : path;
  const auto old_types = Strings(Member(before, "type"));
  const auto new_types = Strings(Member(after, "type"));
  const bool types_fit =
      output ? TypesWithin(new_types, old_types) : TypesWithin(old_types, new_types);
  if (!types_fit) return StrCat("the type of '", what, "' changed");
  const bool enum_fits = output ? EnumWithin(after, before) : EnumWithin(before, after);
  if (!enum_fits) return StrCat("the allowed values of '", what, "' changed");
  if (!output && IsClosed(after) && !IsClosed(before)) {
    return StrCat("'", what, "' no longer takes additional properties");
  }
  std::string found = CompareProperties(before, after, path, output, depth);
  if (found.empty()) found = CompareRequired(before, after, path, output);
  const json* old_items = Member(before, "items");
  const json* new_items = Member(after, "items");
  if (found.empty() && old_items != nullptr && new_items != nullptr) {
    found = Compare(*old_items, *new_items, path + "[]", output, depth + 1);
  }
  return found;
}

std::string CompareTools(const json& before, const json& after) {
  std::string found = Compare(before["inputSchema"], after["inputSchema"], "", false, 0);
  if (!found.empty()) return found;
  const json* old_output = Member(before, "outputSchema");
  if (old_output == nullptr) return "";
  const json* new_output = Member(after, "outputSchema");
  if (new_output == nullptr) return "the output schema was removed";
  return Compare(*old_output, *new_output, "", true, 0);
}

const json* FindArgument(const json& def, const std::string& name) {
  const json* args = Member(def, "arguments");
  if (args == nullptr || !args->is_array()) return nullptr;
  for (const json& arg : *args) {
    const json* own = Member(arg, "name");
    if (own != nullptr && *own == name) return &arg;
  }
  return nullptr;
}

bool IsRequired(const json& argument) {
  const json* required = Member(argument, "required");
  return required != nullptr && *required == true;
}

std::string ComparePrompts(const json& before, const json& after) {
  if (const json* args = Member(before, "arguments"); args != nullptr) {
    for (const json& arg : *args) {
      const std::string name = arg["name"].get<std::string>();
      if (FindArgument(after, name) == nullptr) return StrCat("argument '", name, "' was removed");
    }
  }
  if (const json* args = Member(after, "arguments"); args != nullptr) {
    for (const json& arg : *args) {
      const std::string name = arg["name"].get<std::string>();
      const json* earlier = FindArgument(before, name);
      if (IsRequired(arg) && (earlier == nullptr || !IsRequired(*earlier))) {
        return StrCat("argument '", name, "' is now required");
      }
    }
  }
  return "";
}

}  // namespace

std::string FindBreakingChange(pb::ItemKind kind, std::string_view old_definition,
                               std::string_view new_definition) {
  if (kind != pb::ITEM_KIND_TOOL && kind != pb::ITEM_KIND_PROMPT) return "";
  const auto before = metamcp::json::ParseJson(old_definition, kDefinitionDepthMax);
  const auto after = metamcp::json::ParseJson(new_definition, kDefinitionDepthMax);
  if (!before.ok() || !after.ok()) return "";
  return kind == pb::ITEM_KIND_TOOL ? CompareTools(*before, *after)
                                    : ComparePrompts(*before, *after);
}

}  // namespace metamcp::catalog
