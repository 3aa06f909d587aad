#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/async/sink.h"
#include "gateway/routing/call_stage.h"

namespace metamcp::gateway {

// What became of asking a person about a call.
struct ConsentVerdict {
  bool go_on = false;
  // Else what to ask the client: a raw elicitation request, and the id of the approval that its
  // answer is for.
  std::string question;
  std::string approval;
};

// Decides whether a call waits for a person. Thread: the io thread.
class ConsentGate {
 public:
  virtual ~ConsentGate() = default;
  // Of a call that passed the stages. Does not wait.
  virtual bool Needed(const StageCall& call) = 0;
  // Whether a state of an upstream's own question, which goes on with a call that was allowed once,
  // was not used before: what is allowed once runs once.
  virtual bool FirstUse(std::string_view state) = 0;
  // Uses up what was allowed, or asks. `approval` is empty for a new call; else `answer` is the raw
  // elicitation result for it, or empty where the client gave none. Errors: CONSENT_REQUIRED naming
  // the approval (metadata approval), for a client that cannot be asked; CONSENT_DENIED; those of
  // the approval service.
  virtual Awaitable<absl::StatusOr<ConsentVerdict>> Ask(const StageCall& call, std::string approval,
                                                        std::string answer) = 0;
};

}  // namespace metamcp::gateway
