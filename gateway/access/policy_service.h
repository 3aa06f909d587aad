#pragma once

#include "gateway/access/access_guard.h"
#include "gateway/routing/mirror.h"
#include "metamcp/access/v1/policy_service.metamcp.h"

namespace metamcp::gateway {

// proto/metamcp/access/v1/policy_service.proto. What it refers to must outlive it. Thread: the io
// thread.
class PolicyServiceImpl final : public access::v1::PolicyService {
 public:
  PolicyServiceImpl(const AccessGuard& guard, const CatalogMirror& mirror)
      : guard_(guard), mirror_(mirror) {}

  Awaitable<absl::StatusOr<access::v1::GetPolicyResponse>> GetPolicy(
      const CallContext& ctx, access::v1::GetPolicyRequest request) override;
  Awaitable<absl::StatusOr<access::v1::ExplainPolicyResponse>> ExplainPolicy(
      const CallContext& ctx, access::v1::ExplainPolicyRequest request) override;

 private:
  const AccessGuard& guard_;
  const CatalogMirror& mirror_;
};

}  // namespace metamcp::gateway
