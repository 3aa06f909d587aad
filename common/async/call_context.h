#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "common/base/principal.h"

namespace metamcp {

// W3C trace context as received; empty members are absent.
struct TraceContext {
  std::string traceparent;
  std::string tracestate;
  std::string baggage;
};

// What every internal request carries beside its message: who asks, until when, and where it has
// been. Cancellation is not in here: it travels through Asio's cancellation slots with the
// coroutine that awaits the call (and through gRPC's between processes). Copyable; immutable once
// handed on.
struct CallContext {
  using Clock = std::chrono::steady_clock;

  CallContext() : deadline(Clock::now() + std::chrono::seconds(60)) {}
  CallContext(std::shared_ptr<const Principal> who, Clock::time_point until)
      : principal(std::move(who)), deadline(until) {}

  // Never negative.
  Clock::duration TimeLeft() const {
    return std::max(Clock::duration::zero(), deadline - Clock::now());
  }
  // A copy whose deadline is at most `cap` from now.
  CallContext Capped(Clock::duration cap) const {
    CallContext copy = *this;
    copy.deadline = std::min(deadline, Clock::now() + cap);
    return copy;
  }
  const std::string& tenant() const {
    static const std::string kDefault = "default";
    return principal ? principal->tenant : kDefault;
  }

  std::shared_ptr<const Principal> principal;
  Clock::time_point deadline;
  std::string request_id;
  TraceContext trace;
  std::vector<std::string> hops;  // gateway ids, oldest first
};

}  // namespace metamcp
