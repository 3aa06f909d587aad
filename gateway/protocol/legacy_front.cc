#include <algorithm>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "common/mcp/methods.h"
#include "common/mcp/validate.h"
#include "gateway/protocol/error_map.h"
#include "gateway/protocol/front_common.h"
#include "gateway/protocol/request_span.h"
#include "gateway/protocol/results.h"

namespace metamcp::gateway {
namespace {

namespace asio = boost::asio;
constexpr mcp::Era kLegacy = mcp::Era::kLegacy;
// Resources one session may subscribe to.
constexpr size_t kWatchesMax = 1000;

}  // namespace

LegacyFront::LegacyFront(FrontDeps deps) : deps_(std::move(deps)) {
  // A session that becomes known here hears of list changes from now on.
  deps_.sessions.on_open = [this](LegacySession& session) {
    if (!session.here) return;  // its stream is elsewhere
    ListInterest interest;
    interest.virtual_server = session.virtual_server;
    interest.tools = interest.resources = interest.prompts = true;
    interest.changed = [&session](std::string_view kind) {
      session.outbox.Push(
          jsonrpc::MakeNotification(StrCat("notifications/", kind, "/list_changed"), ""));
    };
    interest.closing = [&session] { session.outbox.Close(); };
    session.interest = deps_.hub.AddInterest(std::move(interest));
  };
}

Awaitable<std::shared_ptr<LegacySession>> LegacyFront::Initialize(Incoming in,
                                                                  std::string transport,
                                                                  Reply& reply) {
  const auto& params = in.envelope->params;
  const auto version = params.String("protocolVersion");
  auto capabilities = json::ScanObject(params.Raw("capabilities"));
  if (!version || !capabilities.ok()) {
    const absl::Status status =
        MakeError("INVALID_PARAMS", "gateway",
                  "initialize needs params.protocolVersion (string) and params.capabilities "
                  "(object)");
    co_await RespondError(reply, in.envelope->id, status, kLegacy);
    co_return nullptr;
  }
  LegacySession negotiated(deps_.executor, 1);
  const auto asked = mcp::ParseRevision(*version);
  negotiated.revision = asked && !mcp::IsModern(*asked) ? *asked : mcp::kLatestLegacy;
  negotiated.virtual_server = in.view->name();
  negotiated.tenant = in.principal->tenant;
  negotiated.subject = in.principal->subject;
  negotiated.transport = std::move(transport);
  negotiated.client_info = std::string(params.Raw("clientInfo"));
  auto modern = mcp::ClientCapabilitiesToModern(params.Raw("capabilities"), negotiated.revision);
  negotiated.client_capabilities = modern.ok() ? *std::move(modern) : "{}";
  // What is sealed into the id must fit a header.
  if (negotiated.client_info.size() + negotiated.client_capabilities.size() > 4096) {
    negotiated.client_info.clear();
  }
  auto session = deps_.sessions.Create(negotiated);
  if (!session.ok()) {
    co_await RespondError(reply, in.envelope->id, session.status(), kLegacy);
    co_return nullptr;
  }
  reply.SetHeader("Mcp-Session-Id", (*session)->id);
  if (deps_.preparer != nullptr) {
    auto preparing = deps_.preparer->Prepare(in.view, in.principal);
    co_await std::move(preparing);
  }
  std::string message = jsonrpc::MakeResult(
      in.envelope->id,
      InitializeResult(*SeenBy(deps_.filter, in.view, in.principal), (*session)->revision));
  (void)co_await reply.Respond(200, std::move(message));
  co_return *session;
}

Awaitable<void> LegacyFront::HandleRequest(Incoming in, std::shared_ptr<LegacySession> session,
                                           Reply& reply) {
  const jsonrpc::Id id = in.envelope->id;
  const std::string_view method = in.envelope->method;
  trace::Span span;
  if (trace::Enabled()) {
    const auto meta = mcp::ParseLegacyMeta(in.envelope->meta);
    span = BeginRequest(in, session->revision, meta.ok() ? &*meta : nullptr);
  }
  reply.Trace(&span);
  absl::StatusOr<std::string> result = std::string("{}");
  const absl::Status valid =
      mcp::ValidateParams(session->revision, method, in.envelope->params.text());
  const mcp::MethodInfo* info = mcp::FindMethod(method);
  const bool extension = info == nullptr && in.view->ExtensionUpstream(method) != nullptr;
  const bool known =
      extension || (info != nullptr && !info->notification &&
                    (info->capability != mcp::Capability::kTasks || OffersTasks(in, *session)) &&
                    mcp::ServerAccepts(*info, session->revision));
  if (!known) {
    result = MakeError("METHOD_NOT_FOUND", "gateway", StrCat("no method \"", method, "\""));
  } else if (!valid.ok()) {
    result = valid;
  } else if (method == "ping") {
  } else if (const auto kind = ListKind(method)) {
    auto listing = AnswerList(deps_, in, *kind, session->revision);
    result = co_await std::move(listing);
  } else if (method == "logging/setLevel") {
    const auto level = in.envelope->params.String("level");
    if (!level || !mcp::LogSeverity(*level)) {
      result = MakeError("INVALID_PARAMS", "gateway",
                         "params.level must be one of debug, info, notice, warning, error, "
                         "critical, alert, emergency");
    } else {
      co_await SetLogLevel(session, *level);
    }
  } else if (method == "resources/subscribe") {
    co_await Subscribe(std::move(in), std::move(session), reply);
    co_return;
  } else if (method == "resources/unsubscribe") {
    session->watches.erase(in.envelope->params.String("uri").value_or(""));
  } else if (info != nullptr && info->capability == mcp::Capability::kTasks) {
    co_await HandleTask(std::move(in), std::move(session), reply);
    co_return;
  } else {
    co_await HandleCall(std::move(in), std::move(session), reply);
    co_return;
  }
  if (!result.ok()) {
    co_await RespondError(reply, id, result.status(), kLegacy);
    co_return;
  }
  std::string message = jsonrpc::MakeResult(id, std::string(*std::move(result)));
  (void)co_await reply.Respond(200, std::move(message));
}

Awaitable<void> LegacyFront::SetLogLevel(std::shared_ptr<LegacySession> session,
                                         std::string level) {
  session->log_level = std::move(level);
  std::vector<catalog::v1::SessionMark> marks;
  marks.push_back(SessionRegistry::MarkOf(*session, false));
  deps_.sessions.Mark(marks.front());
  if (deps_.peers == nullptr) co_return;
  // What cannot be stored still holds wherever it could be told.
  auto publishing = deps_.peers->Publish(std::move(marks));
  (void)co_await std::move(publishing);
}

Awaitable<void> LegacyFront::Subscribe(Incoming in, std::shared_ptr<LegacySession> session,
                                       Reply& reply) {
  const jsonrpc::Id id = in.envelope->id;
  const auto uri = in.envelope->params.String("uri");
  absl::Status status;
  if (!uri) {
    status = MakeError("INVALID_PARAMS", "gateway", "params.uri must be a string");
  } else if (session->watches.size() >= kWatchesMax) {
    status = MakeError("RATE_LIMITED", "gateway",
                       StrCat("a session may watch ", kWatchesMax, " resources"));
  } else if (deps_.filter != nullptr) {
    status = deps_.filter->MayWatch(in.view, *in.principal, *uri);
  }
  const auto known = session->watches.find(*uri);
  if (status.ok() && (known == session->watches.end() || known->second->ended())) {
    std::weak_ptr<LegacySession> weak = session;
    auto updated = [weak](const std::string& changed) {
      if (auto alive = weak.lock()) {
        json::ObjectWriter params;
        params.AddString("uri", changed);
        alive->outbox.Push(jsonrpc::MakeNotification("notifications/resources/updated",
                                                     std::move(params).Build()));
      }
    };
    auto watch = deps_.hub.Watch(in.view, *uri, session->handle, session->client_capabilities,
                                 in.principal, std::move(updated));
    status = watch.status();
    if (watch.ok()) {
      status = co_await (*watch)->Ready(std::chrono::seconds(10));
      if (status.ok()) session->watches[*uri] = *std::move(watch);
    }
  }
  if (!status.ok()) {
    co_await RespondError(reply, id, status, kLegacy);
    co_return;
  }
  std::string message = jsonrpc::MakeResult(id, "{}");
  (void)co_await reply.Respond(200, std::move(message));
}

Awaitable<void> LegacyFront::HandleCall(Incoming in, std::shared_ptr<LegacySession> session,
                                        Reply& reply) {
  const jsonrpc::Id id = in.envelope->id;
  const std::string method(in.envelope->method);
  auto meta = mcp::ParseLegacyMeta(in.envelope->meta);
  if (!meta.ok()) {
    co_await RespondError(reply, id, meta.status(), kLegacy);
    co_return;
  }
  const CallContext ctx = MakeContext(deps_, in, *meta);
  CallSpec spec;
  spec.view = in.view;
  spec.method = method;
  spec.params = mcp::ParamsToModern(method, in.envelope->params, "");
  // Without a way to push we must not let an upstream ask.
  spec.client_capabilities = reply.can_push() ? session->client_capabilities : "{}";
  spec.client_revision = mcp::RevisionName(session->revision);
  spec.client_info = session->client_info;
  spec.log_level = session->log_level;
  spec.meta = ForwardedMeta(*meta);
  spec.wants_progress = meta->progress_token.present();
  spec.affinity = session->handle;
  if (deps_.peers != nullptr && deps_.peers->clustered()) spec.holder = deps_.peers->self();
  const bool as_task =
      method == "tools/call" && OffersTasks(in, *session) && in.envelope->params.Has("task");
  if (as_task) {
    spec.task = std::string(in.envelope->params.Raw("task"));
    auto with = mcp::WithTasks(spec.client_capabilities);
    if (with.ok()) spec.client_capabilities = *std::move(with);
  }
  FrontEvents events(reply, session->revision, meta->progress_token, session->log_level);

  bool cancelled = false;
  auto op = CallWithQuestions(ctx, std::move(spec), session, events, reply);
  auto register_cancel = [&session, &id, &cancelled](std::function<void()> cancel) {
    session->in_flight[id] = [&cancelled, cancel = std::move(cancel)] {
      cancelled = true;
      cancel();
    };
  };
  // A legacy client's disconnect is no cancellation (MCP 2025-11-25, transports).
  auto guarded = RunWhileConnected(reply, false, register_cancel, std::move(op));
  absl::StatusOr<CallOutcome> outcome = co_await std::move(guarded);
  NoteOutcome(reply, outcome);
  TellAllowance(reply, outcome);
  session->in_flight.erase(id);
  if (cancelled) {
    // A cancelled request has no response.
    (void)co_await reply.End(202);
    co_return;
  }
  if (outcome.ok() && outcome->failed) {
    std::string message =
        jsonrpc::MakeErrorResponse(id, mcp::ErrorToLegacy(std::move(outcome->error), method));
    (void)co_await reply.Respond(200, std::move(message));
    co_return;
  }
  absl::StatusOr<std::string> converted = std::string();
  const bool made_task = outcome.ok() && outcome->kind == provider::v1::RESULT_KIND_TASK;
  if (!outcome.ok()) {
    converted = outcome.status();
  } else if (!made_task) {
    converted =
        mcp::ResultToLegacy(method, outcome->result, session->revision, outcome->wraps_output);
  }
  if (converted.ok() && as_task) converted = TaskCreated(*session, *outcome, converted);
  if (!converted.ok()) {
    co_await RespondError(reply, id, converted.status(), kLegacy);
    co_return;
  }
  // A slow reader holds up the message alone, nothing that it was made of.
  std::string().swap(outcome->result);
  std::string message = jsonrpc::MakeResult(id, std::string(*std::move(converted)));
  (void)co_await reply.Respond(200, std::move(message));
}

bool LegacyFront::HandleNotification(const Incoming& in, LegacySession& session) {
  if (in.envelope->method != "notifications/cancelled") return true;
  auto id = jsonrpc::Id::FromRaw(in.envelope->params.Raw("requestId"));
  if (!id.ok()) return true;
  const auto it = session.in_flight.find(*id);
  if (it == session.in_flight.end()) return false;
  const auto cancel = it->second;
  cancel();
  return true;
}

}  // namespace metamcp::gateway
