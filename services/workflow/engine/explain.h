#pragma once

#include <string>
#include <vector>

#include "services/workflow/definition/definition.h"
#include "services/workflow/store/records.h"

// Runs in words. Pure; values that are references are told by their size.
namespace metamcp::workflow {

struct StepExplanation {
  std::string path, name;
  std::string state;  // as of a step; not-reached where it has not run
  std::string why;    // why it ran, was skipped or was not reached
  std::string arguments;
  std::vector<std::string> uses;  // steps whose results it refers to
  std::string outcome;
  int64_t attempts = 0;
};

// One element for each step in the order in which they ran, then those that were not reached.
std::vector<StepExplanation> ExplainSteps(const Definition& definition, const RunRow& run,
                                          const std::vector<StepRow>& rows);
// What came of the whole, in a line.
std::string ExplainRun(const RunRow& run, const std::vector<StepRow>& rows);

// The run, its result and those of its steps, put together: as JSON, and for reading.
std::string ResultJson(const RunRow& run, const std::vector<StepRow>& rows);
std::string ResultText(const RunRow& run, const std::vector<StepRow>& rows, bool markdown);

}  // namespace metamcp::workflow
