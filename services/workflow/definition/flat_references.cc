#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "services/workflow/definition/reader.h"

namespace metamcp::workflow {
namespace {

bool IsIdStart(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool IsIdPart(char c) { return IsIdStart(c) || absl::ascii_isdigit(static_cast<unsigned char>(c)); }
std::string Expression(std::string_view jq) { return StrCat("${ ", jq, " }"); }

// `input`, `steps` and `item` as the flat form has them, in the words of the compiled form.
std::string RewriteExpression(std::string_view text, std::set<std::string>* used) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '"') {
      const size_t begin = i++;
      while (i < text.size() && text[i] != '"') i += text[i] == '\\' ? 2 : 1;
      i = std::min(i + 1, text.size());
      out += text.substr(begin, i - begin);
      continue;
    }
    const bool fresh = i == 0 || !(IsIdPart(text[i - 1]) || text[i - 1] == '.' ||
                                   text[i - 1] == '$' || text[i - 1] == '@');
    if (!fresh || !IsIdStart(text[i])) {
      out += text[i++];
      continue;
    }
    size_t end = i;
    while (end < text.size() && IsIdPart(text[end])) ++end;
    const std::string_view word = text.substr(i, end - i);
    if (word == "input") {
      out += "$workflow.input";
    } else if (word == "item" || word == "index") {
      out += StrCat("$", word);
    } else if (word == "steps") {
      out += "$context.steps";
      size_t id_end = end + 1;
      while (id_end < text.size() && IsIdPart(text[id_end])) ++id_end;
      if (end < text.size() && text[end] == '.' && used != nullptr) {
        used->emplace(text.substr(end + 1, id_end - end - 1));
      }
    } else {
      out += word;
    }
    i = end;
  }
  return out;
}

// Expressions may stand inside text, too.
Json RewriteText(std::string_view text, std::set<std::string>* used) {
  std::string_view inner;
  if (IsExpression(text, &inner) && !absl::StrContains(Av(inner), "${")) {
    return Json(Expression(RewriteExpression(inner, used)));
  }
  if (!absl::StrContains(Av(text), "${")) return Json(std::string(text));
  std::string jq = "\"";
  while (!text.empty()) {
    const size_t begin = text.find("${");
    const size_t end = begin == std::string_view::npos ? begin : text.find('}', begin);
    const std::string_view literal =
        text.substr(0, end == std::string_view::npos ? text.size() : begin);
    const std::string quoted = json::JsonQuote(literal);
    jq += quoted.substr(1, quoted.size() - 2);
    if (end == std::string_view::npos) break;
    jq += StrCat("\\(", RewriteExpression(text.substr(begin + 2, end - begin - 2), used), ")");
    text.remove_prefix(end + 1);
  }
  return Json(Expression(jq + "\""));
}

}  // namespace

Json RewriteReferences(const Json& value, std::set<std::string>* used) {
  if (value.is_string()) return RewriteText(value.get_ref<const std::string&>(), used);
  if (!value.is_structured()) return value;
  Json out = value.is_object() ? Json::object() : Json::array();
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (value.is_object()) {
      out.get_ref<Json::object_t&>().emplace_back(it.key(), RewriteReferences(*it, used));
    } else {
      out.push_back(RewriteReferences(*it, used));
    }
  }
  return out;
}

}  // namespace metamcp::workflow
