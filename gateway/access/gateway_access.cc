#include "gateway/access/gateway_access.h"

#include "common/base/error.h"

namespace metamcp::gateway {
namespace {

namespace v1 = access::v1;

// Where there is no store of approvals, nothing is ever allowed.
class NoApprovals final : public v1::ApprovalService {
 public:
  Awaitable<absl::StatusOr<v1::AskApprovalResponse>> AskApproval(const CallContext&,
                                                                 v1::AskApprovalRequest) override {
    co_return None();
  }
  Awaitable<absl::StatusOr<v1::DecideApprovalResponse>> DecideApproval(
      const CallContext&, v1::DecideApprovalRequest) override {
    co_return None();
  }
  Awaitable<absl::StatusOr<v1::ListApprovalsResponse>> ListApprovals(
      const CallContext&, v1::ListApprovalsRequest) override {
    co_return None();
  }
  Awaitable<absl::StatusOr<v1::GetApprovalResponse>> GetApproval(const CallContext&,
                                                                 v1::GetApprovalRequest) override {
    co_return None();
  }
  Awaitable<absl::StatusOr<v1::RevokeApprovalResponse>> RevokeApproval(
      const CallContext&, v1::RevokeApprovalRequest) override {
    co_return None();
  }

 private:
  static absl::Status None() {
    return MakeError("PERMISSION_DENIED", "policy",
                     "a person must allow this, and this gateway can ask nobody");
  }
};

}  // namespace

GatewayAccess::GatewayAccess(const CatalogMirror& mirror,
                             std::shared_ptr<const policy::Policy> policy,
                             access::v1::ApprovalService* approvals, audit::v1::AuditService* audit,
                             const config::PolicyConfig& config)
    : config_(config),
      guard_(std::move(policy)),
      approvals_(approvals),
      nobody_(approvals == nullptr ? std::make_unique<NoApprovals>() : nullptr),
      consent_(guard_, approvals == nullptr ? *nobody_ : *approvals, OptionsOf(config)),
      policy_service_(guard_, mirror),
      replay_service_(guard_, mirror, config_, audit) {}

void GatewayAccess::Join(CallChain& chain, std::vector<rpc::Service*>& services) {
  chain.AddStage(&guard_);
  chain.SetConsent(&consent_);
  chain.SetFilter(&guard_);
  services.push_back(&policy_service_);
  services.push_back(&replay_service_);
  if (approvals_ != nullptr) services.push_back(approvals_);
}

bool GatewayAccess::Set(std::shared_ptr<const policy::Policy> policy,
                        const config::PolicyConfig& config) {
  if (config == config_) return false;
  config_ = config;
  guard_.SetPolicy(std::move(policy));
  consent_.SetOptions(OptionsOf(config));
  return true;
}

Consent::Options GatewayAccess::OptionsOf(const config::PolicyConfig& config) {
  Consent::Options out;
  out.lifetime = std::chrono::seconds(config.approval_s);
  out.self_approval = config.self_approval;
  return out;
}

}  // namespace metamcp::gateway
