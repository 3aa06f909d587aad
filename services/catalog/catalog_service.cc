#include "services/catalog/catalog_service.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/catalog/query.h"
#include "services/catalog/sharing.h"
#include "services/catalog/watch.h"

namespace metamcp::catalog {
namespace {

constexpr int kAttempts = 8;

std::string ActorOf(const CallContext& ctx) {
  if (ctx.principal == nullptr || ctx.principal->subject.empty()) return "unknown";
  return ctx.principal->subject;
}

const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// Who shares the store may write between our look and our write; then what was wanted is worked
// out again, on top of theirs.
template <typename T>
Awaitable<T> OnTop(std::function<Awaitable<T>()> write) {
  for (int attempt = 1;; ++attempt) {
    auto writing = write();
    T result = co_await std::move(writing);
    const auto info = GetErrorInfo(StatusOf(result));
    const bool overtaken = info && info->reason == "DATABASE_CONFLICT";
    if (!overtaken || attempt == kAttempts) co_return result;
  }
}

}  // namespace

// The registry holds one tenant. Another tenant's caller learns nothing of it.
absl::Status CatalogService::CheckTenant(const CallContext& ctx) const {
  if (ctx.tenant() == registry_.tenant()) return absl::OkStatus();
  return MakeError("PERMISSION_DENIED", "catalog", "this catalog does not serve your tenant");
}

Awaitable<absl::StatusOr<v1::ListUpstreamsResponse>> CatalogService::ListUpstreams(
    const CallContext& ctx, v1::ListUpstreamsRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  auto listed = catalog::ListUpstreams(registry_.model(), request);
  if (listed.ok()) {
    auto& upstreams = *listed->mutable_upstreams();
    upstreams.erase(
        std::remove_if(upstreams.begin(), upstreams.end(),
                       [&](const v1::Upstream& one) { return !MaySee(ctx, one.meta()); }),
        upstreams.end());
  }
  co_return listed;
}

Awaitable<absl::StatusOr<v1::GetUpstreamResponse>> CatalogService::GetUpstream(
    const CallContext& ctx, v1::GetUpstreamRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  const Model::UpstreamSlot* slot = registry_.model().FindUpstream(request.name());
  if (slot == nullptr || !MaySee(ctx, slot->record->upstream.meta())) {
    co_return NoServer(request.name());
  }
  v1::GetUpstreamResponse response;
  *response.mutable_upstream() = slot->record->upstream;
  co_return response;
}

Awaitable<absl::StatusOr<v1::CreateUpstreamResponse>> CatalogService::CreateUpstream(
    const CallContext& ctx, v1::CreateUpstreamRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  const auto write = [&] {
    return registry_.CreateUpstream(request.upstream(), request.request_id(), ActorOf(ctx));
  };
  auto storing = OnTop<absl::StatusOr<v1::Upstream>>(write);
  auto stored = co_await std::move(storing);
  if (!stored.ok()) co_return stored.status();
  v1::CreateUpstreamResponse response;
  *response.mutable_upstream() = *std::move(stored);
  co_return response;
}

Awaitable<absl::StatusOr<v1::UpdateUpstreamResponse>> CatalogService::UpdateUpstream(
    const CallContext& ctx, v1::UpdateUpstreamRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  const auto write = [&] {
    return registry_.UpdateUpstream(request.name(), request.upstream(), ActorOf(ctx));
  };
  auto storing = OnTop<absl::StatusOr<v1::Upstream>>(write);
  auto stored = co_await std::move(storing);
  if (!stored.ok()) co_return stored.status();
  v1::UpdateUpstreamResponse response;
  *response.mutable_upstream() = *std::move(stored);
  co_return response;
}

Awaitable<absl::StatusOr<v1::DeleteUpstreamResponse>> CatalogService::DeleteUpstream(
    const CallContext& ctx, v1::DeleteUpstreamRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  const auto write = [&] { return registry_.DeleteUpstream(request.name(), request.etag()); };
  auto storing = OnTop<absl::Status>(write);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(storing));
  co_return v1::DeleteUpstreamResponse();
}

