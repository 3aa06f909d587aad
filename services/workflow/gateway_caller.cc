#include "services/workflow/gateway_caller.h"

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/http_client.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "services/workflow/definition/definition.h"
#include "services/workflow/definition/sample.h"

namespace metamcp::workflow {
namespace {

constexpr std::chrono::seconds kKnownFor(5);
constexpr size_t kKnownMax = 10'000;
constexpr std::chrono::milliseconds kAdmittedFor(500);
constexpr size_t kHttpBodyMax = 20u << 20;

constexpr std::string_view kFillSchema =
    R"({"type":"object","properties":{"prompt":{"type":"string"},"input":{},"schema":{}},)"
    R"("required":["prompt"],"additionalProperties":false})";

}  // namespace

Awaitable<absl::Status> GatewayCaller::Admit(const CallContext& ctx) {
  if (calls_ == nullptr || ctx.principal == nullptr) co_return absl::OkStatus();
  // Runs of one principal ask once.
  const std::string who =
      StrCat(ctx.tenant(), "\n", ctx.principal->subject, "\n", ctx.principal->method);
  const auto now = CallContext::Clock::now();
  if (const auto it = admitted_.find(who); it != admitted_.end() && it->second > now) {
    co_return absl::OkStatus();
  }
  metamcp::gateway::v1::CheckPrincipalRequest request;
  auto checking = calls_->CheckPrincipal(ctx, std::move(request));
  const auto checked = co_await std::move(checking);
  if (admitted_.size() >= kKnownMax) admitted_.clear();
  if (checked.ok()) admitted_[who] = now + kAdmittedFor;
  co_return checked.status();
}

Awaitable<absl::StatusOr<ToolInfo>> GatewayCaller::Describe(const CallContext& ctx,
                                                            std::string tool) {
  if (tool == kFillTool && models_) {
    ToolInfo fill;
    fill.repeatable = true;
    fill.input_schema = std::string(kFillSchema);
    co_return fill;
  }
  const auto now = CallContext::Clock::now();
  if (const auto it = known_.find(tool); it != known_.end() && it->second.until > now) {
    co_return it->second.info;
  }
  metamcp::catalog::v1::ExplainItemRequest request;
  request.set_name(tool);
  auto explaining = catalog_.ExplainItem(ctx, std::move(request));
  const auto response = co_await std::move(explaining);
  if (!response.ok()) co_return response.status();
  const metamcp::catalog::v1::ItemSummary* item = nullptr;
  for (const auto& one : response->items()) {
    if (one.kind() != metamcp::catalog::v1::ITEM_KIND_TOOL) continue;
    if (item == nullptr || (one.hidden_reason().empty() && !item->hidden_reason().empty())) {
      item = &one;
    }
  }
  if (item == nullptr) {
    co_return MakeError("TOOL_NOT_FOUND", "workflow", StrCat("no tool \"", tool, "\""));
  }
  Known known;
  known.until = now + kKnownFor;
  known.info.fingerprint = item->fingerprint();
  if (auto definition = json::ScanObject(item->definition()); definition.ok()) {
    known.info.input_schema = std::string(definition->Raw("inputSchema"));
    if (auto hints = json::ScanObject(definition->Raw("annotations")); hints.ok()) {
      known.info.reads = hints->Raw("readOnlyHint") == "true";
      known.info.repeatable = known.info.reads || hints->Raw("idempotentHint") == "true";
    }
    if (const std::string_view schema = definition->Raw("outputSchema"); !schema.empty()) {
      known.info.sample = SampleOf(schema);
    }
  }
  if (known_.size() >= kKnownMax) known_.clear();
  known_[tool] = known;
  co_return known.info;
}

Awaitable<absl::StatusOr<ToolResult>> GatewayCaller::CallTool(const CallContext& ctx,
                                                              std::string tool,
                                                              std::string arguments,
                                                              std::string idempotency_key) {
  if (calls_ == nullptr) {
    co_return MakeError("UPSTREAM_UNAVAILABLE", "workflow", "the gateway is not there yet");
  }
  metamcp::gateway::v1::CallRequest request;
  request.set_method("tools/call");
  request.set_target(std::move(tool));
  request.set_arguments(std::move(arguments));
  json::ObjectWriter meta;
  meta.AddString("meta-mcp/idempotencyKey", idempotency_key);
  request.set_meta(std::move(meta).Build());
  auto calling = calls_->Call(ctx, std::move(request));
  auto response = co_await std::move(calling);
  if (!response.ok()) co_return response.status();
  ToolResult out;
  out.is_error = response->is_error();
  out.result = std::move(*response->mutable_result());
  co_return out;
}

Awaitable<absl::StatusOr<ApprovalInfo>> GatewayCaller::LookUpApproval(const CallContext& ctx,
                                                                      std::string id) {
  if (approvals_ == nullptr) {
    auto nobody = Caller::LookUpApproval(ctx, std::move(id));
    co_return co_await std::move(nobody);
  }
  metamcp::access::v1::GetApprovalRequest request;
  request.set_id(std::move(id));
  auto getting = approvals_->GetApproval(ctx, std::move(request));
  const auto response = co_await std::move(getting);
  if (!response.ok()) co_return response.status();
  const metamcp::access::v1::Approval& approval = response->approval();
  ApprovalInfo out;
  out.state = approval.state();
  out.item = approval.item();
  out.shown = approval.shown();
  out.rule = approval.rule();
  out.reason = approval.reason();
  out.decided_by = approval.decided_by();
  out.expires_us = approval.expires_us();
  out.separate = !self_approval_;
  co_return out;
}

Awaitable<absl::Status> GatewayCaller::DecideApproval(const CallContext& ctx, std::string id,
                                                      bool approve) {
  if (approvals_ == nullptr) {
    auto nobody = Caller::DecideApproval(ctx, std::move(id), approve);
    co_return co_await std::move(nobody);
  }
  metamcp::access::v1::DecideApprovalRequest request;
  request.set_id(std::move(id));
  request.set_approve(approve);
  auto deciding = approvals_->DecideApproval(ctx, std::move(request));
  const auto decided = co_await std::move(deciding);
  co_return decided.status();
}

Awaitable<void> GatewayCaller::HearDenial(const CallContext& ctx, std::string id) {
  if (approvals_ == nullptr) co_return;
  metamcp::access::v1::GetApprovalRequest get;
  get.set_id(id);
  auto getting = approvals_->GetApproval(ctx, std::move(get));
  const auto found = co_await std::move(getting);
  if (!found.ok() || found->approval().state() != "denied") co_return;
  metamcp::access::v1::AskApprovalRequest ask;
  *ask.mutable_approval() = found->approval();
  ask.set_id(id);
  ask.set_lifetime_ms(1);
  auto asking = approvals_->AskApproval(ctx, std::move(ask));
  (void)co_await std::move(asking);
}

Awaitable<absl::StatusOr<HttpReply>> GatewayCaller::CallHttp(const CallContext& ctx,
                                                             HttpCall call) {
  http::HttpClientRequest request(call.method, call.url);
  for (const auto& [name, value] : call.headers) request.headers.Add(name, value);
  if (!call.content_type.empty() && !request.headers.Has("Content-Type")) {
    request.headers.Set("Content-Type", call.content_type);
  }
  request.body = std::move(call.body);
  request.addresses = loopback_ ? http::AddressRule::kPublicOrLoopback : http::AddressRule::kPublic;
  request.domain = "http";
  auto sending = http_.Send(ctx, std::move(request));
  auto response = co_await std::move(sending);
  if (!response.ok()) co_return response.status();
  auto reading = (*response)->ReadAll(kHttpBodyMax);
  auto body = co_await std::move(reading);
  if (!body.ok()) co_return body.status();
  HttpReply out;
  out.status = (*response)->status();
  out.body = *std::move(body);
  out.content_type = (*response)->headers().Get("Content-Type");
  const http::HttpHeaders& headers = (*response)->headers();
  for (size_t i = 0; i < headers.size(); ++i) {
    const http::HttpHeader header = headers.at(i);
    out.headers.emplace_back(std::string(header.name), std::string(header.value));
  }
  co_return out;
}

}  // namespace metamcp::workflow
