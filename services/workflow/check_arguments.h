#pragma once

#include <string>
#include <vector>

#include "services/workflow/definition/definition.h"

namespace metamcp::workflow {

// Notes arguments of a tool's call that its input schema refuses: required ones that are missing,
// unknown ones where it knows all, and values of the wrong kind. What expressions will give is not
// known here and not checked. `document` is the definition's canonical JSON, in which the task
// stands.
void CheckArguments(const std::string& document, const Task& task, const std::string& input_schema,
                    std::vector<Problem>* problems);

}  // namespace metamcp::workflow
