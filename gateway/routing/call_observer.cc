#include "gateway/routing/call_observer.h"

#include <algorithm>
#include <cctype>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/telemetry/log.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {
namespace {

std::string_view MethodLabel(std::string_view method) {
  for (const std::string_view known :
       {"tools/call", "prompts/get", "resources/read", "completion/complete"}) {
    if (method == known) return known;
  }
  return "other";  // a client's own words must not become labels
}

// Of many failures a second some are enough to see what is wrong; the audit has all.
bool MayLogFailure() {
  using Clock = std::chrono::steady_clock;
  constexpr int kPerSecond = 20;
  static Clock::time_point window;  // the io thread's, as is the next
  static int logged = 0;
  const auto now = Clock::now();
  if (now - window > std::chrono::seconds(1)) {
    window = now;
    logged = 0;
  }
  return ++logged <= kPerSecond;
}

void LogFailure(const CallContext& ctx, const FinishedCall& call, const absl::Status& status) {
  const bool ours = !absl::IsCancelled(status) && !absl::IsNotFound(status) &&
                    !absl::IsInvalidArgument(status) && !absl::IsPermissionDenied(status);
  const LogLevel level = ours ? LogLevel::kWarning : LogLevel::kDebug;
  if (!LogEnabled(level) || !MayLogFailure()) return;
  Log(level, "call.failed",
      {{"method", call.method},
       {"upstream", call.upstream},
       {"virtual_server", call.virtual_server},
       {"reason", call.outcome},
       {"error", std::string(status.message())},
       {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(call.duration).count()},
       {"trace", trace::TraceIdOf(ctx.trace.traceparent)}});
}

void ReportCall(const CallContext& ctx, CallObserver& observer, const CallSpec& spec,
                const absl::StatusOr<CallOutcome>& outcome,
                std::chrono::steady_clock::time_point start) {
  FinishedCall call;
  call.virtual_server = spec.view->metrics_label();
  call.method = MethodLabel(spec.method);
  call.params = spec.params;
  call.duration = std::chrono::steady_clock::now() - start;
  std::string upstream;
  std::string reason;
  if (outcome.ok()) {
    upstream = outcome->upstream;
    call.outcome = OutcomeOf(*outcome);
  } else {
    reason = std::string(Sv(absl::StatusCodeToString(outcome.status().code())));
    if (const auto info = GetErrorInfo(outcome.status())) {
      reason = info->reason;
      constexpr std::string_view kPrefix = "upstream:";
      if (info->domain.compare(0, kPrefix.size(), kPrefix) == 0) {
        upstream = info->domain.substr(kPrefix.size());
      }
    }
    std::transform(reason.begin(), reason.end(), reason.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    call.outcome = reason;
  }
  call.upstream = upstream;
  if (!outcome.ok()) LogFailure(ctx, call, outcome.status());
  observer.OnFinished(call);
}

}  // namespace

std::string_view OutcomeOf(const CallOutcome& outcome) {
  if (outcome.failed) return "error";
  if (outcome.kind == provider::v1::RESULT_KIND_INPUT_REQUIRED) return "input_required";
  // Most results do not have the word at all, so most are not scanned.
  if (outcome.result.find("\"isError\"") == std::string::npos) return "ok";
  auto result = json::ScanObject(outcome.result);
  return result.ok() && result->Raw("isError") == "true" ? "tool_error" : "ok";
}

Awaitable<absl::StatusOr<CallOutcome>> CallChain::RunObserved(const CallContext& ctx,
                                                              const CallSpec& spec,
                                                              CallEvents& events) {
  const auto start = std::chrono::steady_clock::now();
  absl::StatusOr<CallOutcome> outcome = absl::CancelledError("cancelled");
  try {
    outcome = co_await RunRoutes(ctx, spec, events);
  } catch (...) {
    ReportCall(ctx, *observer_, spec, outcome, start);
    throw;
  }
  ReportCall(ctx, *observer_, spec, outcome, start);
  co_return outcome;
}

}  // namespace metamcp::gateway
