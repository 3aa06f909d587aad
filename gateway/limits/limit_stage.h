#pragma once

#include "absl/container/flat_hash_map.h"
#include "gateway/limits/limiter.h"
#include "gateway/routing/call_stage.h"

namespace metamcp::gateway::limits {

// Asks the limiter before each call. What gives something back is never refused: cancellations and
// what is abandoned. Thread: the io thread.
class LimitStage final : public CallStage {
 public:
  // `limiter` must outlive it.
  explicit LimitStage(Limiter& limiter) : limiter_(limiter) {}

  absl::Status Before(const StageCall& call) override;
  void After(const StageCall& call, absl::StatusOr<CallOutcome>* outcome) override;

 private:
  Limiter& limiter_;
  absl::flat_hash_map<const StageCall*, Ticket> running_;
};

}  // namespace metamcp::gateway::limits
