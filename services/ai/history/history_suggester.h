#pragma once

#include <vector>

#include "metamcp/ai/v1/ai_service.pb.h"
#include "metamcp/audit/v1/audit_service.metamcp.h"
#include "metamcp/workflow/v1/workflow_service.metamcp.h"
#include "services/ai/finder.h"
#include "services/ai/history/chains.h"

namespace metamcp::ai {

// Workflows for chains of calls that somebody made several times. What it refers to must outlive
// it. Thread: the io thread.
class HistorySuggester {
 public:
  // `audit` may be null: then there is no history.
  HistorySuggester(ToolFinder& finder, metamcp::workflow::v1::WorkflowService& workflows,
                   audit::v1::AuditService* audit, bool on)
      : finder_(finder), workflows_(workflows), audit_(audit), on_(on) {}

  // Errors: ARGUMENT_INVALID; CAPABILITY_MISSING where it is off; PERMISSION_DENIED for another's
  // calls without the permission to read the audit; those of the audit.
  Awaitable<absl::StatusOr<v1::SuggestFromHistoryResponse>> Suggest(
      const CallContext& ctx, v1::SuggestFromHistoryRequest request);

 private:
  Awaitable<absl::StatusOr<std::vector<PastCall>>> Read(const CallContext& ctx, std::string subject,
                                                        int64_t since_us, bool* cut);
  // The tools of a chain; none where one is not there for the caller now.
  Awaitable<absl::StatusOr<std::vector<Tool>>> ToolsOf(const CallContext& ctx, const Chain& chain,
                                                       const ToolScope& scope);

  ToolFinder& finder_;
  metamcp::workflow::v1::WorkflowService& workflows_;
  audit::v1::AuditService* const audit_;
  const bool on_;
};

}  // namespace metamcp::ai
