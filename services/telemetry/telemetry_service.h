#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/telemetry/log.h"
#include "services/telemetry/app.h"
#include "services/telemetry/aside.h"

namespace metamcp::telemetry {

// See app.h.
class TelemetryService final : public v1::TelemetryService {
 public:
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
  struct AllSpans {
    std::shared_ptr<v1::ListSpansResponse> spans;
    google::protobuf::RepeatedPtrField<v1::Source> sources;
  };
  // Kept spans of all processes, for what is made of them. Errors: ListSpans's.
  Awaitable<absl::StatusOr<AllSpans>> SpansSince(const CallContext& ctx, int64_t since_us);
  void SetLevelFor(LogLevel level, int64_t seconds);

  const std::string instance_;
  const std::string service_;
  const Peers peers_;
  TaskGroup& tasks_;
  Aside aside_;
  uint64_t level_turn_ = 0;  // of the newest SetLogLevel
  LogLevel level_before_{};  // while a level is set for a time
  bool level_for_a_time_ = false;
};

}  // namespace metamcp::telemetry
