#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <unordered_map>

#include "gateway/access/access_guard.h"
#include "gateway/routing/consent_cause.h"
#include "gateway/routing/consent_gate.h"
#include "metamcp/access/v1/approval_service.metamcp.h"

namespace metamcp::gateway {

// Asks persons about the calls for which the policy wants it: by elicitation where the client can,
// else by an approval that waits for `meta-mcp approve`. What was allowed is in the approval
// service, for all gateways. Thread: the io thread.
class Consent final : public ConsentGate {
 public:
  struct Options {
    Options() {}
    std::chrono::milliseconds lifetime = std::chrono::minutes(10);
    bool self_approval = true;  // who makes a call may approve it
  };
  // Both must outlive it.
  Consent(AccessGuard& guard, access::v1::ApprovalService& approvals, Options options)
      : guard_(guard), approvals_(approvals), options_(options) {}
  void SetOptions(Options options) { options_ = options; }
  // Asks for what it names, too. Null: nothing. Must outlive the last call.
  void SetCause(ConsentCause* cause) { cause_ = cause; }

  bool Needed(const StageCall& call) override {
    return Why(call).has_value() || (cause_ != nullptr && cause_->Unsaid(call));
  }
  bool FirstUse(std::string_view state) override;
  Awaitable<absl::StatusOr<ConsentVerdict>> Ask(const StageCall& call, std::string approval,
                                                std::string answer) override;

 private:
  // The rule of the policy and what the cause says, together.
  std::optional<ConsentCause::Why> Why(const StageCall& call) const;
  absl::StatusOr<access::v1::Approval> Describe(const StageCall& call,
                                                const ConsentCause::Why& why) const;
  // Whether a person has to be asked still, and how.
  Awaitable<absl::StatusOr<ConsentVerdict>> AskPerson(const StageCall& call, std::string approval,
                                                      std::string answer);
  Awaitable<absl::Status> TakeAnswer(const StageCall& call, std::string approval,
                                     std::string answer);

  AccessGuard& guard_;
  access::v1::ApprovalService& approvals_;
  ConsentCause* cause_ = nullptr;
  Options options_;
  std::unordered_map<std::string, int64_t> used_;  // digests of states; until when to remember
};

// The arguments as a person is shown them: at most `bytes_max` of JSON, values of members whose
// names speak of secrets masked, control and direction characters made visible.
std::string ShowArguments(std::string_view raw, size_t bytes_max);

}  // namespace metamcp::gateway
