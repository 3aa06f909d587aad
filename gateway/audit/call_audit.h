#pragma once

#include <set>
#include <string>
#include <vector>

#include "gateway/audit/recorder.h"
#include "gateway/routing/call_auditor.h"

namespace metamcp::gateway {

// Makes an event of every call. `recorder` must outlive it.
class CallAudit final : public CallAuditor {
 public:
  struct Options {
    Options() {}
    std::vector<std::string> payload_servers;  // whose arguments and results are kept; "*" is all
    size_t payload_bytes_max = 65'536;         // of each
  };
  CallAudit(AuditRecorder& recorder, Options options);

  absl::Status Ready() override;
  Awaitable<absl::Status> OnFinished(const CallContext& ctx, const CallSpec& spec,
                                     const absl::StatusOr<CallOutcome>& outcome,
                                     Duration duration) override;
  void OnAbandoned(const CallContext& ctx, const CallSpec& spec, Duration duration) override;

 private:
  audit::v1::Event MakeEvent(const CallContext& ctx, const CallSpec& spec,
                             const absl::StatusOr<CallOutcome>& outcome, Duration duration) const;
  bool KeepsPayload(const std::string& upstream) const;

  AuditRecorder& recorder_;
  const Options options_;
  const std::set<std::string> payload_servers_;
};

// Fills who asks.
void SetPrincipal(const CallContext& ctx, audit::v1::Event& event);
void SetPrincipal(const Principal& principal, audit::v1::Event& event);
// Shape, digest and size.
void SetArguments(std::string_view raw, audit::v1::Event& event);
// The trace id of a W3C traceparent; empty where it has none.
std::string TraceId(std::string_view traceparent);

}  // namespace metamcp::gateway
