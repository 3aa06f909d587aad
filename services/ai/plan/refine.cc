#include "services/ai/plan/refine.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace metamcp::ai {
namespace {

constexpr double kPreferred = 0.4;

std::string Trimmed(std::string_view text) {
  return std::string(absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size())));
}

// What follows one of the openings, in lower case; empty where none is there.
std::string Behind(const std::string& text, std::initializer_list<std::string_view> openings) {
  for (const std::string_view opening : openings) {
    if (text.starts_with(opening)) return Trimmed(std::string_view(text).substr(opening.size()));
  }
  return "";
}

std::vector<std::string> Meaning(std::string_view text) {
  std::vector<std::string> out;
  for (std::string& word : Words(text)) {
    if (!IsStopWord(word)) out.push_back(std::move(word));
  }
  return out;
}

size_t Shared(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return static_cast<size_t>(std::count_if(a.begin(), a.end(), [&](const std::string& word) {
    return std::find(b.begin(), b.end(), word) != b.end();
  }));
}

void LeaveOut(std::string_view what, std::vector<Clause>* clauses) {
  const std::vector<std::string> words = Meaning(what);
  size_t best = 0, at = clauses->size();
  for (size_t i = 0; i < clauses->size(); ++i) {
    const size_t shared = Shared(words, Meaning((*clauses)[i].text));
    if (shared > best) {
      best = shared;
      at = i;
    }
  }
  if (at < clauses->size()) clauses->erase(clauses->begin() + static_cast<long>(at));
}

}  // namespace

Refined Refine(std::string_view task, const std::vector<std::string>& refinements) {
  Refined out;
  out.clauses = SplitTask(task);
  for (const std::string& given : refinements) {
    std::string text = Trimmed(given);
    std::string lower = text;
    absl::AsciiStrToLower(&lower);
    const std::string dropped =
        Behind(lower, {"without ", "skip ", "leave out ", "drop the step ", "do not ", "don't "});
    const std::string wanted = Behind(lower, {"use ", "with ", "prefer "});
    if (!dropped.empty()) {
      LeaveOut(dropped, &out.clauses);
    } else if (!wanted.empty()) {
      Preference preference;
      const size_t instead = wanted.find(" instead");
      const size_t part = wanted.find(" for ");
      preference.tool = Meaning(wanted.substr(0, std::min(instead, part)));
      if (part != std::string::npos) preference.part = Meaning(wanted.substr(part + 5));
      if (!preference.tool.empty()) out.preferences.push_back(std::move(preference));
    } else {
      for (Clause& clause : SplitTask(text)) out.clauses.push_back(std::move(clause));
    }
  }
  return out;
}

double PreferenceFor(const std::vector<Preference>& preferences, const Clause& clause,
                     const std::vector<std::string>& tool_words) {
  double out = 0;
  for (const Preference& preference : preferences) {
    const bool named = Shared(preference.tool, tool_words) == preference.tool.size();
    const bool meant = preference.part.empty() || Shared(preference.part, Meaning(clause.text)) > 0;
    if (named && meant) out = kPreferred;
  }
  return out;
}

}  // namespace metamcp::ai
