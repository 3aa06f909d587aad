#pragma once

#include <chrono>

#include "absl/status/statusor.h"
#include "common/async/call_context.h"
#include "common/async/sink.h"

namespace metamcp::gateway {

struct CallSpec;
struct CallOutcome;

// Records every call. Thread: the io thread.
class CallAuditor {
 public:
  using Duration = std::chrono::steady_clock::duration;
  virtual ~CallAuditor() = default;
  // Asked before anything is called. Errors: AUDIT_UNAVAILABLE where what then happens could not be
  // recorded.
  virtual absl::Status Ready() = 0;
  // Returns when the record is as safe as its mode promises. Errors: AUDIT_UNAVAILABLE; the call
  // has taken place, and its caller is told that it could not be recorded.
  virtual Awaitable<absl::Status> OnFinished(const CallContext& ctx, const CallSpec& spec,
                                             const absl::StatusOr<CallOutcome>& outcome,
                                             Duration duration) = 0;
  // The same for a call whose caller is gone: nobody waits.
  virtual void OnAbandoned(const CallContext& ctx, const CallSpec& spec, Duration duration) = 0;
};

}  // namespace metamcp::gateway
