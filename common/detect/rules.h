#pragma once

#include <string_view>
#include <vector>

#include "common/detect/detector.h"

// The detectors one by one. Internal to this folder.
namespace metamcp::detect {

void FindHidden(std::string_view text, std::vector<Finding>& out);
void FindInstructions(std::string_view text, std::vector<Finding>& out);
void FindExfiltration(std::string_view text, std::vector<Finding>& out);
void FindSecrets(std::string_view text, std::vector<Finding>& out);
void FindPersonal(std::string_view text, std::vector<Finding>& out);

constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }
constexpr bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
constexpr bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
constexpr bool IsAlnum(char c) { return IsDigit(c) || IsUpper(c) || IsLower(c); }
constexpr char Lower(char c) { return IsUpper(c) ? static_cast<char>(c + 32) : c; }

// Whether `text` has `word`, which is lower case, at `at`, in whatever case.
inline bool HasAt(std::string_view text, size_t at, std::string_view word) {
  if (text.size() - at < word.size()) return false;
  for (size_t i = 0; i < word.size(); ++i) {
    if (Lower(text[at + i]) != word[i]) return false;
  }
  return true;
}

// Bits of Shannon entropy of a character.
double Entropy(std::string_view text);

inline void Note(std::vector<Finding>& out, Kind kind, std::string_view rule, size_t begin,
                 size_t size) {
  if (out.size() < kFindingsMax) out.push_back({kind, rule, begin, size});
}

}  // namespace metamcp::detect
