#pragma once

#include <string>
#include <vector>

#include "services/ai/plan/clause.h"

namespace metamcp::ai {

// A wish for a tool: its words, and the words of the part of the task that it is for (none: all).
struct Preference {
  std::vector<std::string> tool;
  std::vector<std::string> part;
};

struct Refined {
  std::vector<Clause> clauses;
  std::vector<Preference> preferences;
};

// The clauses of a task after what was said about them: "without …" and "skip …" leave the nearest
// clause out, "use X for Y" prefers a tool, all else is one more thing to do.
Refined Refine(std::string_view task, const std::vector<std::string>& refinements);

// How much a preference speaks for a tool, for one clause: 0 or more.
double PreferenceFor(const std::vector<Preference>& preferences, const Clause& clause,
                     const std::vector<std::string>& tool_words);

}  // namespace metamcp::ai
