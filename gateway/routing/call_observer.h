#pragma once

#include <chrono>
#include <string_view>

namespace metamcp::gateway {

// What is known of a call when it has ended. Views are valid during the notification only.
struct FinishedCall {
  std::string_view virtual_server;  // its metrics label
  std::string_view upstream;        // slug of who answered or failed; empty where none was reached
  std::string_view method;          // one of CallSpec::method's, else "other"
  std::string_view params;          // as the client sent them
  // "ok", "tool_error" (a result marked isError), "input_required", "error" (the upstream's
  // JSON-RPC error), or the lower-case reason of the failure.
  std::string_view outcome;
  std::chrono::steady_clock::duration duration{};
};

struct CallOutcome;

// FinishedCall::outcome of a call that ended without a failure of ours.
std::string_view OutcomeOf(const CallOutcome& outcome);

// Is told of every finished call, on the io thread. Must not block.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  virtual void OnFinished(const FinishedCall& call) = 0;
};

}  // namespace metamcp::gateway
