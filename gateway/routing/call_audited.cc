#include "common/base/status_macros.h"
#include "gateway/routing/call_auditor.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {

Awaitable<absl::StatusOr<CallOutcome>> CallChain::RunAudited(const CallContext& ctx,
                                                             const CallSpec& spec,
                                                             CallEvents& events) {
  METAMCP_CO_RETURN_IF_ERROR(auditor_->Ready());
  const auto start = std::chrono::steady_clock::now();
  absl::StatusOr<CallOutcome> outcome = absl::CancelledError("cancelled");
  auto running = RunAny(ctx, spec, events);
  try {
    outcome = co_await std::move(running);
  } catch (...) {
    auditor_->OnAbandoned(ctx, spec, std::chrono::steady_clock::now() - start);
    throw;
  }
  const auto duration = std::chrono::steady_clock::now() - start;
  auto recording = auditor_->OnFinished(ctx, spec, outcome, duration);
  const absl::Status recorded = co_await std::move(recording);
  if (!recorded.ok()) co_return recorded;
  co_return outcome;
}

}  // namespace metamcp::gateway
