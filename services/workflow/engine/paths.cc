#include "services/workflow/engine/paths.h"

namespace metamcp::workflow {
namespace {

// Skips to the end of the part that `at` is in.
size_t EndOfPart(std::string_view path, size_t at) {
  while (at + 1 < path.size() && path[at + 1] != '/') ++at;
  return at;
}

std::string Without(std::string_view path, bool rounds) {
  std::string out;
  for (size_t i = 0; i < path.size(); ++i) {
    if (rounds && path[i] == '[') {
      while (i < path.size() && path[i] != ']') ++i;
    } else if (path[i] == '@' || path[i] == '#') {
      i = EndOfPart(path, i);
    } else {
      out += path[i];
    }
  }
  return out;
}

}  // namespace

std::string EscapePart(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == '~' || c == '/') {
      out += c == '~' ? "~0" : "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::string PlainPath(std::string_view path) { return Without(path, false); }

std::string PlaceOf(std::string_view path) { return Without(path, true); }

std::string EffectOf(std::string_view path) {
  constexpr std::string_view kTry = "/try#";
  std::string out;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path.substr(i).starts_with(kTry)) {
      out += "/try";
      i = EndOfPart(path, i + kTry.size() - 1);
    } else {
      out += path[i];
    }
  }
  return out;
}

bool IsMark(std::string_view path) {
  const size_t mark = path.rfind('#');
  return mark != std::string_view::npos && path.find('/', mark) == std::string_view::npos;
}

bool IsBelow(std::string_view path, std::string_view ancestor) {
  if (!path.starts_with(ancestor)) return false;
  if (path.size() == ancestor.size()) return true;
  const char next = path[ancestor.size()];
  return next == '/' || next == '[' || next == '#' || next == '@';
}

}  // namespace metamcp::workflow
