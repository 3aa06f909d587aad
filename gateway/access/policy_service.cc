#include "gateway/access/policy_service.h"

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/scan.h"

namespace metamcp::gateway {
namespace {

namespace v1 = access::v1;

void Fill(const policy::Rule& rule, v1::PolicyRule& to) {
  to.set_name(rule.name);
  to.set_effect(std::string(policy::EffectName(rule.effect)));
  to.set_reason(rule.reason);
}

Principal PrincipalOf(const v1::ExplainPolicyRequest& request, const std::string& tenant) {
  Principal who;
  who.tenant = tenant;
  who.subject = request.subject();
  if (!request.kind().empty()) who.kind = request.kind();
  who.roles.assign(request.roles().begin(), request.roles().end());
  who.teams.assign(request.teams().begin(), request.teams().end());
  who.scopes.assign(request.scopes().begin(), request.scopes().end());
  return who;
}

}  // namespace

Awaitable<absl::StatusOr<v1::GetPolicyResponse>> PolicyServiceImpl::GetPolicy(
    const CallContext&, v1::GetPolicyRequest) {
  v1::GetPolicyResponse response;
  response.set_otherwise(std::string(policy::EffectName(guard_.policy().otherwise())));
  for (const auto& rule : guard_.policy().rules()) Fill(*rule, *response.add_rules());
  co_return response;
}

Awaitable<absl::StatusOr<v1::ExplainPolicyResponse>> PolicyServiceImpl::ExplainPolicy(
    const CallContext& ctx, v1::ExplainPolicyRequest request) {
  const std::string name = request.virtual_server().empty() ? "default" : request.virtual_server();
  const auto view = mirror_.snapshot()->Find(name);
  if (view == nullptr) {
    co_return MakeError("NOT_FOUND", "gateway", StrCat("no virtual server \"", name, "\""));
  }
  if (!request.arguments().empty() && !json::ScanObject(request.arguments()).ok()) {
    co_return MakeError("ARGUMENT_INVALID", "gateway", "arguments must be a JSON object");
  }
  EntryPtr entry;
  for (const ItemKind kind : {catalog::v1::ITEM_KIND_TOOL, catalog::v1::ITEM_KIND_PROMPT,
                              catalog::v1::ITEM_KIND_RESOURCE, catalog::v1::ITEM_KIND_TEMPLATE}) {
    if (entry == nullptr) entry = view->Find(kind, request.item());
  }
  if (entry == nullptr && !view->RouteResource(request.item())) {
    co_return MakeError(
        "NOT_FOUND", "gateway",
        StrCat("no item \"", request.item().substr(0, 256), "\" on \"", name, "\""));
  }
  policy::Moment moment;
  moment.arguments = request.arguments();
  moment.client = request.client();
  moment.now_us = request.at_us() > 0 ? request.at_us() : NowMicros();
  const Principal who = PrincipalOf(request, ctx.tenant());
  const AccessGuard::Explained explained =
      guard_.Explain(view, who, entry.get(), request.item(), moment);
  v1::ExplainPolicyResponse response;
  const policy::Decision& decision = explained.decision;
  const bool barred = !explained.barred.empty();
  response.set_effect(barred ? "deny" : std::string(policy::EffectName(decision.effect)));
  if (decision.rule != nullptr && !barred) {
    response.set_rule(decision.rule->name);
    response.set_reason(decision.rule->reason);
  }
  response.set_hidden(explained.hidden);
  response.set_barred(explained.barred);
  for (const policy::Verdict& verdict : explained.verdicts) {
    v1::RuleVerdict& out = *response.add_rules();
    Fill(*verdict.rule, *out.mutable_rule());
    out.set_matched(verdict.truth == policy::Truth::kTrue);
  }
  co_return response;
}

}  // namespace metamcp::gateway
