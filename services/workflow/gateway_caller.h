#pragma once

#include <map>
#include <string>

#include "metamcp/access/v1/approval_service.metamcp.h"
#include "metamcp/catalog/v1/catalog_service.metamcp.h"
#include "metamcp/gateway/v1/calls_service.metamcp.h"
#include "services/workflow/engine/caller.h"

namespace metamcp::http {
class HttpClient;
}

namespace metamcp::workflow {

// Steps call tools through the gateway's one call chain. Single-threaded; what it refers to must
// outlive it.
class GatewayCaller final : public Caller {
 public:
  // `loopback`: HTTP may reach this machine; else public addresses only.
  GatewayCaller(metamcp::catalog::v1::CatalogService& catalog, http::HttpClient& http,
                bool loopback)
      : catalog_(catalog), http_(http), loopback_(loopback) {}
  // Before the first call.
  void SetCalls(metamcp::gateway::v1::CallsService* calls) { calls_ = calls; }

  Awaitable<absl::Status> Admit(const CallContext& ctx) override;
  // Whether there is a service that fills slots by a model.
  void SetModels(bool there) { models_ = there; }
  // Who keeps what persons allow; null: nobody does. `self`: who makes a call may allow it.
  void SetApprovals(metamcp::access::v1::ApprovalService* approvals, bool self) {
    approvals_ = approvals;
    self_approval_ = self;
  }

  Awaitable<absl::StatusOr<ToolInfo>> Describe(const CallContext& ctx, std::string tool) override;
  Awaitable<absl::StatusOr<ToolResult>> CallTool(const CallContext& ctx, std::string tool,
                                                 std::string arguments,
                                                 std::string idempotency_key) override;
  Awaitable<absl::StatusOr<ApprovalInfo>> LookUpApproval(const CallContext& ctx,
                                                         std::string id) override;
  Awaitable<absl::Status> DecideApproval(const CallContext& ctx, std::string id,
                                         bool approve) override;
  Awaitable<void> HearDenial(const CallContext& ctx, std::string id) override;
  Awaitable<absl::StatusOr<HttpReply>> CallHttp(const CallContext& ctx, HttpCall call) override;

 private:
  struct Known {
    ToolInfo info;
    CallContext::Clock::time_point until;
  };
  metamcp::catalog::v1::CatalogService& catalog_;
  http::HttpClient& http_;
  const bool loopback_;
  metamcp::gateway::v1::CallsService* calls_ = nullptr;
  metamcp::access::v1::ApprovalService* approvals_ = nullptr;
  bool self_approval_ = true;
  bool models_ = false;
  std::map<std::string, Known> known_;
  std::map<std::string, CallContext::Clock::time_point> admitted_;  // principals, until then
};

}  // namespace metamcp::workflow
