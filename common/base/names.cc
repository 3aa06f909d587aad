#include "common/base/names.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "common/base/ids.h"
#include "common/base/strings.h"

namespace metamcp {
namespace {
constexpr size_t kSlugMax = 63;
constexpr size_t kExposedMax = 64;      // what LLM providers accept in function names
constexpr size_t kUnprefixedMax = 128;  // MCP 2025-11-25, server/tools, "Tool Names"
}  // namespace

std::string Slug(std::string_view display_name) {
  std::string out;
  for (const char c : display_name) {
    const char l = absl::ascii_tolower(c);
    if (absl::ascii_isalnum(l)) {
      out.push_back(l);
    } else if (!out.empty() && out.back() != '-') {
      out.push_back('-');
    }
  }
  if (out.size() > kSlugMax) out.resize(kSlugMax);
  while (!out.empty() && out.back() == '-') out.pop_back();
  return out.empty() ? "x" : out;
}

std::string QualifiedName(std::string_view slug, std::string_view original) {
  return StrCat(slug, ".", original);
}

std::string ExposedName(std::string_view slug, std::string_view separator,
                        std::string_view original) {
  const bool prefixed = !slug.empty();
  std::string out = prefixed ? StrCat(slug, separator, original) : std::string(original);
  bool altered = false;
  for (char& c : out) {
    const bool ok =
        absl::ascii_isalnum(c) || c == '_' || c == '-' || (!prefixed && (c == '.' || c == '/'));
    if (!ok) {
      c = '_';
      altered = true;
    }
  }
  const size_t max = prefixed ? kExposedMax : kUnprefixedMax;
  if (!altered && !out.empty() && out.size() <= max) return out;
  constexpr size_t kTail = 9;
  if (out.size() > max - kTail) out.resize(max - kTail);
  return StrCat(out, "_", Sha256Hex(QualifiedName(slug, original)).substr(0, 8));
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t up = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = up;
    }
  }
  return row[b.size()];
}

bool GlobMatch(std::string_view glob, std::string_view text) {
  size_t g = 0, t = 0, star = std::string_view::npos, mark = 0;
  while (t < text.size()) {
    if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t]) && glob[g] != '*') {
      ++g, ++t;
    } else if (g < glob.size() && glob[g] == '*') {
      star = g++;
      mark = t;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

}  // namespace metamcp
