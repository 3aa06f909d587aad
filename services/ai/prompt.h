#pragma once

#include <string>
#include <vector>

#include "services/ai/model/model.h"
#include "services/ai/plan/plan.h"

// What models are asked for suggestions, and how their answers are read. Pure.
namespace metamcp::ai {

// Changes with every change of what is asked; part of the key under which answers are kept.
inline constexpr std::string_view kPromptVersion = "suggest-2";

// Asks for the parts of a task.
ModelRequest GoalsPrompt(const std::string& task, const std::vector<std::string>& refinements);
// The parts, at most 12. Errors: AI_ANSWER_INVALID.
absl::StatusOr<std::vector<std::string>> ReadGoals(std::string_view answer);

// Asks for a plan over `tools` and no others: their names are the only ones that the schema of the
// answer has. What servers say of their tools stands in it as data, shortened.
ModelRequest PlanPrompt(const std::string& task, const std::vector<std::string>& refinements,
                        const std::vector<Tool>& tools);
// Adds what is wrong with an answer, for one more try.
void AddRepair(const std::string& answer, const std::vector<std::string>& problems,
               ModelRequest* request);
// Reads an answer. A tool that is not among `tools`, an argument that is no JSON and a step without
// a name are problems, whatever schema the answer was held to.
struct ReadPlan {
  Plan plan;
  std::vector<std::string> problems;
};
absl::StatusOr<ReadPlan> ReadPlanAnswer(std::string_view answer, const std::string& task,
                                        const std::vector<Tool>& tools);

// The text without what looks like a secret: models are others' computers.
std::string WithoutSecrets(std::string_view text);

}  // namespace metamcp::ai
