#pragma once

#include <string>
#include <vector>

#include "services/workflow/face/access.h"
#include "services/workflow/store/records.h"

// A run as clients of MCP see it. Pure.
namespace metamcp::workflow {

// An approval that a run waits for.
struct OpenApproval {
  std::string path;  // of the step's record, as decisions name it
  int64_t attempt = 0;
  std::string kind;                      // approval or consent
  std::string detail;                    // what is shown, as stored
  std::vector<std::string> approved_by;  // so far, where several must approve
  // Names it towards clients: the same each time it is asked.
  std::string key() const;
  // Its detail with who has approved.
  std::string shown() const;
};
// Whether `subject` has given his answer to it.
bool HasApproved(const OpenApproval& approval, std::string_view subject);

// The approvals among `steps` that nobody in `decisions` has answered.
std::vector<OpenApproval> OpenApprovals(const std::vector<StepRow>& steps,
                                        const std::vector<DecisionRow>& decisions);

// inputRequests with one elicitation for each, as JSON.
std::string ApprovalRequests(const RunRow& run, const std::vector<OpenApproval>& approvals);

// What a client answered to one of them.
enum class ApprovalAnswer { kNone, kApprove, kDeny, kDismissed };
ApprovalAnswer ReadAnswer(std::string_view responses, const std::string& key, std::string* comment);

// The result of tools/call for a run that has ended, in the shape of 2026-07-28. `output_schema`:
// what the output must be; empty: any.
std::string EndResult(const RunRow& run, const std::string& output_schema);
// For a run that goes on without its caller.
std::string GoesOnResult(const RunRow& run, std::string_view why);

// The run as a task: a result of tasks/get. `requests`: inputRequests, or empty.
std::string TaskResult(const RunRow& run, const std::string& output_schema,
                       const std::string& requests, int64_t updated_us);
// The same as the result of the call that became a task.
std::string AsNewTask(const std::string& task_result);

// One line of progress for an event of a run; empty for events that tell callers nothing.
std::string ProgressText(const EventRow& event);

}  // namespace metamcp::workflow
