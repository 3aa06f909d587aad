#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "common/cluster/members.h"
#include "metamcp/connector/v1/connector_service.metamcp.h"
#include "metamcp/provider/v1/provider_service.metamcp.h"

namespace metamcp::gateway {

// One connector, here or elsewhere.
struct ConnectorClient {
  std::shared_ptr<provider::v1::ProviderService> provider;
  std::shared_ptr<connector::v1::ConnectorService> connector;
};

// The connectors of a cluster as if they were one. A call goes to the connector that runs its
// upstream; one that runs it no more names the owner, which is followed. A retry of a call that
// waits in a connector's memory goes to that one only. Nothing is sent twice: what may have been
// received and got no answer is UNAVAILABLE. Single-threaded.
class Connectors final : public provider::v1::ProviderService,
                         public connector::v1::ConnectorService {
 public:
  using Dial = std::function<absl::StatusOr<ConnectorClient>(const cluster::Member&)>;
  // `members` must outlive this. `fallback` serves while no connector is known (a configured
  // address); its parts may be null.
  Connectors(cluster::Members& members, ConnectorClient fallback, Dial dial);

  // Errors beside the connector's: UPSTREAM_UNAVAILABLE while nobody runs the upstream,
  // CALL_OWNER_LOST.
  Awaitable<absl::Status> Call(const CallContext& ctx, provider::v1::CallRequest request,
                               Sink<provider::v1::CallResponse>& sink) override;
  Awaitable<absl::Status> Listen(const CallContext& ctx, provider::v1::ListenRequest request,
                                 Sink<provider::v1::ListenResponse>& sink) override;

  // Of all connectors together.
  Awaitable<absl::StatusOr<connector::v1::ListConnectionsResponse>> ListConnections(
      const CallContext& ctx, connector::v1::ListConnectionsRequest request) override;
  // The others are answered by whoever runs the upstream, or began the login.
  Awaitable<absl::StatusOr<connector::v1::RestartUpstreamResponse>> RestartUpstream(
      const CallContext& ctx, connector::v1::RestartUpstreamRequest request) override;
  Awaitable<absl::StatusOr<connector::v1::GetLogsResponse>> GetLogs(
      const CallContext& ctx, connector::v1::GetLogsRequest request) override;
  Awaitable<absl::StatusOr<connector::v1::DiagnoseUpstreamResponse>> DiagnoseUpstream(
      const CallContext& ctx, connector::v1::DiagnoseUpstreamRequest request) override;
  Awaitable<absl::StatusOr<connector::v1::ProbeUpstreamResponse>> ProbeUpstream(
      const CallContext& ctx, connector::v1::ProbeUpstreamRequest request) override;
  Awaitable<absl::StatusOr<connector::v1::BeginLoginResponse>> BeginLogin(
      const CallContext& ctx, connector::v1::BeginLoginRequest request) override;
  Awaitable<absl::StatusOr<connector::v1::FinishLoginResponse>> FinishLogin(
      const CallContext& ctx, connector::v1::FinishLoginRequest request) override;
  Awaitable<absl::StatusOr<connector::v1::LogoutResponse>> Logout(
      const CallContext& ctx, connector::v1::LogoutRequest request) override;
  Awaitable<absl::StatusOr<connector::v1::SetSecretResponse>> SetSecret(
      const CallContext& ctx, connector::v1::SetSecretRequest request) override;
  Awaitable<absl::StatusOr<connector::v1::ListSecretsResponse>> ListSecrets(
      const CallContext& ctx, connector::v1::ListSecretsRequest request) override;
  Awaitable<absl::StatusOr<connector::v1::RemoveSecretResponse>> RemoveSecret(
      const CallContext& ctx, connector::v1::RemoveSecretRequest request) override;

 private:
  struct Choice {
    std::string instance;  // empty: the fallback
    ConnectorClient client;
  };
  Awaitable<absl::StatusOr<Choice>> Choose(const CallContext& ctx, const std::string& upstream_id);
  Awaitable<absl::Status> CallOwner(const CallContext& ctx, provider::v1::CallRequest request,
                                    Sink<provider::v1::CallResponse>& sink);
  Awaitable<bool> Answers(const CallContext& ctx, const Choice& choice);
  std::vector<ConnectorClient> All();
  absl::StatusOr<ConnectorClient> ClientOf(const cluster::Member& member);
  void Remember(const std::string& upstream_id, const std::string& owner);
  // Asks whichever connector runs the upstream of `request`, however it moves meanwhile, until one
  // has begun. What has written to `sink` is asked of the next owner only where it may be had
  // `again`.
  template <typename Response, typename Request, typename Ask>
  Awaitable<absl::Status> AskWhoRuns(const CallContext& ctx, const Request& request,
                                     Sink<Response>& sink, bool again, Ask ask);
  template <typename Response, typename Ask>
  Awaitable<absl::StatusOr<Response>> FirstThatKnows(Ask ask);

  cluster::Members& members_;
  const ConnectorClient fallback_;
  const Dial dial_;
  std::map<std::string, std::string> owners_;       // by upstream id, as last heard
  std::map<std::string, ConnectorClient> clients_;  // by instance
  std::set<std::string> suspects_;                  // instances that did not answer
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace metamcp::gateway
