#pragma once

#include "gateway/transport/duplex_front.h"
#include "gateway/transport/mcp_endpoint.h"
#include "metamcp/gateway/v1/edge_peer_service.metamcp.h"

namespace metamcp::gateway {

// What other gateways pass to this one (proto/metamcp/gateway/v1/edge_peer_service.proto). It opens
// the session id itself, for the principal that the caller carries, and passes nothing on.
// Single-threaded.
class EdgePeerServiceImpl final : public v1::EdgePeerService {
 public:
  // References must outlive this.
  EdgePeerServiceImpl(FrontDeps deps, LegacyFront& legacy, McpEndpoint& endpoint,
                      DuplexFront& duplex)
      : deps_(std::move(deps)), legacy_(legacy), endpoint_(endpoint), duplex_(duplex) {}

  Awaitable<absl::StatusOr<v1::DeliverResponse>> Deliver(const CallContext& ctx,
                                                         v1::DeliverRequest request) override;
  Awaitable<absl::Status> Attach(const CallContext& ctx, v1::AttachRequest request,
                                 Sink<v1::AttachResponse>& sink) override;
  Awaitable<absl::StatusOr<v1::TellMarksResponse>> TellMarks(const CallContext& ctx,
                                                             v1::TellMarksRequest request) override;
  Awaitable<absl::StatusOr<v1::LastUsedResponse>> LastUsed(const CallContext& ctx,
                                                           v1::LastUsedRequest request) override;

 private:
  absl::StatusOr<std::shared_ptr<LegacySession>> Open(const CallContext& ctx,
                                                      const std::string& target,
                                                      const std::string& session_id,
                                                      const std::string& virtual_server) const;
  absl::Status CheckTarget(const CallContext& ctx, const std::string& target) const;
  Awaitable<absl::StatusOr<v1::DeliverResponse>> DeliverToConnection(const CallContext& ctx,
                                                                     v1::DeliverRequest request);

  const FrontDeps deps_;
  LegacyFront& legacy_;
  McpEndpoint& endpoint_;
  DuplexFront& duplex_;
};

}  // namespace metamcp::gateway
