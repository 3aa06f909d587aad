#pragma once

#include "metamcp/connector/v1/connector_service.metamcp.h"
#include "services/connector/diagnosis.h"
#include "services/connector/manager.h"
#include "services/connector/secrets.h"

namespace metamcp::connector {

// connector.v1 over the upstream actors.
class ConnectorServiceImpl final : public metamcp::connector::v1::ConnectorService {
 public:
  ConnectorServiceImpl(Manager& manager, Diagnosis& diagnosis, LoginCore& logins, Secrets& secrets)
      : manager_(manager), diagnosis_(diagnosis), logins_(logins), secrets_(secrets) {}

  Awaitable<absl::StatusOr<admin_pb::ListConnectionsResponse>> ListConnections(
      const CallContext& ctx, admin_pb::ListConnectionsRequest request) override;
  Awaitable<absl::StatusOr<admin_pb::RestartUpstreamResponse>> RestartUpstream(
      const CallContext& ctx, admin_pb::RestartUpstreamRequest request) override;
  Awaitable<absl::StatusOr<admin_pb::GetLogsResponse>> GetLogs(
      const CallContext& ctx, admin_pb::GetLogsRequest request) override;
  Awaitable<absl::StatusOr<admin_pb::DiagnoseUpstreamResponse>> DiagnoseUpstream(
      const CallContext& ctx, admin_pb::DiagnoseUpstreamRequest request) override;
  Awaitable<absl::StatusOr<admin_pb::ProbeUpstreamResponse>> ProbeUpstream(
      const CallContext& ctx, admin_pb::ProbeUpstreamRequest request) override;
  Awaitable<absl::StatusOr<admin_pb::BeginLoginResponse>> BeginLogin(
      const CallContext& ctx, admin_pb::BeginLoginRequest request) override;
  Awaitable<absl::StatusOr<admin_pb::FinishLoginResponse>> FinishLogin(
      const CallContext& ctx, admin_pb::FinishLoginRequest request) override;
  Awaitable<absl::StatusOr<admin_pb::LogoutResponse>> Logout(
      const CallContext& ctx, admin_pb::LogoutRequest request) override;
  Awaitable<absl::StatusOr<admin_pb::SetSecretResponse>> SetSecret(
      const CallContext& ctx, admin_pb::SetSecretRequest request) override;
  Awaitable<absl::StatusOr<admin_pb::ListSecretsResponse>> ListSecrets(
      const CallContext& ctx, admin_pb::ListSecretsRequest request) override;
  Awaitable<absl::StatusOr<admin_pb::RemoveSecretResponse>> RemoveSecret(
      const CallContext& ctx, admin_pb::RemoveSecretRequest request) override;

 private:
  // For `subject`; empty: for everybody.
  absl::StatusOr<std::shared_ptr<Credentials>> LoginsOf(const std::string& name,
                                                        const std::string& subject) const;

  Manager& manager_;
  Diagnosis& diagnosis_;
  LoginCore& logins_;
  Secrets& secrets_;
};

}  // namespace metamcp::connector
