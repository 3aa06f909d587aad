#include "services/workflow/definition/template.h"

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"

namespace metamcp::workflow {
namespace {

using Json = nlohmann::ordered_json;

bool IsNameStart(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool IsNamePart(char c) {
  return IsNameStart(c) || absl::ascii_isdigit(static_cast<unsigned char>(c));
}

void AddVariables(std::string_view expression, std::set<std::string>* out) {
  for (size_t i = 0; i + 1 < expression.size(); ++i) {
    if (expression[i] != '$' || !IsNameStart(expression[i + 1])) continue;
    size_t end = i + 1;
    while (end < expression.size() && IsNamePart(expression[end])) ++end;
    out->emplace(expression.substr(i + 1, end - i - 1));
    i = end - 1;
  }
}

bool HasExpression(const Json& value) {
  std::string_view inner;
  if (value.is_string()) {
    return IsExpression(value.get_ref<const std::string&>(), &inner);
  }
  if (!value.is_structured()) return false;
  for (const Json& member : value) {
    if (HasExpression(member)) return true;
  }
  return false;
}

// A JSON string is a jq string, but for "\(", which JSON cannot hold.
void AppendJq(const Json& value, Template* out) {
  std::string_view inner;
  if (value.is_string() && IsExpression(value.get_ref<const std::string&>(), &inner)) {
    AddVariables(inner, &out->variables);
    // The line break ends a comment that the expression may end with.
    out->text += StrCat("_one(", inner, "\n)");
    return;
  }
  if (!HasExpression(value)) {
    out->text += json::DumpJson(value);
    return;
  }
  const bool object = value.is_object();
  out->text += object ? "{" : "[";
  bool first = true;
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (!first) out->text += ",";
    first = false;
    if (object) out->text += json::JsonQuote(it.key()) + ":";
    out->text += "(";
    AppendJq(*it, out);
    out->text += ")";
  }
  out->text += object ? "}" : "]";
}

}  // namespace

bool IsExpression(std::string_view text, std::string_view* inner) {
  while (!text.empty() && absl::ascii_isspace(static_cast<unsigned char>(text.front()))) {
    text.remove_prefix(1);
  }
  while (!text.empty() && absl::ascii_isspace(static_cast<unsigned char>(text.back()))) {
    text.remove_suffix(1);
  }
  if (text.size() < 3 || !text.starts_with("${") || text.back() != '}') return false;
  *inner = text.substr(2, text.size() - 3);
  return true;
}

Template CompileValue(const Json& value) {
  Template out;
  out.constant = !HasExpression(value);
  if (out.constant) {
    out.text = json::DumpJson(value);
    return out;
  }
  out.text.clear();
  AppendJq(value, &out);
  return out;
}

Template CompileExpression(std::string_view text) {
  std::string_view inner = text;
  (void)IsExpression(text, &inner);
  Template out;
  out.constant = false;
  AddVariables(inner, &out.variables);
  out.text = StrCat("_one(", inner, "\n)");
  return out;
}

Template CompileFilter(const Json& value) {
  if (value.is_string()) return CompileExpression(value.get_ref<const std::string&>());
  return CompileValue(value);
}

Template CompileUri(std::string_view text) {
  std::string_view inner;
  if (IsExpression(text, &inner)) return CompileExpression(text);
  std::string jq;
  std::string literal;
  const auto flush = [&] {
    if (!literal.empty()) jq += StrCat(jq.empty() ? "" : " + ", json::JsonQuote(literal));
    literal.clear();
  };
  bool constant = true;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t end = text[i] == '{' ? text.find('}', i) : std::string_view::npos;
    if (end == std::string_view::npos) {
      literal += text[i];
      continue;
    }
    constant = false;
    flush();
    jq += StrCat(jq.empty() ? "\"\" + " : " + ", "(.[",
                 json::JsonQuote(text.substr(i + 1, end - i - 1)),
                 "] | if . == null then \"\" else (tostring | @uri) end)");
    i = end;
  }
  flush();
  Template out;
  out.constant = constant;
  out.text = constant ? json::JsonQuote(text) : jq;
  return out;
}

std::string MakeProgram(const Template& body, const std::set<std::string>& bound) {
  std::string program =
      "def _one(f): [limit(2; f)] | if length == 0 then null elif length == 1 then .[0] else "
      "error(\"the expression gives several values; put it in [ ]\") end; ";
  for (const std::string& name : bound) {
    if (body.variables.count(name) > 0) program += StrCat(".v.", name, " as $", name, " | ");
  }
  return StrCat(program, ".d | (", body.text, ")");
}

}  // namespace metamcp::workflow
