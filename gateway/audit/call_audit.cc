#include "gateway/audit/call_audit.h"

#include "common/audit/text.h"
#include "common/base/error.h"
#include "common/base/error_registry.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "gateway/audit/shape.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {
namespace {

constexpr size_t kTargetBytesMax = 2048;
constexpr size_t kClientBytesMax = 256;

bool IsDenial(std::string_view reason) {
  for (const std::string_view denial :
       {"PERMISSION_DENIED", "AUTH_REQUIRED", "AUTH_INVALID", "TOOL_NOT_FOUND", "PROMPT_NOT_FOUND",
        "RESOURCE_NOT_FOUND", "STATE_INVALID", "CONSENT_DENIED", "CONSENT_REQUIRED", "CALL_LOOP",
        "UPSTREAM_DISABLED"}) {
    if (reason == denial) return true;
  }
  return false;
}

// Which kind of service serves an item.
std::string ProviderOf(const ServerView& view, const ExposedEntry& entry) {
  if (entry.routes.empty()) return "";
  const auto upstream = view.FindUpstream(entry.routes.front().upstream_id());
  return upstream == nullptr || upstream->service.empty() ? "connector" : upstream->service;
}

void SetOutcome(const CallOutcome& outcome, audit::v1::Event& event) {
  event.set_upstream(outcome.upstream);
  event.set_result_size(static_cast<int64_t>(outcome.result.size()));
  if (outcome.failed) {
    event.set_outcome("error");
    event.set_reason("UPSTREAM_ERROR");
    event.set_code(outcome.error.code);
    return;
  }
  if (outcome.kind == provider::v1::RESULT_KIND_INPUT_REQUIRED) {
    event.set_outcome("input_required");
    return;
  }
  bool failed = outcome.result.find("\"isError\"") != std::string::npos;
  if (failed) {
    const auto result = json::ScanObject(outcome.result);
    failed = result.ok() && result->Raw("isError") == "true";
  }
  event.set_outcome(failed ? "tool_error" : "ok");
}

void SetFailure(const absl::Status& status, audit::v1::Event& event) {
  constexpr std::string_view kUpstream = "upstream:";
  const auto info = GetErrorInfo(status);
  event.set_reason(info ? info->reason : std::string(Sv(absl::StatusCodeToString(status.code()))));
  if (info && info->domain.compare(0, kUpstream.size(), kUpstream) == 0) {
    event.set_upstream(info->domain.substr(kUpstream.size()));
  }
  if (const ErrorEntry* entry = FindError(event.reason())) event.set_code(entry->jsonrpc_modern);
  event.set_outcome(IsDenial(event.reason())    ? "denied"
                    : absl::IsCancelled(status) ? "cancelled"
                                                : "failed");
}

// By what it was decided: a rule of the policy, with the approval where a person was asked, else
// the gateway or the virtual server.
std::string RuleOf(const CallSpec& spec, const absl::StatusOr<CallOutcome>& outcome, bool denied,
                   const std::string& reason) {
  if (outcome.ok() && !outcome->rule.empty()) return outcome->rule;
  const auto info = GetErrorInfo(outcome.status());
  if (info && info->domain == "policy" && info->metadata.count("rule") > 0) {
    const auto approval = info->metadata.find("approval");
    return StrCat("policy:", info->metadata.at("rule"),
                  approval == info->metadata.end() ? "" : " approval:",
                  approval == info->metadata.end() ? "" : approval->second);
  }
  return denied ? StrCat("gateway:", reason) : StrCat("virtual-server:", spec.view->name());
}

}  // namespace

void SetPrincipal(const Principal& who, audit::v1::Event& event) {
  auto& to = *event.mutable_principal();
  to.set_tenant(who.tenant);
  to.set_subject(who.subject);
  to.set_kind(who.kind);
  to.set_method(who.method);
  to.set_client(who.client);
  for (const std::string& role : who.roles) to.add_roles(role);
  for (const std::string& team : who.teams) to.add_teams(team);
  for (const std::string& actor : who.actors) to.add_actors(actor);
}

