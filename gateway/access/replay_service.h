#pragma once

#include "common/config/config.h"
#include "gateway/access/access_guard.h"
#include "gateway/routing/mirror.h"
#include "metamcp/access/v1/replay_service.metamcp.h"
#include "metamcp/audit/v1/audit_service.metamcp.h"

namespace metamcp::gateway {

// proto/metamcp/access/v1/replay_service.proto. What it refers to must outlive it. Thread: the io
// thread, which it gives to others every few records.
class ReplayServiceImpl final : public access::v1::ReplayService {
 public:
  // `audit` may be null: nothing is audited. `config`: of policy, as it is at each call.
  ReplayServiceImpl(const AccessGuard& guard, const CatalogMirror& mirror,
                    const config::PolicyConfig& config, audit::v1::AuditService* audit)
      : guard_(guard), mirror_(mirror), config_(config), audit_(audit) {}

  Awaitable<absl::StatusOr<access::v1::ReplayPolicyResponse>> ReplayPolicy(
      const CallContext& ctx, access::v1::ReplayPolicyRequest request) override;

 private:
  const AccessGuard& guard_;
  const CatalogMirror& mirror_;
  const config::PolicyConfig& config_;
  audit::v1::AuditService* const audit_;
};

}  // namespace metamcp::gateway
