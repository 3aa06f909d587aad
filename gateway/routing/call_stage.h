#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/async/call_context.h"
#include "gateway/routing/snapshot.h"

namespace metamcp::gateway {

struct CallSpec;
struct CallOutcome;

// What a stage sees of a call. Everything in it lives until the stage's After has returned.
struct StageCall {
  const CallContext& ctx;
  const CallSpec& spec;
  const ExposedEntry* entry;                   // null for a resource that no list names
  std::string_view name;                       // as the client wrote it
  std::span<const catalog::v1::Route> routes;  // that may serve it
  bool resumed;                                // goes on from an earlier request of the same call
  // What is sent in place of the client's arguments; null where a call has none. Empty: nothing is
  // put in their place. A stage may write a JSON object here, out of what is here or else of the
  // client's.
  std::string* arguments = nullptr;
};

// One check that every call passes before it is routed, in the order in which they were added
// (architecture, section 3). Neither function waits: what a stage needs it has in memory.
// Thread: the io thread.
class CallStage {
 public:
  virtual ~CallStage() = default;
  // An error refuses the call; its caller is given that error.
  virtual absl::Status Before(const StageCall& call) = 0;
  // Once for every Before that passed, in reverse order. `outcome` is what the call ended with,
  // and may be changed; null where the call was abandoned or a later stage refused it.
  virtual void After(const StageCall& call, absl::StatusOr<CallOutcome>* outcome) = 0;
};

// The stages of one call: Begin, then End; what ends without End tells the stages so.
class StagePass {
 public:
  StagePass(const std::vector<CallStage*>& stages, const StageCall& call)
      : stages_(stages), call_(call) {}
  ~StagePass() { Leave(nullptr); }
  StagePass(const StagePass&) = delete;
  StagePass& operator=(const StagePass&) = delete;

  // The first refusal, or OK.
  absl::Status Begin();
  void End(absl::StatusOr<CallOutcome>& outcome);

 private:
  void Leave(absl::StatusOr<CallOutcome>* outcome);

  const std::vector<CallStage*>& stages_;
  const StageCall call_;
  size_t passed_ = 0;
};

}  // namespace metamcp::gateway
