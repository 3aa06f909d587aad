#pragma once

#include <memory>
#include <vector>

#include "common/config/config.h"
#include "gateway/access/access_guard.h"
#include "gateway/access/consent.h"
#include "gateway/access/policy_service.h"
#include "gateway/access/replay_service.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {

// Roles, teams, policy and consent of one gateway, wired. Thread: the io thread.
class GatewayAccess {
 public:
  // What it refers to must outlive it; without approvals nobody can be asked, and calls that need
  // it fail; without an audit there is nothing to replay.
  GatewayAccess(const CatalogMirror& mirror, std::shared_ptr<const policy::Policy> policy,
                access::v1::ApprovalService* approvals, audit::v1::AuditService* audit,
                const config::PolicyConfig& config);

  AccessGuard& guard() { return guard_; }
  // What persons are asked for beside the policy. Must outlive the last call.
  void SetCause(ConsentCause* cause) { consent_.SetCause(cause); }
  // Joins the call chain, which it must outlive, and the services of the REST API.
  void Join(CallChain& chain, std::vector<rpc::Service*>& services);
  // Takes other rules and settings. Returns whether lists may be others now.
  bool Set(std::shared_ptr<const policy::Policy> policy, const config::PolicyConfig& config);

 private:
  static Consent::Options OptionsOf(const config::PolicyConfig& config);

  config::PolicyConfig config_;
  AccessGuard guard_;
  access::v1::ApprovalService* const approvals_;
  std::unique_ptr<access::v1::ApprovalService> nobody_;
  Consent consent_;
  PolicyServiceImpl policy_service_;
  ReplayServiceImpl replay_service_;
};

}  // namespace metamcp::gateway
