// What a call becomes when its upstream needs a login first: a question that a client can put to
// its user, or an answer that says where to go.
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "gateway/routing/call_target.h"

namespace metamcp::gateway {
namespace {

constexpr std::string_view kKey = "metamcp_login";

bool CanOpenUrls(const std::string& capabilities) {
  const auto view = json::ScanObject(capabilities);
  if (!view.ok()) return false;
  const auto elicitation = json::ScanObject(view->Raw("elicitation"));
  return elicitation.ok() && elicitation->Has("url");
}

std::string ErrorResult(std::string_view text) {
  json::ObjectWriter block;
  block.AddString("type", "text");
  block.AddString("text", text);
  return StrCat(R"({"resultType":"complete","content":[)", std::move(block).Build(),
                R"(],"isError":true})");
}

}  // namespace

bool CallChain::NeedsLogin(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info.has_value() && info->reason == "UPSTREAM_LOGIN_REQUIRED";
}

absl::StatusOr<CallOutcome> CallChain::OfferLogin(const CallContext& ctx, const CallSpec& spec,
                                                  const Target& target,
                                                  const catalog::v1::Route& route,
                                                  const absl::Status& why) const {
  const auto upstream = spec.view->FindUpstream(route.upstream_id());
  if (logins_ == nullptr || ctx.principal == nullptr || upstream == nullptr) return why;
  const ErrorInfo info = *GetErrorInfo(why);
  const auto kind = info.metadata.find("login");
  const bool own = kind != info.metadata.end() && kind->second == "principal";
  const std::string link =
      logins_->LinkFor(*ctx.principal, route.upstream_id(), upstream->name, own);
  if (link.empty()) return why;
  CallOutcome outcome;
  outcome.upstream = upstream->name;
  const std::string said(why.message());
  // Completions cannot ask (MCP 2026-07-28, patterns/mrtr).
  if (CanOpenUrls(spec.client_capabilities) && spec.method != "completion/complete") {
    json::ObjectWriter params;
    params.AddString("mode", "url");
    params.AddString("message", StrCat("upstream:", said, ". Log in there to continue."));
    params.AddString("url", link);
    json::ObjectWriter request;
    request.AddString("method", "elicitation/create");
    request.Add("params", std::move(params).Build());
    json::ObjectWriter requests;
    requests.Add(kKey, std::move(request).Build());
    json::ObjectWriter result;
    result.AddString("resultType", "input_required");
    result.Add("inputRequests", std::move(requests).Build());
    result.AddString("requestState", "");
    outcome.kind = provider::v1::RESULT_KIND_INPUT_REQUIRED;
    outcome.result = std::move(result).Build();
    METAMCP_RETURN_IF_ERROR(SealState(ctx, spec, target, route, outcome, OwnQuestion::kLogin));
    return outcome;
  }
  const std::string text = StrCat("upstream:", said, ". Open this address in a browser, log in, ",
                                  "and try again: ", link);
  if (spec.method != "tools/call") {
    return MakeError("UPSTREAM_LOGIN_REQUIRED", info.domain, text, {{"url", link}});
  }
  outcome.result = ErrorResult(text);
  return outcome;
}

absl::StatusOr<std::optional<CallOutcome>> CallChain::TakeLoginAnswer(const CallSpec& spec,
                                                                      const Target& target) const {
  std::string action;
  if (const auto answers = json::ScanObject(spec.input_responses); answers.ok()) {
    if (const auto answer = json::ScanObject(answers->Raw(kKey)); answer.ok()) {
      action = answer->String("action").value_or("");
    }
  }
  if (action == "accept") return std::optional<CallOutcome>();
  const auto upstream = spec.view->FindUpstream(target.bound_upstream);
  const std::string name = upstream != nullptr ? upstream->name : "the upstream";
  const std::string text = StrCat("upstream:", name, " needs login, which was declined");
  if (spec.method != "tools/call") {
    return MakeError("UPSTREAM_LOGIN_REQUIRED", StrCat("upstream:", name), text);
  }
  CallOutcome outcome;
  outcome.upstream = name;
  outcome.result = ErrorResult(text);
  return std::optional<CallOutcome>(std::move(outcome));
}

}  // namespace metamcp::gateway
