#include "common/config/problem.h"

#include <algorithm>
#include <tuple>

#include "common/base/strings.h"

namespace metamcp::config {

std::string FormatProblem(const Problem& problem) {
  std::string out = problem.file;
  if (problem.at.line > 0) {
    out = StrCat(out, out.empty() ? "" : ":", problem.at.line, ":", problem.at.column);
  }
  if (!out.empty()) out += ": ";
  out += problem.message;
  if (!problem.mend.empty()) out = StrCat(out, "; ", problem.mend);
  return out;
}

std::string FormatErrors(const std::vector<Problem>& problems) {
  std::vector<const Problem*> order;
  for (const Problem& p : problems) order.push_back(&p);
  std::stable_sort(order.begin(), order.end(), [](const Problem* a, const Problem* b) {
    return std::tie(a->at.line, a->at.column) < std::tie(b->at.line, b->at.column);
  });
  std::string out;
  for (const Problem* p : order) {
    if (!out.empty()) out += "\n";
    out += FormatProblem(*p);
  }
  return out;
}

}  // namespace metamcp::config
