#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace metamcp::config {

// A place in a text: both count from 1, columns in characters (code points), a tab is one.
// {0, 0} means no place (a flag, an environment variable).
struct Position {
  Position() = default;
  Position(int line_in, int column_in) : line(line_in), column(column_in) {}
  bool operator==(const Position&) const = default;

  int line = 0;
  int column = 0;
};

// One thing wrong, or worth saying, about a configuration. Never holds a secret value.
struct Problem {
  std::string file;  // a path, or "environment variable X", or "flag --x"
  Position at;
  std::string message;  // "found X, expected Y", or one sentence
  std::string mend;     // what to do; may be empty
};

// "file:line:column: message; mend", without the parts that are missing.
std::string FormatProblem(const Problem& problem);

// One line per problem, in order of place.
std::string FormatErrors(const std::vector<Problem>& problems);

}  // namespace metamcp::config
