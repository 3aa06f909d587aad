#pragma once

#include <vector>

#include "services/ai/plan/clause.h"
#include "services/ai/plan/tool.h"

namespace metamcp::ai {

struct Ranked {
  const Tool* tool = nullptr;
  double score = 0;  // 0 to 1: how well it fits
};

// Orders tools by how well they do what a clause asks for, best first. Tools must outlive the
// result.
std::vector<Ranked> Rank(const Clause& clause, const std::vector<Tool>& tools);

// The first `limit` tools over all clauses, taken in turns.
std::vector<const Tool*> Merge(const std::vector<std::vector<Ranked>>& ranked, size_t limit);

}  // namespace metamcp::ai
