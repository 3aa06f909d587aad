#pragma once

#include "metamcp/catalog/v1/pin_service.metamcp.h"
#include "services/catalog/registry.h"

namespace metamcp::catalog {

// Approved definitions for operators (proto/metamcp/catalog/v1/pin_service.proto). Thread: the
// registry's.
class PinService final : public v1::PinService {
 public:
  // `registry` must outlive this.
  explicit PinService(Registry& registry) : registry_(registry) {}

  Awaitable<absl::StatusOr<v1::ListPinsResponse>> ListPins(const CallContext& ctx,
                                                           v1::ListPinsRequest request) override;
  Awaitable<absl::StatusOr<v1::GetPinResponse>> GetPin(const CallContext& ctx,
                                                       v1::GetPinRequest request) override;
  Awaitable<absl::StatusOr<v1::ApprovePinsResponse>> ApprovePins(
      const CallContext& ctx, v1::ApprovePinsRequest request) override;

 private:
  absl::Status CheckTenant(const CallContext& ctx) const;

  Registry& registry_;
};

}  // namespace metamcp::catalog
