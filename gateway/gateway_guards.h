#pragma once

#include <boost/asio/any_io_executor.hpp>

#include "common/config/config.h"
#include "gateway/admin/metrics.h"
#include "gateway/guard/detector_stage.h"
#include "gateway/guard/taint_sharing.h"
#include "gateway/limits/gateway_limits.h"
#include "gateway/routing/call_chain.h"
#include "gateway/routing/mirror.h"

namespace metamcp::gateway {

struct GatewayDeps;

// Limits, taint and detectors of one gateway: the stages of its call chain that need nobody's
// answer. Thread: the io thread.
class GatewayGuards {
 public:
  GatewayGuards(boost::asio::any_io_executor executor, const config::Config& config,
                const GatewayDeps& deps);

  // Before the first call. This must outlive the last one, and the mirror's last message.
  void Join(CallChain& chain, CatalogMirror& mirror);
  // Takes effect with the next call.
  void SetConfig(const config::Config& config);
  void Measure(admin::Gauges& gauges) const;

  GatewayLimits& limits() { return limits_; }
  TaintGuard& taint() { return taint_; }

 private:
  GatewayLimits limits_;
  DetectorStage detectors_;
  TaintGuard taint_;
  CatalogMirror* mirror_ = nullptr;
};

}  // namespace metamcp::gateway
