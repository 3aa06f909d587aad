#pragma once

#include <vector>

#include "metamcp/workflow/v1/workflow_service.pb.h"
#include "services/workflow/definition/definition.h"
#include "services/workflow/store/records.h"

// Records as messages. Pure. Values that are references are named as such, not included.
namespace metamcp::workflow {

v1::Workflow ToProto(const DefinitionRow& row);
v1::Run ToProto(const RunRow& row);
// Adds the steps that people know.
void AddSteps(const std::vector<StepRow>& steps, v1::Run* run);
// Adds what waits for an answer.
void AddPending(const std::vector<StepRow>& steps, v1::Run* run);
// What GetRunValue takes; empty for a value that is none.
std::string ReferenceName(const std::string& value);
v1::RunEvent ToProto(const EventRow& row);
DefinitionRow ToRow(const Definition& definition, std::string source);

}  // namespace metamcp::workflow
