#include "gateway/routing/uri_template.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace metamcp::gateway {
namespace {
// Steps after which a match is given up, so that a hostile template costs no more than this.
constexpr int kBudget = 20000;

bool Allowed(char op, char c) {
  switch (op) {
    case '+':
    case '#':
      return true;
    case '?':
    case '&':
      return c != '#';
    case '/':
      return c != '?' && c != '#';
    default:
      return c != '/' && c != '?' && c != '#';
  }
}
}  // namespace

UriTemplate::UriTemplate(std::string_view text) : text_(text) {
  std::string literal;
  const auto flush = [&] {
    if (literal.empty()) return;
    literal_size_ += literal.size();
    parts_.push_back({true, 0, std::move(literal)});
    literal.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t close = text[i] == '{' ? text.find('}', i) : std::string_view::npos;
    if (close == std::string_view::npos || close == i + 1) {
      literal.push_back(text[i]);
      continue;
    }
    flush();
    const char op = text[i + 1];
    const bool known = std::string_view("+#./;?&").find(op) != std::string_view::npos;
    parts_.push_back({false, known ? op : '\0', {}});
    i = close;
  }
  flush();
}

bool UriTemplate::Matches(std::string_view uri, int& budget) const {
  const int before = std::min(kBudget, budget);
  int left = before;
  const bool matches = MatchFrom(0, uri, left);
  budget -= before - std::max(left, 0);
  return matches;
}

bool UriTemplate::MatchFrom(size_t part, std::string_view rest, int& budget) const {
  for (; part < parts_.size(); ++part) {
    if (--budget < 0) return false;
    const Part& p = parts_[part];
    if (p.literal) {
      if (rest.substr(0, p.text.size()) != p.text) return false;
      rest.remove_prefix(p.text.size());
      continue;
    }
    const bool optional = p.op != 0 && p.op != '+';
    if (optional && (rest.empty() || rest[0] != p.op)) continue;
    if (part + 1 == parts_.size()) {
      for (const char c : rest) {
        if (!Allowed(p.op, c)) return false;
      }
      return optional || !rest.empty();
    }
    size_t n = optional ? 1 : 0;
    for (; n <= rest.size(); ++n) {
      if (--budget < 0) return false;
      if (n > 0 && !Allowed(p.op, rest[n - 1])) return false;
      if (n > 0 && MatchFrom(part + 1, rest.substr(n), budget)) return true;
    }
    return false;
  }
  return rest.empty();
}

std::string UriScheme(std::string_view uri) {
  const size_t colon = uri.find(':');
  if (colon == std::string_view::npos || colon == 0) return {};
  std::string out;
  for (const char c : uri.substr(0, colon)) {
    if (!absl::ascii_isalnum(c) && c != '+' && c != '-' && c != '.') return {};
    out.push_back(absl::ascii_tolower(c));
  }
  return out;
}

}  // namespace metamcp::gateway
