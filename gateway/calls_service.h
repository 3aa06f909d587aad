#pragma once

#include "gateway/protocol/front.h"
#include "metamcp/gateway/v1/calls_service.metamcp.h"

namespace metamcp::gateway {

// Runs calls of the command line, workflows and peers through the one call chain.
class GatewayCallsService final : public v1::CallsService {
 public:
  explicit GatewayCallsService(FrontDeps deps) : deps_(std::move(deps)) {}

  Awaitable<absl::StatusOr<v1::CallResponse>> Call(const CallContext& ctx,
                                                   v1::CallRequest request) override;
  Awaitable<absl::StatusOr<v1::ListSessionsResponse>> ListSessions(
      const CallContext& ctx, v1::ListSessionsRequest request) override;
  Awaitable<absl::StatusOr<v1::RevokeSessionResponse>> RevokeSession(
      const CallContext& ctx, v1::RevokeSessionRequest request) override;

 private:
  FrontDeps deps_;
};

}  // namespace metamcp::gateway
