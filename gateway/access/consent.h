#pragma once

#include <chrono>
#include <string>
#include <unordered_map>

#include "gateway/access/access_guard.h"
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

  bool Needed(const StageCall& call) override { return guard_.ConsentRule(call) != nullptr; }
  bool FirstUse(std::string_view state) override;
  Awaitable<absl::StatusOr<ConsentVerdict>> Ask(const StageCall& call, std::string approval,
                                                std::string answer) override;

 private:
  absl::StatusOr<access::v1::Approval> Describe(const StageCall& call) const;
  Awaitable<absl::Status> TakeAnswer(const StageCall& call, std::string approval,
                                     std::string answer);

  AccessGuard& guard_;
  access::v1::ApprovalService& approvals_;
  Options options_;
  std::unordered_map<std::string, int64_t> used_;  // digests of states; until when to remember
};

// The arguments as a person is shown them: at most `bytes_max` of JSON, values of members whose
// names speak of secrets masked, control and direction characters made visible.
std::string ShowArguments(std::string_view raw, size_t bytes_max);

}  // namespace metamcp::gateway
