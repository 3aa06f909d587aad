#pragma once

#include "services/ai/plan/plan.h"

namespace metamcp::ai {

// Makes inputs of the workflow out of values that the tools' schemas refuse, and leaves arguments
// out that they do not know. `tools` has every tool of the plan.
void Repair(const std::vector<const Tool*>& tools, Plan* plan);

// Whether a value holds an expression of the workflow somewhere.
bool HasExpression(const Json& value);

}  // namespace metamcp::ai