Awaitable<absl::StatusOr<v1::SetUpstreamEnabledResponse>> CatalogService::SetUpstreamEnabled(
    const CallContext& ctx, v1::SetUpstreamEnabledRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  const auto write = [&] {
    return registry_.SetUpstreamEnabled(request.name(), request.enabled(), ActorOf(ctx));
  };
  auto storing = OnTop<absl::StatusOr<v1::Upstream>>(write);
  auto stored = co_await std::move(storing);
  if (!stored.ok()) co_return stored.status();
  v1::SetUpstreamEnabledResponse response;
  *response.mutable_upstream() = *std::move(stored);
  co_return response;
}

Awaitable<absl::StatusOr<v1::ListVirtualServersResponse>> CatalogService::ListVirtualServers(
    const CallContext& ctx, v1::ListVirtualServersRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  auto listed = catalog::ListServers(registry_.model(), request);
  if (listed.ok()) {
    auto& servers = *listed->mutable_virtual_servers();
    servers.erase(
        std::remove_if(servers.begin(), servers.end(),
                       [&](const v1::VirtualServer& one) { return !MaySee(ctx, one.meta()); }),
        servers.end());
  }
  co_return listed;
}

Awaitable<absl::StatusOr<v1::GetVirtualServerResponse>> CatalogService::GetVirtualServer(
    const CallContext& ctx, v1::GetVirtualServerRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  if (!MaySeeServer(ctx, registry_.model(), request.name())) {
    co_return NoVirtualServer(request.name());
  }
  auto described = DescribeServer(registry_.model(), request.name());
  if (described.ok()) Filter(ctx, registry_.model(), &*described);
  co_return described;
}

Awaitable<absl::StatusOr<v1::CreateVirtualServerResponse>> CatalogService::CreateVirtualServer(
    const CallContext& ctx, v1::CreateVirtualServerRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  const auto write = [&] {
    return registry_.CreateServer(request.virtual_server(), request.request_id(), ActorOf(ctx));
  };
  auto storing = OnTop<absl::StatusOr<v1::VirtualServer>>(write);
  auto stored = co_await std::move(storing);
  if (!stored.ok()) co_return stored.status();
  v1::CreateVirtualServerResponse response;
  *response.mutable_virtual_server() = *std::move(stored);
  co_return response;
}

Awaitable<absl::StatusOr<v1::UpdateVirtualServerResponse>> CatalogService::UpdateVirtualServer(
    const CallContext& ctx, v1::UpdateVirtualServerRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  const auto write = [&] {
    return registry_.UpdateServer(request.name(), request.virtual_server(), ActorOf(ctx));
  };
  auto storing = OnTop<absl::StatusOr<v1::VirtualServer>>(write);
  auto stored = co_await std::move(storing);
  if (!stored.ok()) co_return stored.status();
  v1::UpdateVirtualServerResponse response;
  *response.mutable_virtual_server() = *std::move(stored);
  co_return response;
}

Awaitable<absl::StatusOr<v1::DeleteVirtualServerResponse>> CatalogService::DeleteVirtualServer(
    const CallContext& ctx, v1::DeleteVirtualServerRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  const auto write = [&] { return registry_.DeleteServer(request.name(), request.etag()); };
  auto storing = OnTop<absl::Status>(write);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(storing));
  co_return v1::DeleteVirtualServerResponse();
}

Awaitable<absl::StatusOr<v1::SetVirtualServerEnabledResponse>>
CatalogService::SetVirtualServerEnabled(const CallContext& ctx,
                                        v1::SetVirtualServerEnabledRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  const auto write = [&] {
    return registry_.SetServerEnabled(request.name(), request.enabled(), ActorOf(ctx));
  };
  auto storing = OnTop<absl::StatusOr<v1::VirtualServer>>(write);
  auto stored = co_await std::move(storing);
  if (!stored.ok()) co_return stored.status();
  v1::SetVirtualServerEnabledResponse response;
  *response.mutable_virtual_server() = *std::move(stored);
  co_return response;
}

