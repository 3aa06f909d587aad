// What a step runs for: files that are named or asked for, what an earlier step listed.
#include "absl/strings/ascii.h"
#include "common/base/strings.h"
#include "services/ai/plan/draft.h"

namespace metamcp::ai {
namespace {

bool IsPageNoun(std::string_view noun) {
  return noun == "url" || noun == "page" || noun == "website" || noun == "link" || noun == "site";
}

std::string Plural(const std::string& noun) {
  if (noun.ends_with("y")) return noun.substr(0, noun.size() - 1) + "ies";
  if (noun.ends_with("s") || noun.ends_with("x") || noun.ends_with("ch")) return noun + "es";
  return noun + "s";
}

std::string ElementOf(const Json& list) {
  const auto items = list.find("items");
  if (items == list.end() || !items->is_object()) return "";
  const auto properties = items->find("properties");
  if (properties == items->end() || !properties->is_object()) return "";
  for (const char* name : {"path", "file", "url", "uri", "id", "name", "title"}) {
    if (properties->contains(name)) return StrCat("[", Quoted(name), "]");
  }
  return "";
}

// What an earlier step listed.
std::string FromList(const Draft& draft) {
  for (auto it = draft.made.rbegin(); it != draft.made.rend(); ++it) {
    if (it->tool == nullptr || it->loops) continue;
    const bool lists = it->action == Action::kList || it->action == Action::kSearch;
    if (!lists) continue;
    const auto properties = it->tool->output.find("properties");
    if (properties != it->tool->output.end() && properties->is_object()) {
      for (auto one = properties->begin(); one != properties->end(); ++one) {
        const auto type = one->is_object() ? one->find("type") : one->end();
        if (one->is_object() && type != one->end() && *type == "array") {
          const std::string each = ElementOf(*one);
          return StrCat("[steps.", it->id, "[", Quoted(one.key()), "][]", each, "]");
        }
      }
    }
    return StrCat("[", draft.TextOf(*it, false), " | split(\"\\n\")[] | select(length > 0)]");
  }
  return "";
}

void SetCollection(Draft* draft, const Clause& clause, const std::string& noun, Role role) {
  if (draft->collection && draft->collection->noun == noun) return;
  Collection collection;
  collection.noun = noun;
  collection.role = role;
  Json list = Json::array();
  const Literal::Kind kind = role == Role::kUrl ? Literal::Kind::kUrl : Literal::Kind::kPath;
  for (const Literal& literal : clause.literals) {
    const bool plain = literal.text.find("${") == std::string::npos;
    if (literal.kind == kind && role != Role::kTitle && plain) list.push_back(literal.text);
  }
  if (list.size() > 1) {
    collection.expression = list.dump();
  } else if (const std::string from = FromList(*draft); !from.empty()) {
    collection.expression = from;
  } else {
    Json schema = Json::object();
    schema["type"] = "array";
    schema["items"]["type"] = "string";
    const Json asked = draft->Ask(Plural(Identifier(noun)), schema);
    const std::string text = asked.get<std::string>();
    collection.expression = text.substr(2, text.size() - 3);
  }
  draft->collection = std::move(collection);
}

}  // namespace

bool IsFileNoun(std::string_view noun) {
  return noun == "file" || noun == "document" || noun == "log" || noun == "script" ||
         noun == "image" || noun == "folder" || noun == "directory" || noun == "workbook";
}

std::string Identifier(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c))) {
      out += absl::ascii_tolower(static_cast<unsigned char>(c));
    } else if (!out.empty() && out.back() != '_') {
      out += '_';
    }
    if (out.size() == 32) break;
  }
  while (!out.empty() && out.back() == '_') out.pop_back();
  if (out.empty() || absl::ascii_isdigit(static_cast<unsigned char>(out[0]))) {
    out.insert(0, "step_");
  }
  return out;
}

bool Loops(Draft* draft, const Clause& clause, const Tool& tool) {
  std::string noun = !clause.each.empty() ? clause.each : clause.many;
  size_t paths = 0, urls = 0;
  for (const Literal& literal : clause.literals) {
    if (literal.kind == Literal::Kind::kPath) ++paths;
    if (literal.kind == Literal::Kind::kUrl) ++urls;
  }
  const bool moves = TakesOne(tool, Role::kTarget);
  if (noun.empty() && paths > 1 && !moves && TakesOne(tool, Role::kPath)) noun = "file";
  if (noun.empty() && urls > 1) noun = "page";
  if (noun.empty()) {
    // "read them": as the step before.
    const bool again = clause.refers_back && draft->collection && !draft->made.empty() &&
                       draft->made.back().loops && clause.work == Clause::Work::kTool &&
                       TakesOne(tool, draft->collection->role);
    return again;
  }
  const Role role = IsFileNoun(noun) ? Role::kPath : IsPageNoun(noun) ? Role::kUrl : Role::kTitle;
  // One call takes them all.
  if (clause.each.empty() && TakesMany(tool, role) && !TakesOne(tool, role)) {
    SetCollection(draft, clause, noun, role);
    return false;
  }
  if (clause.each.empty() && !TakesOne(tool, role)) return false;
  SetCollection(draft, clause, noun, role);
  return true;
}

}  // namespace metamcp::ai
