#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/workflow/definition/definition.h"
#include "services/workflow/store/records.h"

// What changes of a run that has begun mean for its checkpoints. Pure.
namespace metamcp::workflow {

// The path of the step that `step`, a path or a name, stands for. Errors: NOT_FOUND;
// ARGUMENT_INVALID where several have the name.
absl::StatusOr<std::string> FindStep(const std::vector<StepRow>& rows, const std::string& step);

// Rows that do not hold any more when the step at `path` is to run again: its own, those of what
// encloses it, and what came after it. Other branches of a fork stay. Errors: NOT_FOUND.
absl::StatusOr<std::vector<StepKey>> RowsFrom(const std::vector<StepRow>& rows,
                                              const std::string& path);

// Whether a run with these checkpoints can go on with another version: all that has happened must
// have its place there. Errors: RUN_STATE that names what has none.
absl::Status CheckFits(const Definition& next, const std::vector<StepRow>& rows);

// The result of a tool as it comes from a server, for a value that a person gives.
std::string AsToolResult(std::string_view value);

}  // namespace metamcp::workflow