Awaitable<absl::StatusOr<v1::ListItemsResponse>> CatalogService::ListItems(
    const CallContext& ctx, v1::ListItemsRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  if (!MaySeeServer(ctx, registry_.model(), request.virtual_server())) {
    co_return NoVirtualServer(request.virtual_server());
  }
  auto found = catalog::ListItems(registry_.model(), request);
  if (found.ok()) Filter(ctx, registry_.model(), found->mutable_items());
  co_return found;
}

Awaitable<absl::StatusOr<v1::SearchItemsResponse>> CatalogService::SearchItems(
    const CallContext& ctx, v1::SearchItemsRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  if (!MaySeeServer(ctx, registry_.model(), request.virtual_server())) {
    co_return NoVirtualServer(request.virtual_server());
  }
  auto found = catalog::SearchItems(registry_.model(), request);
  if (found.ok()) Filter(ctx, registry_.model(), found->mutable_items());
  co_return found;
}

Awaitable<absl::StatusOr<v1::ExplainItemResponse>> CatalogService::ExplainItem(
    const CallContext& ctx, v1::ExplainItemRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  if (!MaySeeServer(ctx, registry_.model(), request.virtual_server())) {
    co_return NoVirtualServer(request.virtual_server());
  }
  auto found = catalog::ExplainItem(registry_.model(), request);
  if (found.ok()) Filter(ctx, registry_.model(), found->mutable_items());
  if (found.ok() && found->items().empty()) {
    co_return MakeError("NOT_FOUND", "catalog", StrCat("there is no item '", request.name(), "'"));
  }
  co_return found;
}

Awaitable<absl::StatusOr<v1::ApplyConfigResponse>> CatalogService::ApplyConfig(
    const CallContext& ctx, v1::ApplyConfigRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  co_return co_await registry_.ApplyConfig(std::move(request));
}

Awaitable<absl::StatusOr<v1::RegisterProviderResponse>> CatalogService::RegisterProvider(
    const CallContext& ctx, v1::RegisterProviderRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  auto registering =
      registry_.RegisterProvider(request.service(), request.display_name(), request.create());
  auto upstream = co_await std::move(registering);
  if (!upstream.ok()) co_return upstream.status();
  v1::RegisterProviderResponse response;
  *response.mutable_upstream() = *std::move(upstream);
  co_return response;
}

Awaitable<absl::StatusOr<v1::ReportResponse>> CatalogService::Report(const CallContext& ctx,
                                                                     v1::ReportRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  // The reporter may know of it from another catalog.
  if (registry_.model().FindUpstream(request.upstream_id()) == nullptr) co_await registry_.Share();
  METAMCP_CO_ASSIGN_OR_RETURN(const int64_t revision,
                              co_await registry_.Report(std::move(request)));
  // Whoever has reported does not do it again: another catalog must be able to go on with it.
  co_await registry_.Share();
  v1::ReportResponse response;
  response.set_revision(revision);
  co_return response;
}

Awaitable<absl::Status> CatalogService::WatchCatalog(const CallContext& ctx,
                                                     v1::WatchCatalogRequest request,
                                                     Sink<v1::WatchCatalogResponse>& sink) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  // The reader knows more from another catalog.
  if (request.revision() > registry_.model().head()) co_await registry_.Share();
  co_return co_await catalog::WatchCatalog(registry_, request.revision(), sink);
}

Awaitable<absl::Status> CatalogService::WatchUpstreams(const CallContext& ctx,
                                                       v1::WatchUpstreamsRequest,
                                                       Sink<v1::WatchUpstreamsResponse>& sink) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  // Whoever comes from another catalog ends what is not listed.
  co_await registry_.Share();
  co_return co_await catalog::WatchUpstreams(registry_, sink);
}

}  // namespace metamcp::catalog
