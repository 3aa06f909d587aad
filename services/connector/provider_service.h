#pragma once

#include "metamcp/provider/v1/provider_service.metamcp.h"
#include "services/connector/manager.h"

namespace metamcp::connector {

// provider.v1 over the upstream actors.
class ProviderServiceImpl final : public metamcp::provider::v1::ProviderService {
 public:
  explicit ProviderServiceImpl(Manager& manager) : manager_(manager) {}

  Awaitable<absl::Status> Call(const CallContext& ctx, pb::CallRequest request,
                               Sink<pb::CallResponse>& sink) override;
  Awaitable<absl::Status> Listen(const CallContext& ctx, pb::ListenRequest request,
                                 Sink<pb::ListenResponse>& sink) override;

 private:
  Manager& manager_;
};

}  // namespace metamcp::connector
