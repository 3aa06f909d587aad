#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/async/task_group.h"
#include "common/telemetry/log.h"
#include "metamcp/telemetry/v1/telemetry_service.metamcp.h"

namespace metamcp::telemetry {

// Another process that can be asked.
struct Peer {
  std::string instance;
  std::string service;
  std::shared_ptr<v1::TelemetryService> client;
};

// What this process tells, and with `peers` what all of them tell. Thread: the io thread.
class TelemetryService final : public v1::TelemetryService {
 public:
  using Peers = std::function<std::vector<Peer>()>;
  // `instance` and `service` name this process. `peers` may be empty: it speaks for itself only.
  TelemetryService(std::string instance, std::string service, Peers peers, TaskGroup& tasks);

  Awaitable<absl::StatusOr<v1::SearchLogsResponse>> SearchLogs(
      const CallContext& ctx, v1::SearchLogsRequest request) override;
  Awaitable<absl::StatusOr<v1::SetLogLevelResponse>> SetLogLevel(
      const CallContext& ctx, v1::SetLogLevelRequest request) override;
  Awaitable<absl::StatusOr<v1::ListSpansResponse>> ListSpans(const CallContext& ctx,
                                                             v1::ListSpansRequest request) override;
  Awaitable<absl::StatusOr<v1::AnalyzePerformanceResponse>> AnalyzePerformance(
      const CallContext& ctx, v1::AnalyzePerformanceRequest request) override;
  Awaitable<absl::StatusOr<v1::GetServiceMapResponse>> GetServiceMap(
      const CallContext& ctx, v1::GetServiceMapRequest request) override;
  Awaitable<absl::StatusOr<v1::TakeProfileResponse>> TakeProfile(
      const CallContext& ctx, v1::TakeProfileRequest request) override;

 private:
  v1::Source Self() const;
  std::vector<Peer> Others() const { return peers_ ? peers_() : std::vector<Peer>(); }
  // Kept spans of all processes. Errors: TRACES_NOT_KEPT where no process keeps any.
  Awaitable<absl::StatusOr<v1::ListSpansResponse>> Spans(const CallContext& ctx,
                                                         v1::ListSpansRequest request);
  void SetLevelFor(LogLevel level, int64_t seconds);

  const std::string instance_;
  const std::string service_;
  const Peers peers_;
  TaskGroup& tasks_;
  uint64_t level_turn_ = 0;  // of the newest SetLogLevel
  LogLevel level_before_{};  // while a level is set for a time
  bool level_for_a_time_ = false;
};

}  // namespace metamcp::telemetry
