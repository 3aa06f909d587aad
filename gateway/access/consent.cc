#include "gateway/access/consent.h"

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "gateway/access/call_facts.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {
namespace {

using access::v1::Approval;

constexpr size_t kShownMax = 4000;
constexpr size_t kNameMax = 256;
constexpr size_t kUsedMax = 10'000;
constexpr std::string_view kOnce = "once";
constexpr std::string_view kWhile = "15 minutes";
constexpr std::string_view kAlways = "always";

bool CanAsk(const CallSpec& spec) {
  // Completions cannot ask (MCP 2026-07-28, patterns/mrtr).
  if (spec.method == "completion/complete") return false;
  const auto view = json::ScanObject(spec.client_capabilities);
  if (!view.ok() || !view->Has("elicitation")) return false;
  const auto elicitation = json::ScanObject(view->Raw("elicitation"));
  // One without modes is one of forms (2026-07-28, ClientCapabilities).
  return elicitation.ok() && (elicitation->empty() || elicitation->Has("form"));
}

std::string Question(const Approval& approval) {
  json::ObjectWriter allow;
  allow.AddString("type", "string");
  allow.AddString("title", "Allow it");
  allow.AddString("description",
                  "once: this call only; 15 minutes: this tool, from this client; always: this "
                  "tool, until its definition changes");
  const std::vector<std::string> choices = {json::JsonQuote(kOnce), json::JsonQuote(kWhile),
                                            json::JsonQuote(kAlways)};
  allow.Add("enum", json::JoinArray(choices));
  json::ObjectWriter properties;
  properties.Add("allow", std::move(allow).Build());
  json::ObjectWriter schema;
  schema.AddString("type", "object");
  schema.Add("properties", std::move(properties).Build());
  json::ObjectWriter params;
  params.AddString("mode", "form");
  params.AddString("message",
                   StrCat("May ", approval.item(), " be called with these arguments?\n\n",
                          approval.shown(), "\n\nThe rule \"", approval.rule(), "\" asks",
                          approval.reason().empty() ? "." : ": ", approval.reason()));
  params.Add("requestedSchema", std::move(schema).Build());
  json::ObjectWriter request;
  request.AddString("method", "elicitation/create");
  request.Add("params", std::move(params).Build());
  return std::move(request).Build();
}

absl::Status Required(const Approval& approval) {
  return MakeError("CONSENT_REQUIRED", "policy",
                   StrCat("a person must allow ", approval.item(), ": run 'meta-mcp approve ",
                          approval.id(), "' (or POST /api/v1/approvals/", approval.id(),
                          "/decide), then make the same call again",
                          approval.reason().empty() ? "" : ". ", approval.reason()),
                   {{"approval", approval.id()}, {"rule", approval.rule()}});
}

absl::Status Denied(const Approval& approval) {
  return MakeError("CONSENT_DENIED", "policy",
                   StrCat("a person denied this call of ", approval.item()),
                   {{"approval", approval.id()}, {"rule", approval.rule()}});
}

bool IsAccepted(std::string_view answer) {
  const auto view = json::ScanObject(answer);
  return view.ok() && view->String("action") == "accept";
}

access::v1::ApprovalScope ScopeOf(std::string_view answer) {
  const auto view = json::ScanObject(answer);
  if (!view.ok()) return access::v1::APPROVAL_SCOPE_ONCE;
  const auto content = json::ScanObject(view->Raw("content"));
  const std::string allow = content.ok() ? content->String("allow").value_or("") : "";
  return allow == kWhile    ? access::v1::APPROVAL_SCOPE_SESSION
         : allow == kAlways ? access::v1::APPROVAL_SCOPE_ALWAYS
                            : access::v1::APPROVAL_SCOPE_ONCE;
}

}  // namespace

bool Consent::FirstUse(std::string_view state) {
  const int64_t now = NowMicros();
  if (used_.size() >= kUsedMax) {
    std::erase_if(used_, [now](const auto& one) { return one.second < now; });
  }
  if (used_.size() >= kUsedMax) return false;
  const int64_t until = now + std::chrono::microseconds(std::chrono::hours(1)).count();
  return used_.emplace(Sha256(state), until).second;
}

std::optional<ConsentCause::Why> Consent::Why(const StageCall& call) const {
  std::optional<ConsentCause::Why> why;
  if (cause_ != nullptr) why = cause_->Asks(call);
  const policy::Rule* rule = guard_.ConsentRule(call);
  if (rule == nullptr) return why;
  if (!why) why.emplace();
  why->rule = rule->name;
  why->reason =
      StrCat(rule->reason, rule->reason.empty() || why->reason.empty() ? "" : " ", why->reason);
  return why;
}

