#include "services/ai/plan/schema_type.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/base/strings.h"
#include "services/ai/plan/draft.h"

namespace metamcp::ai {
namespace {

std::string Lower(std::string_view text) {
  std::string out(text);
  absl::AsciiStrToLower(&out);
  return out;
}

bool Takes(const Tool& tool, Role role, bool many) {
  const auto properties = tool.input.find("properties");
  if (properties == tool.input.end() || !properties->is_object()) return false;
  for (auto it = properties->begin(); it != properties->end(); ++it) {
    if (!it->is_object()) continue;
    const Json& inner = Inner(*it);
    const bool list = TypeOf(inner) == "array";
    if (list != many) continue;
    Role own = RoleOf(it.key(), inner);
    if (own == Role::kFolder) own = Role::kPath;
    if (own == role) return true;
  }
  return false;
}

}  // namespace

std::string TypeOf(const Json& schema) {
  if (!schema.is_object()) return "";
  const auto it = schema.find("type");
  if (it != schema.end() && it->is_string()) return it->get<std::string>();
  if (it != schema.end() && it->is_array()) {
    for (const Json& one : *it) {
      if (one.is_string() && one != "null") return one.get<std::string>();
    }
  }
  for (const char* key : {"anyOf", "oneOf"}) {
    const auto list = schema.find(key);
    if (list == schema.end() || !list->is_array()) continue;
    for (const Json& one : *list) {
      const std::string type = TypeOf(one);
      if (!type.empty() && type != "null") return type;
    }
  }
  if (schema.contains("properties")) return "object";
  if (schema.contains("enum")) return "string";
  return "";
}

const Json& Inner(const Json& schema) {
  for (const char* key : {"anyOf", "oneOf"}) {
    const auto list = schema.find(key);
    if (list == schema.end() || !list->is_array()) continue;
    for (const Json& one : *list) {
      if (one.is_object() && TypeOf(one) != "null" && !TypeOf(one).empty()) return one;
    }
  }
  return schema;
}

Json NumberOf(const std::string& text, const std::string& type) {
  const Json value = Json::parse(text, nullptr, false);
  if (!value.is_number()) return nullptr;
  if (type == "integer" && !value.is_number_integer()) return nullptr;
  return value;
}

bool TakesOne(const Tool& tool, Role role) { return Takes(tool, role, false); }
bool TakesMany(const Tool& tool, Role role) { return Takes(tool, role, true); }

Json EnumNamed(const Json& schema, const Clause& clause) {
  const std::vector<std::string> words = Words(clause.text);
  for (const Json& one : schema["enum"]) {
    if (!one.is_string()) continue;
    const std::vector<std::string> parts = Words(one.get<std::string>());
    const bool all = !parts.empty() && std::all_of(parts.begin(), parts.end(), [&](auto& part) {
      return std::find(words.begin(), words.end(), part) != words.end() && !IsStopWord(part);
    });
    if (all) return one;
  }
  return nullptr;
}

bool FlagNamed(const std::string& name, const Clause& clause) {
  const std::vector<std::string> parts = Words(name);
  const std::vector<std::string> words = Words(clause.text);
  return !parts.empty() && std::all_of(parts.begin(), parts.end(), [&](const std::string& part) {
    return std::find(words.begin(), words.end(), part) != words.end();
  });
}

std::string WordAfter(const std::string& text, const std::vector<std::string>& labels) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < text.size();) {
    const size_t end = std::min(text.find(' ', i), text.size());
    if (end > i) parts.push_back(text.substr(i, end - i));
    i = end + 1;
  }
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    const std::string word = Stem(Lower(parts[i]));
    if (std::find(labels.begin(), labels.end(), word) == labels.end()) continue;
    size_t next = i + 1;
    while (next < parts.size() && (parts[next] == "named" || parts[next] == "called")) ++next;
    if (next >= parts.size() || IsStopWord(Lower(parts[next]))) continue;
    if (next == i + 1 && ActionOf(Lower(parts[next])) != Action::kNone) continue;
    if (parts[next].find("${") != std::string::npos || LooksSecret(parts[next])) continue;
    return parts[next];
  }
  return "";
}

std::string TextAfter(const std::string& text, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) {
    const size_t at = text.find(StrCat(" ", word, " "));
    if (at == std::string::npos) continue;
    const std::string rest = text.substr(at + word.size() + 2);
    if (rest.find("${") == std::string::npos && !LooksSecret(rest)) return rest;
  }
  return "";
}

}  // namespace metamcp::ai
