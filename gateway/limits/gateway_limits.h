#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string>

#include "common/base/principal.h"
#include "common/config/config.h"
#include "gateway/limits/exchange.h"
#include "gateway/limits/limit_stage.h"
#include "gateway/limits/limiter.h"
#include "metamcp/gateway/v1/limits_service.metamcp.h"

namespace metamcp::gateway {

// The limits of one gateway: the limiter, its stage in the call chain, its exchange with the
// catalog, and what operators see of it. Thread: the io thread.
class GatewayLimits final : public v1::LimitsService {
 public:
  struct Options {
    Options() {}
    catalog::v1::QuotaService* catalog = nullptr;  // null: nothing is shared or kept
    std::string gateway;
    bool shared = false;              // other gateways take part
    std::function<size_t()> members;  // of gateways that are alive
  };
  GatewayLimits(boost::asio::any_io_executor executor, const config::Config& config,
                Options options);

  CallStage& stage() { return stage_; }
  // Takes effect at once.
  void SetConfig(const config::Config& config) { limiter_.SetRules(config.limits.rules); }
  // One request to the REST API. Errors: RATE_LIMITED, QUOTA_EXHAUSTED.
  absl::Status Admit(const Principal& principal, limits::Ticket& ticket);
  // One request to a model, which counts as a call of the tool "model.NAME". Errors: as Admit.
  absl::Status AdmitModel(const Principal& principal, const std::string& model,
                          limits::Ticket& ticket);
  void Release(limits::Ticket& ticket) { limiter_.Release(ticket); }

  // Reads what is used up and works until cancelled; spawn it once. A catalog that does not answer
  // is waited for in the background.
  Awaitable<void> Run();
  Awaitable<void> Stop() { return exchange_.Leave(); }

  // In Prometheus' terms: rule, scope, kind and how many were refused.
  using Count = std::function<void(const limits::Rule& rule, limits::Refusal why, uint64_t count)>;
  void ForEachRefusal(const Count& fn) const;
  size_t keys() const { return limiter_.keys(); }

  Awaitable<absl::StatusOr<v1::ListLimitsResponse>> ListLimits(
      const CallContext& ctx, v1::ListLimitsRequest request) override;

 private:
  limits::Limiter limiter_;
  limits::LimitStage stage_;
  limits::Exchange exchange_;
};

// Holds what one request to the REST API, or to a model, was admitted with.
class AdmittedRequest {
 public:
  AdmittedRequest(GatewayLimits& limits, const Principal& principal)
      : limits_(limits), status_(limits.Admit(principal, ticket_)) {}
  AdmittedRequest(GatewayLimits& limits, const Principal& principal, const std::string& model)
      : limits_(limits), status_(limits.AdmitModel(principal, model, ticket_)) {}
  ~AdmittedRequest() { limits_.Release(ticket_); }
  AdmittedRequest(const AdmittedRequest&) = delete;
  AdmittedRequest& operator=(const AdmittedRequest&) = delete;

  const absl::Status& status() const { return status_; }

 private:
  GatewayLimits& limits_;
  limits::Ticket ticket_;
  const absl::Status status_;
};

}  // namespace metamcp::gateway
