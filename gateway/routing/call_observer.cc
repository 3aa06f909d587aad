#include "gateway/routing/call_observer.h"

#include <algorithm>
#include <cctype>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
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

void ReportCall(CallObserver& observer, const CallSpec& spec,
                const absl::StatusOr<CallOutcome>& outcome,
                std::chrono::steady_clock::time_point start) {
  FinishedCall call;
  call.virtual_server = spec.view->metrics_label();
  call.method = MethodLabel(spec.method);
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
    ReportCall(*observer_, spec, outcome, start);
    throw;
  }
  ReportCall(*observer_, spec, outcome, start);
  co_return outcome;
}

}  // namespace metamcp::gateway
