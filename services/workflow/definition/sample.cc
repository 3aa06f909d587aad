#include "services/workflow/definition/sample.h"

#include <nlohmann/json.hpp>

#include "common/json/dom.h"

namespace metamcp::workflow {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDepthMax = 8;

std::string TypeOf(const Json& schema) {
  const auto it = schema.find("type");
  if (it != schema.end() && it->is_string()) return it->get<std::string>();
  if (it != schema.end() && it->is_array()) {
    for (const Json& one : *it) {
      if (one.is_string() && one != "null") return one.get<std::string>();
    }
  }
  return schema.contains("properties") ? "object" : schema.contains("items") ? "array" : "";
}

Json Sample(const Json& schema, int depth) {
  if (!schema.is_object() || depth > kDepthMax) return nullptr;
  for (const char* named : {"const", "default"}) {
    if (schema.contains(named)) return schema[named];
  }
  for (const char* list : {"examples", "enum"}) {
    const auto it = schema.find(list);
    if (it != schema.end() && it->is_array() && !it->empty()) return (*it)[0];
  }
  for (const char* choice : {"oneOf", "anyOf", "allOf"}) {
    const auto it = schema.find(choice);
    if (it != schema.end() && it->is_array() && !it->empty()) return Sample((*it)[0], depth + 1);
  }
  const std::string type = TypeOf(schema);
  if (type == "object") {
    Json out = Json::object();
    const auto it = schema.find("properties");
    if (it == schema.end() || !it->is_object()) return out;
    for (auto member = it->begin(); member != it->end(); ++member) {
      out.get_ref<Json::object_t&>().emplace_back(member.key(), Sample(*member, depth + 1));
    }
    return out;
  }
  if (type == "array") {
    Json out = Json::array();
    if (schema.contains("items")) out.push_back(Sample(schema["items"], depth + 1));
    return out;
  }
  if (type == "string") return "";
  if (type == "boolean") return false;
  if (type == "integer" || type == "number") {
    const auto least = schema.find("minimum");
    return least != schema.end() && least->is_number() ? *least : Json(0);
  }
  return nullptr;
}

}  // namespace

std::string SampleOf(std::string_view schema) {
  const auto parsed = json::ParseOrderedJson(schema);
  if (!parsed.ok() || !parsed->is_object()) return "";
  return json::DumpJson(Sample(*parsed, 0));
}

}  // namespace metamcp::workflow
