#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace metamcp::gateway {

// Matches URIs against an RFC 6570 template, as far as a router needs it: {var} is one path segment
// or less, {+var} and {#var} are anything, {/var}, {.var}, {;var}, {?var}, {&var} are optional runs
// that start with their own character. Linear in the URI for literal text; each expression is
// matched shortest first with bounded backtracking.
class UriTemplate {
 public:
  explicit UriTemplate(std::string_view text);
  // `budget` is what many templates may cost together; it is lowered by the steps taken, and what
  // does not fit into it does not match.
  bool Matches(std::string_view uri, int& budget) const;
  const std::string& text() const { return text_; }
  // Length of the literal text; the longest wins where several templates match.
  size_t literal_size() const { return literal_size_; }

 private:
  struct Part {
    bool literal = true;
    char op = 0;  // of an expression: 0, + # . / ; ? &
    std::string text;
  };
  bool MatchFrom(size_t part, std::string_view rest, int& budget) const;

  std::string text_;
  std::vector<Part> parts_;
  size_t literal_size_ = 0;
};

// The scheme of a URI in lower case without the colon; empty where there is none.
std::string UriScheme(std::string_view uri);

}  // namespace metamcp::gateway
