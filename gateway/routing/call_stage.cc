#include "gateway/routing/call_stage.h"

#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {

absl::Status StagePass::Begin() {
  while (passed_ < stages_.size()) {
    if (absl::Status status = stages_[passed_]->Before(call_); !status.ok()) return status;
    ++passed_;
  }
  return absl::OkStatus();
}

void StagePass::End(absl::StatusOr<CallOutcome>& outcome) { Leave(&outcome); }

void StagePass::Leave(absl::StatusOr<CallOutcome>* outcome) {
  while (passed_ > 0) stages_[--passed_]->After(call_, outcome);
}

}  // namespace metamcp::gateway