void SetPrincipal(const CallContext& ctx, audit::v1::Event& event) {
  if (ctx.principal) SetPrincipal(*ctx.principal, event);
  event.set_trace(TraceId(ctx.trace.traceparent));
}

void SetArguments(std::string_view raw, audit::v1::Event& event) {
  if (raw.empty()) return;
  auto& to = *event.mutable_arguments();
  to.set_shape(ShapeOf(raw));
  to.set_digest(Sha256(raw));
  to.set_size(static_cast<int64_t>(raw.size()));
}

std::string TraceId(std::string_view traceparent) {
  if (traceparent.size() < 35 || traceparent[2] != '-') return "";
  const std::string_view id = traceparent.substr(3, 32);
  return id.find_first_not_of("0123456789abcdef") == std::string_view::npos ? std::string(id) : "";
}

CallAudit::CallAudit(AuditRecorder& recorder, Options options)
    : recorder_(recorder),
      options_(std::move(options)),
      payload_servers_(options_.payload_servers.begin(), options_.payload_servers.end()) {}

bool CallAudit::KeepsPayload(const std::string& upstream) const {
  if (payload_servers_.empty() || upstream.empty()) return false;
  return payload_servers_.count(upstream) > 0 || payload_servers_.count("*") > 0;
}

audit::v1::Event CallAudit::MakeEvent(const CallContext& ctx, const CallSpec& spec,
                                      const absl::StatusOr<CallOutcome>& outcome,
                                      Duration duration) const {
  audit::v1::Event event;
  SetPrincipal(ctx, event);
  if (!spec.client_info.empty()) {
    const auto client = json::ScanObject(spec.client_info);
    if (client.ok()) {
      event.mutable_principal()->set_client(audit::CleanText(
          StrCat(client->String("name").value_or(""), " ", client->String("version").value_or("")),
          kClientBytesMax));
    }
  }
  event.set_action(spec.method);
  event.set_virtual_server(spec.view->name());
  event.set_duration_us(std::chrono::duration_cast<std::chrono::microseconds>(duration).count());
  if (outcome.ok()) {
    SetOutcome(*outcome, event);
  } else {
    SetFailure(outcome.status(), event);
  }
  const bool denied = event.outcome() == "denied";
  event.set_decision(denied ? "deny" : "allow");
  event.set_rule(RuleOf(spec, outcome, denied, event.reason()));
  const auto params = json::ScanObject(spec.params);
  if (!params.ok()) return event;
  const bool named = spec.method == "tools/call" || spec.method == "prompts/get";
  std::string asked = params->String(named ? "name" : "uri").value_or("");
  asked = audit::CleanText(asked, kTargetBytesMax);
  const EntryPtr entry =
      named ? spec.view->Find(spec.method == "tools/call" ? catalog::v1::ITEM_KIND_TOOL
                                                          : catalog::v1::ITEM_KIND_PROMPT,
                              asked)
            : nullptr;
  // A name that is not known is the client's own words.
  if (entry != nullptr) {
    event.set_provider(ProviderOf(*spec.view, *entry));
    event.set_item(std::move(asked));
  } else {
    event.set_target(std::move(asked));
  }
  const std::string_view arguments = params->Raw("arguments");
  SetArguments(arguments, event);
  if (!KeepsPayload(event.upstream())) return event;
  event.mutable_arguments()->set_payload(
      std::string(arguments.substr(0, options_.payload_bytes_max)));
  if (outcome.ok()) event.set_result(outcome->result.substr(0, options_.payload_bytes_max));
  return event;
}

absl::Status CallAudit::Ready() { return recorder_.Ready(); }

Awaitable<absl::Status> CallAudit::OnFinished(const CallContext& ctx, const CallSpec& spec,
                                              const absl::StatusOr<CallOutcome>& outcome,
                                              Duration duration) {
  return recorder_.Record(MakeEvent(ctx, spec, outcome, duration));
}

void CallAudit::OnAbandoned(const CallContext& ctx, const CallSpec& spec, Duration duration) {
  recorder_.Note(MakeEvent(ctx, spec, absl::CancelledError("the caller went away"), duration));
}

}  // namespace metamcp::gateway
