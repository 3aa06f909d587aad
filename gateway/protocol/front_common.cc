#include "gateway/protocol/front_common.h"

#include "common/async/run.h"
#include "common/auth/challenge.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "gateway/protocol/error_map.h"
#include "gateway/protocol/results.h"
#include "gateway/protocol/retry_headers.h"

namespace metamcp::gateway {

namespace {

constexpr std::chrono::milliseconds kFirstListsPoll{20};

}  // namespace

CallContext MakeContext(const FrontDeps& deps, const Incoming& in, const mcp::RequestMeta& meta) {
  CallContext ctx(in.principal, CallContext::Clock::now() + deps.request_timeout);
  ctx.request_id = NewRequestId();
  if (!in.trace.traceparent.empty()) {
    ctx.trace = in.trace;
    return ctx;
  }
  ctx.trace.traceparent = meta.traceparent;
  ctx.trace.tracestate = meta.tracestate;
  ctx.trace.baggage = meta.baggage;
  if (ctx.trace.traceparent.empty() && in.header) {
    if (auto header = in.header("traceparent")) ctx.trace.traceparent = std::string(*header);
    if (auto header = in.header("tracestate")) ctx.trace.tracestate = std::string(*header);
  }
  return ctx;
}

Awaitable<absl::StatusOr<CallOutcome>> RunWhileConnected(
    Reply& reply, bool cancel_when_gone, std::function<void(std::function<void()>)> register_cancel,
    Awaitable<absl::StatusOr<CallOutcome>> op) {
  auto canceller = std::make_shared<Canceller>();
  auto cancel = [canceller] { canceller->Cancel(); };
  if (cancel_when_gone) reply.OnGone(cancel);
  if (register_cancel) register_cancel(cancel);
  auto running = RunCancellable(canceller, std::move(op));
  absl::StatusOr<CallOutcome> outcome = co_await std::move(running);
  if (!canceller->cancelled()) co_return outcome;
  co_return MakeError("CANCELLED", "gateway", "the client cancelled the request");
}

Awaitable<void> RespondError(Reply& reply, const jsonrpc::Id& id, const absl::Status& status,
                             mcp::Era era) {
  if (reply.span() != nullptr) reply.span()->Fail(status);
  const WireError wire = ToWireError(status, era);
  std::string message = jsonrpc::MakeErrorResponse(id, wire.error);
  int http = HttpStatusOf(wire, era);
  if (const std::string challenge = auth::ChallengeOf(status); !challenge.empty()) {
    // Clients take a step up only from the answer's head.
    http = wire.http;
    reply.SetHeader("WWW-Authenticate", challenge);
  }
  if (IsLimit(status)) {
    http = wire.http;
    const AddHeader add = [&reply](auto name, const auto& value) { reply.SetHeader(name, value); };
    AddRetryHeaders(status, http, add);
  }
  (void)co_await reply.Respond(http, std::move(message));
}

void TellAllowance(Reply& reply, const absl::StatusOr<CallOutcome>& outcome) {
  if (!outcome.ok() || outcome->allowance.limit == 0) return;
  const AddHeader add = [&reply](auto name, const auto& value) { reply.SetHeader(name, value); };
  AddAllowanceHeaders(outcome->allowance, add);
}

absl::Status CheckModernVersion(const mcp::RequestMeta& meta) {
  const auto revision = mcp::ParseRevision(meta.protocol_version);
  if (revision && mcp::IsModern(*revision)) return absl::OkStatus();
  return MakeError("UNSUPPORTED_VERSION", "gateway",
                   StrCat("protocol version \"", meta.protocol_version,
                          "\" is not supported in requests without a session"),
                   {{"supported.json", R"(["2026-07-28"])"}, {"requested", meta.protocol_version}});
}

std::optional<ItemKind> ListKind(std::string_view method) {
  if (method == "tools/list") return catalog::v1::ITEM_KIND_TOOL;
  if (method == "prompts/list") return catalog::v1::ITEM_KIND_PROMPT;
  if (method == "resources/list") return catalog::v1::ITEM_KIND_RESOURCE;
  if (method == "resources/templates/list") return catalog::v1::ITEM_KIND_TEMPLATE;
  return std::nullopt;
}

Awaitable<absl::StatusOr<std::string>> AnswerList(const FrontDeps& deps, Incoming& in,
                                                  ItemKind kind, mcp::Revision revision) {
  const auto until = CallContext::Clock::now() + deps.first_list_wait;
  while (in.view->AwaitsFirstLists(deps.first_list_wait) && CallContext::Clock::now() < until) {
    const bool slept = co_await Sleep(kFirstListsPoll);
    if (!slept) co_return MakeError("CANCELLED", "gateway", "the client cancelled the request");
    auto now = deps.mirror.snapshot()->Find(in.view->name());
    if (now == nullptr) break;
    in.view = std::move(now);
  }
  const auto& params = in.envelope->params;
  std::string cursor;
  const bool has_cursor = params.Has("cursor");
  if (has_cursor) {
    auto text = params.String("cursor");
    if (!text) co_return MakeError("CURSOR_INVALID", "gateway", "params.cursor must be a string");
    cursor = *std::move(text);
  }
  const std::string owner = StrCat(in.principal->tenant, "|", in.principal->subject);
  if (deps.preparer != nullptr) {
    auto preparing = deps.preparer->Prepare(in.view, in.principal);
    co_await std::move(preparing);
  }
  const auto seen = SeenBy(deps.filter, in.view, in.principal);
  co_return ListResult(*seen, kind, revision, cursor, has_cursor, deps.page_size, deps.keys, owner);
}

std::string ForwardedMeta(const mcp::RequestMeta& meta) {
  if (meta.other.empty()) return {};
  json::ObjectWriter out;
  for (const auto& [key, raw] : meta.other) out.Add(key, raw);
  return std::move(out).Build();
}

Awaitable<absl::Status> FrontEvents::Progress(std::string params) {
  if (!token_.present() || !reply_.can_push()) co_return absl::OkStatus();
  auto converted = mcp::NotificationToRevision("notifications/progress", params, revision_);
  if (!converted.ok()) co_return absl::OkStatus();
  auto view = json::ScanObject(*converted);
  if (!view.ok()) co_return absl::OkStatus();
  json::Splicer splicer(*view);
  splicer.Set("progressToken", token_.raw());
  std::string message = jsonrpc::MakeNotification("notifications/progress", splicer.Build());
  co_return co_await reply_.Notify(std::move(message));
}

Awaitable<absl::Status> FrontEvents::LogMessage(std::string params) {
  if (log_level_.empty() || !reply_.can_push()) co_return absl::OkStatus();
  auto view = json::ScanObject(params);
  if (!view.ok()) co_return absl::OkStatus();
  const auto severity = mcp::LogSeverity(view->String("level").value_or(""));
  const auto wanted = mcp::LogSeverity(log_level_);
  if (!severity || !wanted || *severity < *wanted) co_return absl::OkStatus();
  std::string message = jsonrpc::MakeNotification("notifications/message", params);
  co_return co_await reply_.Notify(std::move(message));
}

Awaitable<absl::Status> FrontEvents::Notification(std::string method, std::string params) {
  if (!reply_.can_push()) co_return absl::OkStatus();
  std::string message = jsonrpc::MakeNotification(method, params);
  co_return co_await reply_.Notify(std::move(message));
}

Awaitable<absl::Status> FrontEvents::Paused(std::chrono::milliseconds retry_after) {
  co_return co_await reply_.Pause(retry_after);
}

}  // namespace metamcp::gateway
