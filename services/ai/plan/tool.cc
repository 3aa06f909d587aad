#include "services/ai/plan/tool.h"

#include <algorithm>
#include <set>

#include "common/base/status_macros.h"
#include "common/json/dom.h"

namespace metamcp::ai {
namespace {

constexpr size_t kWordsMax = 250;
constexpr int kInlineDepthMax = 12;

std::string TextAt(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

bool FlagAt(const Json& object, const char* key, bool otherwise) {
  const auto it = object.find(key);
  return it != object.end() && it->is_boolean() ? it->get<bool>() : otherwise;
}

bool Has(const std::vector<std::string>& words, std::initializer_list<std::string_view> any) {
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return std::find(any.begin(), any.end(), word) != any.end();
  });
}

// Of its name, else of the first verb in what it says of itself.
Action ActionOfTool(const Tool& tool) {
  for (const std::string& word : tool.name_words) {
    const Action action = ActionOf(word);
    if (action != Action::kNone) return action;
  }
  const size_t first = std::min<size_t>(tool.text_words.size(), 12);
  for (size_t i = 0; i < first; ++i) {
    std::string word = tool.text_words[i];
    if (word == "return") word = "get";
    const Action action = ActionOf(word);
    if (action != Action::kNone) return action;
  }
  return Action::kNone;
}

void AddArgumentWords(const Json& schema, int depth, std::set<std::string>* seen,
                      std::vector<std::string>* out) {
  if (!schema.is_object() || depth > 3 || out->size() > kWordsMax) return;
  const auto properties = schema.find("properties");
  if (properties != schema.end() && properties->is_object()) {
    for (auto it = properties->begin(); it != properties->end(); ++it) {
      for (std::string& word : Words(it.key())) {
        if (seen->insert(word).second) out->push_back(std::move(word));
      }
      AddArgumentWords(*it, depth + 1, seen, out);
    }
  }
  const auto items = schema.find("items");
  if (items != schema.end()) AddArgumentWords(*items, depth + 1, seen, out);
}

// Puts what "#/…" references name in their place, to a depth at which cycles end.
Json Inlined(const Json& value, const Json& root, int depth) {
  if (!value.is_structured() || depth > kInlineDepthMax) return value;
  if (value.is_object()) {
    const auto ref = value.find("$ref");
    if (ref != value.end() && ref->is_string() && depth < kInlineDepthMax) {
      const std::string text = ref->get<std::string>();
      if (text.starts_with("#/")) {
        const Json* at = &root;
        for (size_t begin = 2; at != nullptr && begin <= text.size();) {
          const size_t end = std::min(text.find('/', begin), text.size());
          const auto it = at->is_object() ? at->find(text.substr(begin, end - begin)) : at->end();
          at = at->is_object() && it != at->end() ? &*it : nullptr;
          begin = end + 1;
        }
        if (at != nullptr && at->is_object()) return Inlined(*at, root, depth + 2);
      }
    }
    Json out = Json::object();
    for (auto it = value.begin(); it != value.end(); ++it) {
      out[it.key()] = Inlined(*it, root, depth + 1);
    }
    return out;
  }
  Json out = Json::array();
  for (const Json& one : value) out.push_back(Inlined(one, root, depth + 1));
  return out;
}

bool IsType(const Json& schema, std::string_view type) {
  const auto it = schema.find("type");
  if (it == schema.end()) return false;
  if (it->is_string()) return it->get_ref<const std::string&>() == type;
  return it->is_array() && std::any_of(it->begin(), it->end(), [&](const Json& one) {
           return one.is_string() && one.get_ref<const std::string&>() == type;
         });
}

}  // namespace

bool Tool::Requires(std::string_view argument) const {
  const auto list = input.find("required");
  return list != input.end() && list->is_array() &&
         std::any_of(list->begin(), list->end(), [&](const Json& one) {
           return one.is_string() && one.get_ref<const std::string&>() == argument;
         });
}

std::string_view Tool::effect() const {
  if (read_only) return "reads";
  return destructive ? "may destroy" : "changes";
}

absl::StatusOr<Tool> MakeTool(std::string_view qualified_name, std::string_view definition) {
  METAMCP_ASSIGN_OR_RETURN(const Json json, json::ParseOrderedJson(definition));
  Tool tool;
  tool.name = std::string(qualified_name);
  tool.server = tool.name.substr(0, tool.name.find('.'));
  tool.title = TextAt(json, "title");
  tool.description = TextAt(json, "description");
  if (json.contains("inputSchema") && json["inputSchema"].is_object()) {
    tool.input = Inlined(json["inputSchema"], json["inputSchema"], 0);
  }
  if (json.contains("outputSchema") && json["outputSchema"].is_object()) {
    tool.output = Inlined(json["outputSchema"], json["outputSchema"], 0);
  }
  const Json hints = json.contains("annotations") && json["annotations"].is_object()
                         ? json["annotations"]
                         : Json::object();
  tool.read_only = FlagAt(hints, "readOnlyHint", false);
  tool.destructive = !tool.read_only && FlagAt(hints, "destructiveHint", true);
  tool.name_words = Words(std::string_view(tool.name).substr(tool.server.size()));
  tool.text_words = Words(tool.title);
  for (std::string& word : Words(std::string_view(tool.description).substr(0, 2000))) {
    if (tool.text_words.size() == kWordsMax) break;
    tool.text_words.push_back(std::move(word));
  }
  std::set<std::string> seen;
  AddArgumentWords(tool.input, 0, &seen, &tool.input_words);
  tool.action = ActionOfTool(tool);
  return tool;
}

Role RoleOf(std::string_view name, const Json& schema) {
  const std::vector<std::string> words = Words(name);
  if (IsType(schema, "boolean")) return Role::kFlag;
  if (IsType(schema, "integer") || IsType(schema, "number")) return Role::kNumber;
  if (Has(words, {"timezone", "zone", "tz"})) return Role::kZone;
  if (Has(words, {"url", "uri", "link", "href"})) return Role::kUrl;
  const bool place = Has(words, {"path", "file", "filename", "filepath", "source", "src"});
  if (Has(words, {"destination", "dest", "target", "output"}) && (place || words.size() == 1)) {
    return Role::kTarget;
  }
  if (Has(words, {"dir", "directory", "folder", "cwd", "repo", "root"})) return Role::kFolder;
  if (place && !Has(words, {"content"})) return Role::kPath;
  if (Has(words, {"query", "pattern", "search", "keyword", "term", "regex", "filter", "sql",
                  "expression", "glob"})) {
    return Role::kQuery;
  }
  if (Has(words, {"content", "text", "body", "message", "observation", "data", "note",
                  "description", "value", "markdown", "thought", "summary", "input", "comment"})) {
    return Role::kContent;
  }
  if (Has(words, {"date", "day", "since", "until", "after", "before", "timestamp"})) {
    return Role::kDate;
  }
  if (Has(words, {"time"})) return Role::kTime;
  if (Has(words, {"revision", "commit", "ref", "sha", "branch", "tag", "base"})) return Role::kRef;
  if (Has(words, {"cell", "range"})) return Role::kCells;
  if (Has(words, {"type", "kind", "category", "mode", "format"})) return Role::kKind;
  if (Has(words, {"name", "title", "subject", "key", "id", "label", "from", "to"})) {
    return Role::kTitle;
  }
  return Role::kOther;
}

}  // namespace metamcp::ai
