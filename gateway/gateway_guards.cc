#include "gateway/gateway_guards.h"

#include "common/base/ids.h"
#include "gateway/app.h"

namespace metamcp::gateway {
namespace {

GatewayLimits::Options LimitsOptions(const GatewayDeps& deps) {
  GatewayLimits::Options options;
  options.catalog = deps.quotas;
  options.shared = deps.peers != nullptr && deps.peers->clustered();
  options.gateway = deps.peers != nullptr ? deps.peers->self() : HexEncode(RandomBytes(6));
  options.members = deps.gateways;
  return options;
}

TaintGuard::Options TaintOptions(const GatewayDeps& deps) {
  TaintGuard::Options options;
  options.service = deps.taint;
  options.shared = deps.peers != nullptr && deps.peers->clustered();
  return options;
}

}  // namespace

GatewayGuards::GatewayGuards(boost::asio::any_io_executor executor, const config::Config& config,
                             const GatewayDeps& deps)
    : limits_(executor, config, LimitsOptions(deps)),
      detectors_(config.detectors),
      taint_(std::move(executor), config.taint, TaintOptions(deps)) {}

void GatewayGuards::Join(CallChain& chain, CatalogMirror& mirror) {
  chain.AddStage(&limits_.stage());
  chain.AddStage(&taint_.stage());
  chain.AddStage(&detectors_);
  mirror_ = &mirror;
  mirror.SetInspector([this](const std::string& name, const std::string& definition) {
    return detectors_.Inspect(name, definition);
  });
}

void GatewayGuards::SetConfig(const config::Config& config) {
  limits_.SetConfig(config);
  taint_.SetConfig(config.taint);
  const bool differs = detectors_.SetConfig(config.detectors);
  if (differs && mirror_ != nullptr) mirror_->InspectAgain();
}

void GatewayGuards::Measure(admin::Gauges& gauges) const {
  limits_.ForEachRefusal([&gauges](const auto& rule, limits::Refusal why, uint64_t count) {
    gauges.limits.push_back({rule.name, std::string(limits::ScopeName(rule.scope)),
                             std::string(limits::RefusalName(why)), count});
  });
  gauges.limit_keys = limits_.keys();
  detectors_.ForEachFinding([&gauges](detect::Kind kind, Place place, auto action, auto count) {
    gauges.findings.push_back({std::string(detect::KindName(kind)), std::string(PlaceName(place)),
                               std::string(action), count});
  });
}

}  // namespace metamcp::gateway
