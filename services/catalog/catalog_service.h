#pragma once

#include <string>

#include "metamcp/catalog/v1/catalog_service.metamcp.h"
#include "services/catalog/registry.h"

namespace metamcp::catalog {

// The generated interface over the registry: checks the tenant, asks, answers. Contracts of the
// methods: proto/metamcp/catalog/v1/catalog_service.proto. Thread: the registry's.
class CatalogService final : public v1::CatalogService {
 public:
  // `registry` must outlive this.
  explicit CatalogService(Registry& registry) : registry_(registry) {}

  Awaitable<absl::StatusOr<v1::ListUpstreamsResponse>> ListUpstreams(
      const CallContext& ctx, v1::ListUpstreamsRequest request) override;
  Awaitable<absl::StatusOr<v1::GetUpstreamResponse>> GetUpstream(
      const CallContext& ctx, v1::GetUpstreamRequest request) override;
  Awaitable<absl::StatusOr<v1::CreateUpstreamResponse>> CreateUpstream(
      const CallContext& ctx, v1::CreateUpstreamRequest request) override;
  Awaitable<absl::StatusOr<v1::UpdateUpstreamResponse>> UpdateUpstream(
      const CallContext& ctx, v1::UpdateUpstreamRequest request) override;
  Awaitable<absl::StatusOr<v1::DeleteUpstreamResponse>> DeleteUpstream(
      const CallContext& ctx, v1::DeleteUpstreamRequest request) override;
  Awaitable<absl::StatusOr<v1::SetUpstreamEnabledResponse>> SetUpstreamEnabled(
      const CallContext& ctx, v1::SetUpstreamEnabledRequest request) override;
  Awaitable<absl::StatusOr<v1::ListVirtualServersResponse>> ListVirtualServers(
      const CallContext& ctx, v1::ListVirtualServersRequest request) override;
  Awaitable<absl::StatusOr<v1::GetVirtualServerResponse>> GetVirtualServer(
      const CallContext& ctx, v1::GetVirtualServerRequest request) override;
  Awaitable<absl::StatusOr<v1::CreateVirtualServerResponse>> CreateVirtualServer(
      const CallContext& ctx, v1::CreateVirtualServerRequest request) override;
  Awaitable<absl::StatusOr<v1::UpdateVirtualServerResponse>> UpdateVirtualServer(
      const CallContext& ctx, v1::UpdateVirtualServerRequest request) override;
  Awaitable<absl::StatusOr<v1::DeleteVirtualServerResponse>> DeleteVirtualServer(
      const CallContext& ctx, v1::DeleteVirtualServerRequest request) override;
  Awaitable<absl::StatusOr<v1::SetVirtualServerEnabledResponse>> SetVirtualServerEnabled(
      const CallContext& ctx, v1::SetVirtualServerEnabledRequest request) override;
  Awaitable<absl::StatusOr<v1::ListItemsResponse>> ListItems(const CallContext& ctx,
                                                             v1::ListItemsRequest request) override;
  Awaitable<absl::StatusOr<v1::SearchItemsResponse>> SearchItems(
      const CallContext& ctx, v1::SearchItemsRequest request) override;
  Awaitable<absl::StatusOr<v1::ExplainItemResponse>> ExplainItem(
      const CallContext& ctx, v1::ExplainItemRequest request) override;
  Awaitable<absl::StatusOr<v1::ApplyConfigResponse>> ApplyConfig(
      const CallContext& ctx, v1::ApplyConfigRequest request) override;
  Awaitable<absl::StatusOr<v1::RegisterProviderResponse>> RegisterProvider(
      const CallContext& ctx, v1::RegisterProviderRequest request) override;
  Awaitable<absl::StatusOr<v1::ReportResponse>> Report(const CallContext& ctx,
                                                       v1::ReportRequest request) override;
  Awaitable<absl::Status> WatchCatalog(const CallContext& ctx, v1::WatchCatalogRequest request,
                                       Sink<v1::WatchCatalogResponse>& sink) override;
  Awaitable<absl::Status> WatchUpstreams(const CallContext& ctx, v1::WatchUpstreamsRequest request,
                                         Sink<v1::WatchUpstreamsResponse>& sink) override;

 private:
  absl::Status CheckTenant(const CallContext& ctx) const;

  Registry& registry_;
};

}  // namespace metamcp::catalog
