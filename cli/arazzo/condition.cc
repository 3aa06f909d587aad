#include "cli/arazzo/condition.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"

namespace metamcp::cli::arazzo {
namespace {

constexpr int kDepthMax = 32;
constexpr int kSuccessFirst = 200;
constexpr int kSuccessLast = 299;

absl::Status NotThere(const std::string& what) { return absl::UnimplementedError(what); }

bool Holds(double left, const std::string& op, double right) {
  if (op == "==") return left == right;
  if (op == "!=") return left != right;
  if (op == "<") return left < right;
  if (op == "<=") return left <= right;
  if (op == ">") return left > right;
  return left >= right;
}

// Whether some status of success fits.
bool Succeeds(const std::string& op, double number) {
  for (int status = kSuccessFirst; status <= kSuccessLast; ++status) {
    if (Holds(status, op, number)) return true;
  }
  return false;
}

std::string Lower(const std::string& jq) {
  return StrCat("(", jq, " | if type == \"string\" then ascii_downcase else . end)");
}

// "@.a['b'][0]" about "."
absl::StatusOr<std::string> CurrentJq(std::string_view word) {
  std::string out = ".";
  std::string_view rest = word.substr(1);
  while (!rest.empty()) {
    std::string_view name;
    if (rest[0] == '.') {
      const size_t end = std::min(rest.find_first_of(".[", 1), rest.size());
      name = rest.substr(1, end - 1);
      rest.remove_prefix(end);
    } else {
      const size_t end = rest.find(']');
      if (rest[0] != '[' || end == std::string_view::npos) break;
      name = rest.substr(1, end - 1);
      rest.remove_prefix(end + 1);
      int64_t number = 0;
      if (absl::SimpleAtoi(absl::string_view(name.data(), name.size()), &number)) {
        out += StrCat("[", number, "]?");
        continue;
      }
      if (name.size() < 2) return NotThere(StrCat("JSONPath's ", word));
      name = name.substr(1, name.size() - 2);
    }
    if (name.empty() || name == "*") return NotThere(StrCat("JSONPath's ", word));
    out += StrCat("[", json::JsonQuote(name), "]?");
  }
  if (!rest.empty()) return NotThere(StrCat("JSONPath's ", word));
  return out;
}

absl::StatusOr<std::string> FilterOperand(std::string_view word) {
  for (const std::string_view function : {"count(", "length("}) {
    if (!word.starts_with(function) || !word.ends_with(')')) continue;
    const std::string_view inner = word.substr(function.size(), word.size() - function.size() - 1);
    if (!inner.starts_with('@')) return NotThere(StrCat("JSONPath's ", word));
    METAMCP_ASSIGN_OR_RETURN(const std::string of, CurrentJq(inner));
    return StrCat("((", of, ") | length)");
  }
  if (!word.starts_with('@')) return NotThere(StrCat("JSONPath's ", word));
  return CurrentJq(word);
}

}  // namespace

absl::Status Condition::Odd() const { return NotThere(StrCat("the condition ", text_)); }

void Condition::Skip() {
  while (at_ < text_.size() && absl::ascii_isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
}

bool Condition::Take(std::string_view token) {
  Skip();
  if (!text_.substr(at_).starts_with(token)) return false;
  at_ += token.size();
  return true;
}

absl::StatusOr<std::string> Condition::Read() {
  METAMCP_ASSIGN_OR_RETURN(std::string out, Or(0));
  Skip();
  if (at_ != text_.size()) return Odd();
  return out;
}

absl::StatusOr<std::string> Condition::Or(int depth) {
  if (depth > kDepthMax) return Odd();
  METAMCP_ASSIGN_OR_RETURN(std::string out, And(depth));
  while (Take("||")) {
    METAMCP_ASSIGN_OR_RETURN(const std::string next, And(depth));
    out = StrCat("(", out, " or ", next, ")");
  }
  return out;
}

absl::StatusOr<std::string> Condition::And(int depth) {
  METAMCP_ASSIGN_OR_RETURN(std::string out, Not(depth));
  while (Take("&&")) {
    METAMCP_ASSIGN_OR_RETURN(const std::string next, Not(depth));
    out = StrCat("(", out, " and ", next, ")");
  }
  return out;
}

absl::StatusOr<std::string> Condition::Not(int depth) {
  if (depth > kDepthMax) return Odd();
  Skip();
  const bool negated = text_.substr(at_).starts_with("!") && !text_.substr(at_).starts_with("!=");
  if (negated) {
    ++at_;
    METAMCP_ASSIGN_OR_RETURN(const std::string inner, Not(depth + 1));
    return StrCat("(", inner, " | not)");
  }
  METAMCP_ASSIGN_OR_RETURN(const Value left, Operands(depth));
  for (const char* op : {"==", "!=", "<=", ">=", "<", ">"}) {
    if (!Take(op)) continue;
    METAMCP_ASSIGN_OR_RETURN(const Value right, Operands(depth));
    return Compare(left, op, right);
  }
  if (left.status) return Odd();
  if (!left.bare) return left.jq;
  // Of a path it counts that it is there.
  if (!simple_) return StrCat("((", left.jq, ") != null)");
  return StrCat("((", left.jq, ") as $v | $v != null and $v != false)");
}

absl::StatusOr<std::string> Condition::Compare(const Value& left, const std::string& op,
                                               const Value& right) const {
  if (left.status || right.status) {
    const Value& other = left.status ? right : left;
    // 400 > $statusCode is $statusCode < 400.
    std::string turned = op;
    if (right.status && (op[0] == '<' || op[0] == '>')) turned[0] = op[0] == '<' ? '>' : '<';
    if (!other.number || !Succeeds(turned, *other.number)) {
      return NotThere(StrCat("the condition ", text_,
                             ": a tool has no status; that it worked is any of 200 to 299"));
    }
    return std::string("true");
  }
  if (simple_ && (left.text || right.text)) {
    return StrCat("(", Lower(left.jq), " ", op, " ", Lower(right.jq), ")");
  }
  return StrCat("((", left.jq, ") ", op, " (", right.jq, "))");
}

absl::StatusOr<Condition::Value> Condition::Operands(int depth) {
  Skip();
  if (at_ == text_.size()) return Odd();
  Value out;
  if (Take("(")) {
    METAMCP_ASSIGN_OR_RETURN(out.jq, Or(depth + 1));
    if (!Take(")")) return Odd();
    return out;
  }
  const char quote = text_[at_];
  if (quote == '\'' || (quote == '"' && !simple_)) {
    std::string text;
    for (++at_;; ++at_) {
      if (at_ >= text_.size()) return Odd();
      if (text_[at_] == quote) {
        // Twice means once.
        if (at_ + 1 >= text_.size() || text_[at_ + 1] != quote) break;
        ++at_;
      }
      text += text_[at_];
    }
    ++at_;
    out.text = true;
    out.jq = json::JsonQuote(text);
    return out;
  }
  // A word ends at a blank, an operator or a parenthesis that it has not opened.
  size_t end = at_;
  int open = 0;
  char in = 0;
  for (; end < text_.size(); ++end) {
    const char c = text_[end];
    if (in != 0) {
      if (c == in) in = 0;
      continue;
    }
    if (open > 0 && (c == '\'' || c == '"')) in = c;
    if (c == '(' || c == '[') ++open;
    if (open == 0 && (c == ')' || c == ']' || c == '!' || c == '=' || c == '<' || c == '>' ||
                      c == '&' || c == '|' || absl::ascii_isspace(static_cast<unsigned char>(c)))) {
      break;
    }
    if (c == ')' || c == ']') --open;
  }
  const std::string_view word = text_.substr(at_, end - at_);
  at_ = end;
  if (word.empty()) return Odd();
  if (word == "true" || word == "false" || word == "null") {
    out.jq = std::string(word);
    return out;
  }
  double number = 0;
  if (absl::SimpleAtod(absl::string_view(word.data(), word.size()), &number) &&
      json::ScanValue(word).ok()) {
    out.number = number;
    out.jq = std::string(word);
    return out;
  }
  if (simple_ && word == "$statusCode") {
    out.status = true;
    return out;
  }
  METAMCP_ASSIGN_OR_RETURN(out.jq, operand_(word));
  out.bare = true;
  return out;
}

absl::StatusOr<std::string> FilterJq(std::string_view filter) {
  Condition reader(filter, FilterOperand, false);
  return reader.Read();
}

}  // namespace metamcp::cli::arazzo
