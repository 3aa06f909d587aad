#pragma once

#include <optional>
#include <string>

#include "common/async/sink.h"
#include "gateway/routing/call_stage.h"

namespace metamcp::gateway {

// A reason beside the rules of the policy for which a person must allow a call. Thread: the io
// thread.
class ConsentCause {
 public:
  struct Why {
    std::string rule;    // as the audit and the approval name it
    std::string reason;  // for people
    std::string bound;   // what the approval holds for, beside the item's definition
  };
  virtual ~ConsentCause() = default;
  // Of a call that passed the stages. Does not wait.
  virtual std::optional<Why> Asks(const StageCall& call) const = 0;
  // Whether others must hear of the call before it is sent, and telling them. Not told are those
  // who cannot be reached.
  virtual bool Unsaid(const StageCall& call) const = 0;
  virtual Awaitable<void> Say(const StageCall& call) = 0;
};

}  // namespace metamcp::gateway