absl::StatusOr<Approval> Consent::Describe(const StageCall& call,
                                           const ConsentCause::Why& why) const {
  std::string held;
  METAMCP_ASSIGN_OR_RETURN(const std::string_view arguments, ArgumentsOf(call, held));
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView params, json::ScanObject(call.spec.params));
  json::Splicer same(params);
  for (const std::string_view key : {"_meta", "inputResponses", "requestState"}) same.Remove(key);
  METAMCP_ASSIGN_OR_RETURN(const std::string canonical, json::CanonicalJson(same.Build()));
  Approval out;
  out.set_subject(call.ctx.principal ? call.ctx.principal->subject : "");
  std::string client = ClientOf(call.spec);
  if (client.empty() && call.ctx.principal) client = call.ctx.principal->client;
  out.set_client(client.substr(0, kNameMax));
  out.set_virtual_server(call.spec.view->name());
  out.set_item(call.entry != nullptr ? call.entry->qualified_name : std::string(call.name));
  if (call.entry != nullptr) {
    METAMCP_ASSIGN_OR_RETURN(*out.mutable_fingerprint(), json::Fingerprint(call.entry->definition));
  } else {
    out.set_fingerprint(json::Sha256Hex(call.name));
  }
  // What was allowed for one reason is not for another.
  if (!why.bound.empty()) {
    out.set_fingerprint(json::Sha256Hex(StrCat(why.bound, "\n", out.fingerprint())));
  }
  out.set_digest(json::Sha256Hex(StrCat(call.spec.method, "\n", out.virtual_server(), "\n",
                                        out.item(), "\n", out.fingerprint(), "\n", canonical)));
  out.set_shown(ShowArguments(arguments, kShownMax));
  out.set_rule(why.rule);
  out.set_reason(why.reason);
  return out;
}

Awaitable<absl::Status> Consent::TakeAnswer(const StageCall& call, std::string approval,
                                            std::string answer) {
  const bool accepted = IsAccepted(answer);
  access::v1::DecideApprovalRequest decide;
  decide.set_id(std::move(approval));
  decide.set_approve(accepted);
  decide.set_scope(ScopeOf(answer));
  auto deciding = approvals_.DecideApproval(call.ctx, std::move(decide));
  const auto decided = co_await std::move(deciding);
  // Somebody may have decided elsewhere meanwhile; that holds, as the question to the store says.
  const auto info = GetErrorInfo(decided.status());
  if (!decided.ok() && info && info->reason == "APPROVAL_CLOSED" && accepted) {
    co_return absl::OkStatus();
  }
  co_return decided.status();
}

Awaitable<absl::StatusOr<ConsentVerdict>> Consent::Ask(const StageCall& call, std::string approval,
                                                       std::string answer) {
  ConsentVerdict verdict;
  const auto rules = guard_.shared_policy();
  verdict.go_on = approval.empty() && !Why(call);
  if (!verdict.go_on) {
    auto asking = AskPerson(call, std::move(approval), std::move(answer));
    METAMCP_CO_ASSIGN_OR_RETURN(verdict, co_await std::move(asking));
  }
  // While the store was asked, the rules may have become others.
  if (verdict.go_on && guard_.shared_policy() != rules) {
    METAMCP_CO_RETURN_IF_ERROR(guard_.Before(call));
  }
  if (verdict.go_on && cause_ != nullptr && cause_->Unsaid(call)) {
    auto saying = cause_->Say(call);
    co_await std::move(saying);
  }
  co_return verdict;
}

Awaitable<absl::StatusOr<ConsentVerdict>> Consent::AskPerson(const StageCall& call,
                                                             std::string approval,
                                                             std::string answer) {
  ConsentVerdict verdict;
  const std::optional<ConsentCause::Why> why = Why(call);
  if (!why) {
    // Since the question the policy has changed, and wants nobody asked any more. Who was asked and
    // did not agree is still heard.
    if (!IsAccepted(answer)) {
      co_return MakeError("CONSENT_DENIED", "policy", "a person denied this call",
                          {{"approval", approval}});
    }
    verdict.go_on = true;
    co_return verdict;
  }
  if (!approval.empty()) {
    auto taking = TakeAnswer(call, approval, std::move(answer));
    METAMCP_CO_RETURN_IF_ERROR(co_await std::move(taking));
  }
  access::v1::AskApprovalRequest request;
  METAMCP_CO_ASSIGN_OR_RETURN(*request.mutable_approval(), Describe(call, *why));
  request.set_lifetime_ms(options_.lifetime.count());
  request.set_id(approval);
  auto asking = approvals_.AskApproval(call.ctx, std::move(request));
  auto answered = co_await std::move(asking);
  // Said so that whoever may call again knows that nothing has happened.
  if (absl::IsUnavailable(answered.status())) {
    co_return MakeError("SERVICE_UNREACHABLE", "policy",
                        StrCat("nothing was executed, as it cannot be found out whether a person "
                               "has allowed it: ",
                               Sv(answered.status().message())));
  }
  METAMCP_CO_ASSIGN_OR_RETURN(const access::v1::AskApprovalResponse asked, std::move(answered));
  if (asked.outcome() == "granted") {
    verdict.go_on = true;
    co_return verdict;
  }
  if (asked.outcome() == "denied") co_return Denied(asked.approval());
  if (asked.outcome() != "waiting") {
    co_return MakeError("APPROVAL_CLOSED", "policy",
                        "what was allowed has expired or was used by another call");
  }
  if (!options_.self_approval || !approval.empty() || !CanAsk(call.spec)) {
    co_return Required(asked.approval());
  }
  verdict.question = Question(asked.approval());
  verdict.approval = asked.approval().id();
  co_return verdict;
}

}  // namespace metamcp::gateway
