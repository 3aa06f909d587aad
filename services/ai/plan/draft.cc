#include "services/ai/plan/draft.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "common/base/strings.h"
#include "common/json/scan.h"

namespace metamcp::ai {
namespace {

// Members of results that carry the text, the likelier first.
constexpr std::string_view kTextMembers[] = {"content", "text", "result",  "output",
                                             "message", "data", "summary", "markdown"};

// The member of a tool's structured result that is its text; empty where it has none.
std::string TextMember(const Tool* tool) {
  if (tool == nullptr) return "";
  const auto properties = tool->output.find("properties");
  if (properties == tool->output.end() || !properties->is_object()) return "";
  for (const std::string_view name : kTextMembers) {
    const auto it = properties->find(std::string(name));
    if (it == properties->end() || !it->is_object()) continue;
    const auto type = it->find("type");
    if (type != it->end() && *type == "string") return std::string(name);
  }
  return "";
}

// jq: whether a line counts.
std::string LineTest(const std::string& filter) {
  if (filter.empty()) return "length > 0";
  return StrCat("ascii_downcase | contains(", Quoted(absl::AsciiStrToLower(filter)), ")");
}

}  // namespace

std::string Expression(std::string_view jq) { return StrCat("${", jq, "}"); }

std::string Quoted(std::string_view text) { return json::JsonQuote(text); }

std::string InputName(const std::string& name, const Clause& clause, const Tool& tool) {
  std::string input = absl::AsciiStrToLower(name);
  for (char& c : input) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  if (input.empty() || absl::ascii_isdigit(static_cast<unsigned char>(input[0]))) {
    input = StrCat("value_", input);
  }
  // A word of the clause says which path, which name.
  static const std::set<std::string> vague = {"path", "name",  "content", "text",     "title",
                                              "id",   "value", "data",    "filepath", "file_path"};
  if (vague.count(input) > 0) {
    for (const std::string& word : clause.words) {
      const bool plain = std::all_of(word.begin(), word.end(), [](char c) {
        return absl::ascii_isalpha(static_cast<unsigned char>(c));
      });
      if (!plain || tool.server.find(word) != std::string::npos || word == "file") continue;
      input = StrCat(word, "_", input);
      break;
    }
  }
  return input;
}

Json Draft::Ask(const std::string& name, const Json& schema) {
  Json property = Json::object();
  for (const char* key :
       {"type", "description", "enum", "items", "default", "minimum", "maximum"}) {
    const auto it = schema.is_object() ? schema.find(key) : schema.end();
    if (!schema.is_object() || it == schema.end()) continue;
    // References would lead nowhere outside their schema.
    if (it->dump().find("$ref") != std::string::npos) continue;
    property[key] = *it;
  }
  if (property.contains("description") && property["description"].is_string()) {
    property["description"] = property["description"].get<std::string>().substr(0, 300);
  }
  std::string key = name;
  for (int n = 2; plan.input.contains(key) && plan.input[key] != property; ++n) {
    key = StrCat(name, "_", n);
  }
  plan.input[key] = std::move(property);
  return Expression(StrCat("input.", key));
}

std::string Draft::TextOf(const Made& step, bool in_loop) const {
  std::string from = StrCat("steps.", step.id);
  const std::string member = TextMember(step.tool);
  if (step.loops && !in_loop) {
    const std::string each = member.empty()
                                 ? std::string("(if type == \"string\" then . else tojson end)")
                                 : StrCat("(.", member, " // \"\")");
    return StrCat("([", from, "[] | ", each, "] | join(\"\\n\"))");
  }
  if (step.loops) from += "[index]";
  if (!member.empty()) return StrCat("(", from, ".", member, " // \"\")");
  return StrCat("(", from, " | if type == \"string\" then . else tojson end)");
}

std::string Draft::LinesOf(const Made& step, bool in_loop) const {
  return StrCat("[", TextOf(step, in_loop), " | split(\"\\n\")[] | select(", LineTest(step.filter),
                ")]");
}

std::string Draft::MemberOf(const std::string& name, bool in_loop) const {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
  });
  for (auto it = made.rbegin(); plain && it != made.rend(); ++it) {
    if (it->tool == nullptr || (it->loops && !in_loop)) continue;
    const auto properties = it->tool->output.find("properties");
    if (properties == it->tool->output.end() || !properties->contains(name)) continue;
    return StrCat("steps.", it->id, it->loops ? "[index]" : "", ".", name);
  }
  return "";
}

std::string Draft::SummaryExpression() const {
  std::string out;
  for (const Made& one : made) {
    const bool gives = one.tool == nullptr || one.tool->read_only || OnlyReads(one.action);
    if (!gives) continue;
    std::string part;
    if (one.loops && collection) {
      const std::string member = TextMember(one.tool);
      const std::string text = member.empty()
                                   ? std::string(" | if type == \"string\" then . else tojson end")
                                   : StrCat(".", member, " // \"\"");
      const std::string round = StrCat("(steps.", one.id, "[$i]", text, ")");
      const std::string what = one.filter.empty() ? "lines" : StrCat("lines with ", one.filter);
      part = StrCat("([range(0; (", collection->expression, " | length)) as $i | ([", round,
                    " | split(\"\\n\")[] | select(", LineTest(one.filter), ")]) as $found | (",
                    collection->expression,
                    "[$i] | tostring) + \": \" + ($found | length | tostring) + ",
                    Quoted(StrCat(" ", what, "\n")),
                    " + ($found[:20] | map(\"  \" + .) | join(\"\\n\"))]", " | join(\"\\n\"))");
    } else if (one.filter.empty()) {
      part = TextOf(one, false);
    } else {
      part = StrCat("(", LinesOf(one, false), " | join(\"\\n\"))");
    }
    out += StrCat(out.empty() ? "" : " + \"\\n\" + ", part);
  }
  return out;
}

const Made* Draft::Source() const {
  for (auto it = made.rbegin(); it != made.rend(); ++it) {
    const bool gives = it->tool == nullptr || it->tool->read_only || OnlyReads(it->action);
    if (gives) return &*it;
  }
  return nullptr;
}

}  // namespace metamcp::ai
