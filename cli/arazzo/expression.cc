#include "cli/arazzo/expression.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "cli/arazzo/condition.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"

namespace metamcp::cli::arazzo {
namespace {

absl::Status NotThere(std::string_view what) {
  return absl::UnimplementedError(absl::string_view(what.data(), what.size()));
}

bool IsDigits(std::string_view text) {
  return !text.empty() && text.size() < 10 && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c));
  });
}

std::string Member(std::string_view name) { return StrCat("[", json::JsonQuote(name), "]"); }

// "#/a/0" behind an expression.
absl::StatusOr<std::string> PointerJq(std::string_view pointer) {
  if (pointer.empty() || pointer == "#") return std::string();
  if (!pointer.starts_with("#/")) return NotThere(StrCat("the JSON pointer ", pointer));
  std::string out;
  for (const absl::string_view part :
       absl::StrSplit(absl::string_view(pointer.data() + 2, pointer.size() - 2), '/')) {
    const std::string name = absl::StrReplaceAll(part, {{"~1", "/"}, {"~0", "~"}});
    out += IsDigits(name) ? StrCat("[", name, "]") : Member(name);
  }
  return out;
}

// ".a.b" behind an expression.
std::string DotsJq(std::string_view dots) {
  std::string out;
  while (dots.starts_with('.')) {
    dots.remove_prefix(1);
    const size_t end = std::min(dots.find('.'), dots.size());
    const std::string_view name = dots.substr(0, end);
    out += IsDigits(name) ? StrCat("[", name, "]") : Member(name);
    dots.remove_prefix(end);
  }
  return out;
}

bool TakePrefix(std::string_view prefix, std::string_view* text) {
  if (!text->starts_with(prefix)) return false;
  text->remove_prefix(prefix.size());
  return true;
}

}  // namespace

absl::StatusOr<std::string> RuntimeJq(std::string_view expression, const Scope& scope) {
  const size_t hash = std::min(expression.find('#'), expression.size());
  METAMCP_ASSIGN_OR_RETURN(const std::string pointer, PointerJq(expression.substr(hash)));
  std::string_view rest = expression.substr(0, hash);
  if (TakePrefix("$inputs.", &rest)) {
    const size_t end = std::min(rest.find('.'), rest.size());
    const std::string name(rest.substr(0, end));
    if (scope.inputs.count(name) == 0) {
      return NotThere(StrCat(expression, ": the workflow has no input \"", name, "\""));
    }
    return StrCat("$workflow.input", Member(name), DotsJq(rest.substr(end)), pointer);
  }
  if (TakePrefix("$steps.", &rest)) {
    const size_t id_end = rest.find('.');
    const std::string id(rest.substr(0, id_end));
    rest.remove_prefix(std::min(id_end, rest.size()));
    if (!TakePrefix(".outputs.", &rest)) return NotThere(StrCat(expression, ": only outputs"));
    const size_t end = std::min(rest.find('.'), rest.size());
    const std::string name(rest.substr(0, end));
    const auto step = scope.outputs.find(id);
    if (step == scope.outputs.end() || step->second.count(name) == 0) {
      return NotThere(StrCat(expression, ": no step before this one has that output"));
    }
    return StrCat(step->second.at(name), DotsJq(rest.substr(end)), pointer);
  }
  if (rest == "$response.body" && !scope.body.empty()) return StrCat(scope.body, pointer);
  return NotThere(StrCat("the expression ", expression));
}

absl::StatusOr<std::string> TextJq(std::string_view text, const Scope& scope) {
  const bool named =
      text.size() > 1 && text[0] == '$' && absl::ascii_isalpha(static_cast<unsigned char>(text[1]));
  if (named) return RuntimeJq(text, scope);
  if (text.find("{$") == std::string_view::npos) return std::string();
  std::string jq = "\"";
  while (!text.empty()) {
    const size_t begin = std::min(text.find("{$"), text.size());
    const std::string quoted = json::JsonQuote(text.substr(0, begin));
    jq += quoted.substr(1, quoted.size() - 2);
    text.remove_prefix(begin);
    if (text.empty()) break;
    const size_t end = text.find('}');
    if (end == std::string_view::npos) return NotThere("an expression in braces without its end");
    METAMCP_ASSIGN_OR_RETURN(const std::string inner, RuntimeJq(text.substr(1, end - 1), scope));
    jq += StrCat("\\(", inner, ")");
    text.remove_prefix(end + 1);
  }
  return jq + "\"";
}

absl::StatusOr<std::string> SimpleJq(std::string_view condition, const Scope& scope) {
  Condition reader(
      condition, [&scope](std::string_view word) { return RuntimeJq(word, scope); }, true);
  return reader.Read();
}

absl::StatusOr<std::string> JsonPathJq(std::string_view context, std::string_view condition,
                                       const Scope& scope) {
  METAMCP_ASSIGN_OR_RETURN(const std::string from, RuntimeJq(context, scope));
  std::string jq = from;
  std::string_view rest =
      Sv(absl::StripAsciiWhitespace(absl::string_view(condition.data(), condition.size())));
  if (!TakePrefix("$", &rest)) return NotThere(StrCat("the JSONPath ", condition));
  while (!rest.empty()) {
    if (rest.starts_with("..")) return NotThere("JSONPath's ..");
    if (TakePrefix(".*", &rest) || TakePrefix("[*]", &rest)) {
      jq += " | .[]?";
    } else if (TakePrefix(".", &rest)) {
      const size_t end = std::min(rest.find_first_of(".["), rest.size());
      if (end == 0) return NotThere(StrCat("the JSONPath ", condition));
      jq += StrCat(" | .", Member(rest.substr(0, end)), "?");
      rest.remove_prefix(end);
    } else if (TakePrefix("[?", &rest)) {
      const size_t end = rest.rfind(']');
      if (end == std::string_view::npos) return NotThere(StrCat("the JSONPath ", condition));
      METAMCP_ASSIGN_OR_RETURN(const std::string filter, FilterJq(rest.substr(0, end)));
      jq += StrCat(" | .[]? | select(", filter, ")");
      rest.remove_prefix(end + 1);
    } else if (TakePrefix("[", &rest)) {
      const size_t end = rest.find(']');
      const std::string_view key = rest.substr(0, end);
      const bool quoted =
          key.size() >= 2 && (key[0] == '\'' || key[0] == '"') && key.back() == key[0];
      if (end == std::string_view::npos || !(quoted || IsDigits(key))) {
        return NotThere(StrCat("JSONPath's [", key, "]"));
      }
      jq += quoted ? StrCat(" | .", Member(key.substr(1, key.size() - 2)), "?")
                   : StrCat(" | .[", key, "]?");
      rest.remove_prefix(end + 1);
    } else {
      return NotThere(StrCat("the JSONPath ", condition));
    }
  }
  return StrCat("([", jq, "] | map(select(. != null)) | length > 0)");
}

absl::StatusOr<std::string> RegexJq(std::string_view context, std::string_view pattern,
                                    const Scope& scope) {
  METAMCP_ASSIGN_OR_RETURN(const std::string from, RuntimeJq(context, scope));
  return StrCat("((", from, ") | tostring | test(", json::JsonQuote(pattern), "))");
}

}  // namespace metamcp::cli::arazzo
