#include "services/connector/provider_service.h"

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "services/connector/call_codec.h"

namespace metamcp::connector {
Awaitable<absl::Status> ProviderServiceImpl::Call(const CallContext& ctx, pb::CallRequest request,
                                                  Sink<pb::CallResponse>& sink) {
  METAMCP_CO_RETURN_IF_ERROR(CheckCall(request));
  const std::shared_ptr<Upstream> upstream = manager_.Find(request.upstream_id());
  if (upstream == nullptr && !request.owner().empty()) {
    co_return MakeError("CALL_OWNER_LOST", "connector",
                        "the call's upstream is not run here any more; start the call again");
  }
  // What waits here is answered here; the rest goes to whoever comes next, or has come.
  const bool gone = manager_.handing_over() || manager_.doubtful();
  const bool leaves = gone && request.owner().empty();
  if (upstream == nullptr || leaves) co_return manager_.Missing(request.upstream_id());
  auto calling = upstream->Call(ctx, std::move(request), sink);
  co_return co_await std::move(calling);
}

Awaitable<absl::Status> ProviderServiceImpl::Listen(const CallContext& ctx,
                                                    pb::ListenRequest request,
                                                    Sink<pb::ListenResponse>& sink) {
  const std::shared_ptr<Upstream> upstream = manager_.Find(request.upstream_id());
  if (upstream == nullptr || manager_.handing_over() || manager_.doubtful()) {
    co_return manager_.Missing(request.upstream_id());
  }
  auto listening = upstream->Listen(ctx, std::move(request), sink);
  co_return co_await std::move(listening);
}

}  // namespace metamcp::connector
