#pragma once

#include "common/auth/authenticator.h"
#include "gateway/protocol/front.h"
#include "metamcp/connector/v1/connector_service.metamcp.h"
#include "metamcp/gateway/v1/calls_service.metamcp.h"

namespace metamcp::gateway {

// Runs calls of the command line, workflows and peers through the one call chain.
class GatewayCallsService final : public v1::CallsService {
 public:
  GatewayCallsService(FrontDeps deps, const LoginLinks& logins,
                      connector::v1::ConnectorService& connector,
                      const auth::Authenticator& authenticator)
      : deps_(std::move(deps)),
        logins_(logins),
        connector_(connector),
        authenticator_(authenticator) {}

  Awaitable<absl::StatusOr<v1::CallResponse>> Call(const CallContext& ctx,
                                                   v1::CallRequest request) override;
  Awaitable<absl::StatusOr<v1::CheckPrincipalResponse>> CheckPrincipal(
      const CallContext& ctx, v1::CheckPrincipalRequest request) override;
  Awaitable<absl::StatusOr<v1::ListSessionsResponse>> ListSessions(
      const CallContext& ctx, v1::ListSessionsRequest request) override;
  Awaitable<absl::StatusOr<v1::RevokeSessionResponse>> RevokeSession(
      const CallContext& ctx, v1::RevokeSessionRequest request) override;
  Awaitable<absl::StatusOr<v1::CreateLoginLinkResponse>> CreateLoginLink(
      const CallContext& ctx, v1::CreateLoginLinkRequest request) override;

 private:
  FrontDeps deps_;
  const LoginLinks& logins_;
  connector::v1::ConnectorService& connector_;
  const auth::Authenticator& authenticator_;
};

}  // namespace metamcp::gateway
