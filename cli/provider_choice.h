#pragma once

#include <string>
#include <utility>

#include "metamcp/provider/v1/provider_service.metamcp.h"
#include "services/workflow/app.h"

namespace metamcp::cli {

// What other processes call in one that has several providers: the one whose upstream is meant.
class ProviderChoice final : public provider::v1::ProviderService {
 public:
  // Both must outlive this.
  ProviderChoice(workflow::App& workflows, provider::v1::ProviderService& connector)
      : workflows_(workflows), connector_(connector) {}

  Awaitable<absl::Status> Call(const CallContext& ctx, provider::v1::CallRequest request,
                               Sink<provider::v1::CallResponse>& sink) override {
    return For(request.upstream_id()).Call(ctx, std::move(request), sink);
  }
  Awaitable<absl::Status> Listen(const CallContext& ctx, provider::v1::ListenRequest request,
                                 Sink<provider::v1::ListenResponse>& sink) override {
    return For(request.upstream_id()).Listen(ctx, std::move(request), sink);
  }

 private:
  provider::v1::ProviderService& For(const std::string& upstream_id) {
    return workflows_.Serves(upstream_id) ? workflows_.provider() : connector_;
  }

  workflow::App& workflows_;
  provider::v1::ProviderService& connector_;
};

}  // namespace metamcp::cli
