#pragma once

#include <string>
#include <string_view>

namespace metamcp {

// Returns the slug of a display name: lower case, other characters than [a-z0-9] to '-', runs
// folded, ends trimmed, at most 63 characters; "x" where nothing is left.
std::string Slug(std::string_view display_name);

// Returns the name under which `original` of `slug` is exposed: slug + separator + original, other
// characters than [A-Za-z0-9_-] to '_', at most 64 characters. A name that was altered or cut ends
// in '_' and 8 hex digits of the SHA-256 of the qualified name, so that two originals never meet.
// An empty `slug` means no prefix; then characters that MCP allows in tool names ([A-Za-z0-9_.-/],
// at most 128) are kept as they are.
std::string ExposedName(std::string_view slug, std::string_view separator,
                        std::string_view original);

// "slug.original", the reference used by CLI, policy, workflows and REST.
std::string QualifiedName(std::string_view slug, std::string_view original);

// Returns the candidate with the smallest edit distance to `word` if that is at most a third of its
// length (at least 1), else an empty string. For "did you mean".
template <typename Range>
std::string Nearest(std::string_view word, const Range& candidates);

size_t EditDistance(std::string_view a, std::string_view b);

// Matches `text` against a glob of '*' (any run) and '?' (one character). Linear in time for one
// '*', O(n*m) at worst; no recursion.
bool GlobMatch(std::string_view glob, std::string_view text);

// Whether one of `globs` matches the original or the qualified name of an item.
template <typename Globs>
bool MatchesAnyGlob(const Globs& globs, std::string_view slug, std::string_view original);

template <typename Globs>
bool MatchesAnyGlob(const Globs& globs, std::string_view slug, std::string_view original) {
  std::string qualified;
  for (const std::string& glob : globs) {
    if (GlobMatch(glob, original)) return true;
    if (qualified.empty()) qualified = QualifiedName(slug, original);
    if (GlobMatch(glob, qualified)) return true;
  }
  return false;
}

template <typename Range>
std::string Nearest(std::string_view word, const Range& candidates) {
  std::string best;
  size_t best_distance = word.size() / 3 + 2;
  for (const auto& candidate : candidates) {
    const std::string_view text(candidate);
    // At least the difference in length: a word of megabytes is not compared.
    const size_t least =
        text.size() > word.size() ? text.size() - word.size() : word.size() - text.size();
    if (least >= best_distance) continue;
    const size_t d = EditDistance(word, candidate);
    if (d < best_distance) {
      best_distance = d;
      best = std::string(candidate);
    }
  }
  return best;
}

}  // namespace metamcp
