// What a call becomes that waits for a person: a question that a client can put to its user.
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "gateway/routing/call_target.h"

namespace metamcp::gateway {
namespace {

constexpr std::string_view kKey = "metamcp_consent";

}  // namespace

bool CallChain::NeedsConsent(const CallSpec& spec, const Target& target,
                             const StageCall& call) const {
  return (consent_ != nullptr && consent_->Needed(call)) ||
         // The rule is gone; the question was asked all the same, and its answer counts.
         (spec.has_request_state && !target.approval.empty());
}

Awaitable<absl::StatusOr<std::optional<CallOutcome>>> CallChain::AskConsent(
    const CallContext& ctx, const CallSpec& spec, const Target& target,
    const StageCall& call) const {
  std::optional<CallOutcome> ended;
  const bool begun =
      spec.has_request_state && target.approval.empty() && !target.login && !target.again;
  if (begun) {
    // The upstream asks its own question in a call that was allowed.
    if (spec.abandon || consent_->FirstUse(spec.request_state)) co_return ended;
    co_return MakeError("STATE_INVALID", "policy",
                        "this answer was given before, and what a person allowed once runs once");
  }
  std::string answer;
  if (const auto answers = json::ScanObject(spec.input_responses); answers.ok()) {
    answer = std::string(answers->Raw(kKey));
  }
  if (consent_ == nullptr) {
    co_return MakeError("STATE_INVALID", "gateway", "nobody is asked here any more");
  }
  auto asking = consent_->Ask(call, target.approval, std::move(answer));
  METAMCP_CO_ASSIGN_OR_RETURN(const ConsentVerdict verdict, co_await std::move(asking));
  if (verdict.go_on) co_return ended;
  json::ObjectWriter requests;
  requests.Add(kKey, verdict.question);
  json::ObjectWriter result;
  result.AddString("resultType", "input_required");
  result.Add("inputRequests", std::move(requests).Build());
  result.AddString("requestState", "");
  CallOutcome outcome;
  outcome.kind = provider::v1::RESULT_KIND_INPUT_REQUIRED;
  outcome.result = std::move(result).Build();
  const catalog::v1::Route nowhere;
  METAMCP_CO_RETURN_IF_ERROR(
      SealState(ctx, spec, target, nowhere, outcome, OwnQuestion::kConsent, verdict.approval));
  ended = std::move(outcome);
  co_return ended;
}

}  // namespace metamcp::gateway
