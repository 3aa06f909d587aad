#include "gateway/calls_service.h"

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::gateway {
namespace {

// A caller of Call sees the result only.
class NoEvents final : public CallEvents {
 public:
  Awaitable<absl::Status> Progress(std::string) override { co_return absl::OkStatus(); }
  Awaitable<absl::Status> LogMessage(std::string) override { co_return absl::OkStatus(); }
};

absl::StatusOr<std::string> MakeParams(const v1::CallRequest& request) {
  if (request.method() == "completion/complete") return request.arguments();
  json::ObjectWriter params;
  params.AddString(request.method() == "resources/read" ? "uri" : "name", request.target());
  if (!request.arguments().empty()) {
    auto view = json::ScanObject(request.arguments());
    if (!view.ok()) {
      return MakeError("INVALID_PARAMS", "gateway",
                       StrCat("arguments must be a JSON object: ", Sv(view.status().message())));
    }
    params.Add("arguments", view->text());
  }
  return std::move(params).Build();
}

absl::Status KeyGone(const Principal& who) {
  return MakeError("KEY_GONE", "gateway",
                   StrCat("the key of ", who.subject, " is no longer valid"));
}

}  // namespace

Awaitable<absl::StatusOr<v1::CallResponse>> GatewayCallsService::Call(const CallContext& ctx,
                                                                      v1::CallRequest request) {
  const std::string name = request.virtual_server().empty() ? "default" : request.virtual_server();
  CallSpec spec;
  spec.view = deps_.mirror.snapshot()->Find(name);
  if (spec.view == nullptr || !spec.view->active()) {
    co_return MakeError("NOT_FOUND", "gateway", StrCat("no virtual server \"", name, "\""));
  }
  spec.method = request.method().empty() ? "tools/call" : request.method();
  request.set_method(spec.method);
  METAMCP_CO_ASSIGN_OR_RETURN(spec.params, MakeParams(request));
  if (!request.meta().empty()) {
    if (!json::ScanObject(request.meta()).ok()) {
      co_return MakeError("INVALID_PARAMS", "gateway", "meta must be a JSON object");
    }
    spec.meta = request.meta();
  }
  spec.affinity = ctx.principal ? ctx.principal->subject : "";
  CallContext capped = ctx;
  if (request.timeout_ms() > 0) {
    capped = ctx.Capped(std::chrono::milliseconds(request.timeout_ms()));
  }
  // A run began with what its starter was then; what he is now is what counts.
  if (ctx.principal && ctx.principal->kind == "run") {
    capped.principal = authenticator_.AsNow(*ctx.principal);
    if (capped.principal == nullptr) co_return KeyGone(*ctx.principal);
  }
  NoEvents events;
  METAMCP_CO_ASSIGN_OR_RETURN(CallOutcome outcome, co_await deps_.chain.Run(capped, spec, events));
  if (outcome.failed) {
    co_return MakeError("UPSTREAM_ERROR", StrCat("upstream:", outcome.upstream),
                        outcome.error.message, {{"code", StrCat(outcome.error.code)}});
  }
  if (outcome.kind == provider::v1::RESULT_KIND_INPUT_REQUIRED) {
    co_return MakeError("CAPABILITY_MISSING", StrCat("upstream:", outcome.upstream),
                        "the tool asks its user a question; call it from an MCP client");
  }
  v1::CallResponse response;
  if (auto view = json::ScanObject(outcome.result); view.ok()) {
    response.set_is_error(view->Raw("isError") == "true");
  }
  response.set_result(std::move(outcome.result));
  response.set_upstream(outcome.upstream);
  co_return response;
}

Awaitable<absl::StatusOr<v1::CheckPrincipalResponse>> GatewayCallsService::CheckPrincipal(
    const CallContext& ctx, v1::CheckPrincipalRequest) {
  if (ctx.principal == nullptr || authenticator_.StillKnown(*ctx.principal)) {
    co_return v1::CheckPrincipalResponse();
  }
  co_return KeyGone(*ctx.principal);
}

Awaitable<absl::StatusOr<v1::ListSessionsResponse>> GatewayCallsService::ListSessions(
    const CallContext&, v1::ListSessionsRequest) {
  v1::ListSessionsResponse response;
  for (const auto& session : deps_.sessions.List()) {
    auto& out = *response.add_sessions();
    out.set_id(session->handle);
    out.set_virtual_server(session->virtual_server);
    out.set_subject(session->subject);
    if (auto info = json::ScanObject(session->client_info); info.ok()) {
      out.set_client(
          StrCat(info->String("name").value_or(""), " ", info->String("version").value_or("")));
    }
    out.set_protocol_version(std::string(mcp::RevisionName(session->revision)));
    out.set_created_us(session->created_us);
    out.set_last_used_us(session->last_used_us);
    out.set_transport(session->transport);
  }
  co_return response;
}

Awaitable<absl::StatusOr<v1::RevokeSessionResponse>> GatewayCallsService::RevokeSession(
    const CallContext&, v1::RevokeSessionRequest request) {
  std::vector<catalog::v1::SessionMark> marks;
  if (const auto session = deps_.sessions.FindHandle(request.id())) {
    marks.push_back(deps_.sessions.Remove(session));
  } else if (deps_.peers != nullptr) {
    std::vector<std::string> handles;
    handles.push_back(request.id());
    auto asking = deps_.peers->LastUsed(std::move(handles));
    const std::map<std::string, int64_t> used = co_await std::move(asking);
    const auto known = used.find(request.id());
    if (known != used.end() && known->second > 0) {
      catalog::v1::SessionMark mark;
      mark.set_handle(request.id());
      mark.set_ended(true);
      deps_.sessions.Mark(mark);
      mark.set_expires_us(NowMicros() + SessionRegistry::kIdLifetimeUs);
      marks.push_back(std::move(mark));
    }
  }
  if (marks.empty()) {
    co_return MakeError("NOT_FOUND", "gateway", StrCat("no session \"", request.id(), "\""));
  }
  if (deps_.peers != nullptr) {
    auto publishing = deps_.peers->Publish(std::move(marks));
    const absl::Status stored = co_await std::move(publishing);
    if (!stored.ok()) co_return stored;
  }
  co_return v1::RevokeSessionResponse();
}

Awaitable<absl::StatusOr<v1::CreateLoginLinkResponse>> GatewayCallsService::CreateLoginLink(
    const CallContext& ctx, v1::CreateLoginLinkRequest request) {
  connector::v1::ListConnectionsRequest all;
  auto listing = connector_.ListConnections(ctx, std::move(all));
  const auto connections = co_await std::move(listing);
  if (!connections.ok()) co_return connections.status();
  std::string id;
  for (const auto& connection : connections->connections()) {
    if (connection.name() == request.name()) id = connection.upstream_id();
  }
  if (id.empty()) {
    co_return MakeError("NOT_FOUND", "gateway", StrCat("no server \"", request.name(), "\""));
  }
  v1::CreateLoginLinkResponse response;
  if (ctx.principal != nullptr) {
    response.set_url(logins_.LinkFor(*ctx.principal, id, request.name(), false));
  }
  if (response.url().empty()) {
    co_return MakeError("PERMISSION_DENIED", "gateway", "a login that all share is an operator's");
  }
  co_return response;
}

}  // namespace metamcp::gateway
