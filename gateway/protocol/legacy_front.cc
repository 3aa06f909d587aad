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
#include "gateway/protocol/results.h"

namespace metamcp::gateway {
namespace {

namespace asio = boost::asio;
constexpr mcp::Era kLegacy = mcp::Era::kLegacy;
// Pace of a tool that asks for a retry without a question (mcp-digest 11.2).
constexpr std::chrono::milliseconds kStateOnlyPause{250};
// Resources one session may subscribe to.
constexpr size_t kWatchesMax = 1000;

// A finished tool result that says why the question could not be put to this client.
std::string CannotAsk(std::string_view why) {
  json::ObjectWriter text;
  text.AddString("type", "text");
  text.AddString("text", why);
  return StrCat(R"({"resultType":"complete","content":[)", std::move(text).Build(),
                R"(],"isError":true})");
}

// The answer that stands for a client that refused or failed to answer; nothing for questions whose
// failure cannot be expressed (mcp-digest 12).
std::optional<std::string> RefusedAnswer(std::string_view method) {
  if (method == "elicitation/create") return R"({"action":"cancel"})";
  return std::nullopt;
}

}  // namespace

LegacyFront::LegacyFront(FrontDeps deps) : deps_(std::move(deps)) {
  // A session that becomes known here hears of list changes from now on.
  deps_.sessions.on_open = [this](LegacySession& session) {
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
  std::string message =
      jsonrpc::MakeResult(in.envelope->id, InitializeResult(*in.view, (*session)->revision));
  (void)co_await reply.Respond(200, std::move(message));
  co_return *session;
}

Awaitable<void> LegacyFront::HandleRequest(Incoming in, std::shared_ptr<LegacySession> session,
                                           Reply& reply) {
  const jsonrpc::Id id = in.envelope->id;
  const std::string_view method = in.envelope->method;
  absl::StatusOr<std::string> result = std::string("{}");
  const absl::Status valid =
      mcp::ValidateParams(session->revision, method, in.envelope->params.text());
  const mcp::MethodInfo* info = mcp::FindMethod(method);
  const bool known = info != nullptr && !info->notification &&
                     info->capability != mcp::Capability::kTasks &&
                     mcp::ServerAccepts(*info, session->revision);
  if (!known) {
    result = MakeError("METHOD_NOT_FOUND", "gateway", StrCat("no method \"", method, "\""));
  } else if (!valid.ok()) {
    result = valid;
  } else if (method == "ping") {
  } else if (const auto kind = ListKind(method)) {
    result = AnswerList(deps_, in, *kind, session->revision);
  } else if (method == "logging/setLevel") {
    const auto level = in.envelope->params.String("level");
    if (!level || !mcp::LogSeverity(*level)) {
      result = MakeError("INVALID_PARAMS", "gateway",
                         "params.level must be one of debug, info, notice, warning, error, "
                         "critical, alert, emergency");
    } else {
      session->log_level = *level;
    }
  } else if (method == "resources/subscribe") {
    co_await Subscribe(std::move(in), std::move(session), reply);
    co_return;
  } else if (method == "resources/unsubscribe") {
    session->watches.erase(in.envelope->params.String("uri").value_or(""));
  } else {
    co_await HandleCall(std::move(in), std::move(session), reply);
    co_return;
  }
  if (!result.ok()) {
    co_await RespondError(reply, id, result.status(), kLegacy);
    co_return;
  }
  std::string message = jsonrpc::MakeResult(id, *result);
  (void)co_await reply.Respond(200, std::move(message));
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
  } else if (session->watches.count(*uri) == 0) {
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
  spec.client_info = session->client_info;
  spec.log_level = session->log_level;
  spec.meta = ForwardedMeta(*meta);
  spec.wants_progress = meta->progress_token.present();
  spec.affinity = session->handle;
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
  auto guarded = RunWhileConnected(deps_, reply, false, register_cancel, std::move(op));
  absl::StatusOr<CallOutcome> outcome = co_await std::move(guarded);
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
  if (!outcome.ok()) {
    converted = outcome.status();
  } else {
    converted =
        mcp::ResultToLegacy(method, outcome->result, session->revision, outcome->wraps_output);
  }
  if (!converted.ok()) {
    co_await RespondError(reply, id, converted.status(), kLegacy);
    co_return;
  }
  std::string message = jsonrpc::MakeResult(id, *converted);
  (void)co_await reply.Respond(200, std::move(message));
}

Awaitable<absl::StatusOr<CallOutcome>> LegacyFront::CallWithQuestions(
    const CallContext& ctx, CallSpec spec, std::shared_ptr<LegacySession> session,
    CallEvents& events, Reply& reply) {
  for (int round = 0; round <= deps_.ask_rounds_max; ++round) {
    METAMCP_CO_ASSIGN_OR_RETURN(CallOutcome outcome, co_await deps_.chain.Run(ctx, spec, events));
    if (outcome.failed && outcome.error.code == -32021 && spec.method == "tools/call") {
      outcome.failed = false;
      outcome.result = CannotAsk(StrCat("upstream:", outcome.upstream, " needs a capability that ",
                                        "this client has not: ", outcome.error.message));
    }
    if (outcome.failed || outcome.kind != provider::v1::RESULT_KIND_INPUT_REQUIRED) {
      co_return outcome;
    }
    METAMCP_CO_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(outcome.result));
    const auto state = view.String("requestState");
    spec.has_request_state = state.has_value();
    spec.request_state = state.value_or("");
    spec.input_responses.clear();
    if (!view.Has("inputRequests")) {
      const bool slept = co_await Sleep(kStateOnlyPause);
      if (!slept) co_return absl::CancelledError("cancelled");
      continue;
    }
    auto answers = co_await AskAll(session, std::string(view.Raw("inputRequests")), reply);
    if (answers.ok()) {
      spec.input_responses = *std::move(answers);
      continue;
    }
    if (spec.method != "tools/call" || absl::IsCancelled(answers.status())) {
      co_return answers.status();
    }
    outcome.kind = provider::v1::RESULT_KIND_COMPLETE;
    outcome.result = CannotAsk(Sv(answers.status().message()));
    co_return outcome;
  }
  co_return MakeError("UPSTREAM_PROTOCOL", "gateway",
                      StrCat("the tool asked more than ", deps_.ask_rounds_max, " times"));
}

Awaitable<absl::StatusOr<std::string>> LegacyFront::AskAll(std::shared_ptr<LegacySession> session,
                                                           std::string raw_requests, Reply& reply) {
  struct Asked {
    std::string key, method, id;
    std::shared_ptr<PendingAsk> pending;
  };
  METAMCP_CO_ASSIGN_OR_RETURN(const json::ObjectView requests, json::ScanObject(raw_requests));
  std::vector<Asked> asked;
  absl::Status failed;
  for (const json::Member& member : requests.members()) {
    auto request = json::ScanObject(member.value.raw);
    const std::string method = request.ok() ? request->String("method").value_or("") : "";
    absl::StatusOr<std::string> params =
        MakeError("UPSTREAM_PROTOCOL", "gateway", "an input request without a method");
    if (!method.empty()) {
      params =
          mcp::InputParamsToLegacy(method, request->Raw("params"), session->revision, NewUuidV7());
    }
    if (!params.ok()) {
      failed = params.status();
      break;
    }
    Asked one;
    one.key = std::string(member.key);
    one.method = method;
    one.id = StrCat("gw-", ++session->next_ask);
    one.pending = std::make_shared<PendingAsk>(deps_.executor);
    session->asks[one.id] = one.pending;
    asked.push_back(one);
    std::string message = jsonrpc::MakeRequest(jsonrpc::Id::String(one.id), method, *params);
    failed = co_await reply.Notify(std::move(message));
    if (!failed.ok()) break;
  }
  json::ObjectWriter answers;
  for (Asked& one : asked) {
    if (failed.ok() && !one.pending->answered) {
      one.pending->done.expires_after(deps_.ask_timeout);
      co_await one.pending->done.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    session->asks.erase(one.id);
    if (!failed.ok()) continue;
    if (one.pending->answered && !one.pending->error) {
      auto result = mcp::InputResultToModern(one.method, one.pending->result);
      if (result.ok()) {
        answers.Add(one.key, *result);
      } else {
        failed = result.status();
      }
    } else if (auto refused = RefusedAnswer(one.method)) {
      answers.Add(one.key, *refused);
    } else {
      failed = MakeError(
          "UPSTREAM_ERROR", "client",
          one.pending->error
              ? StrCat("the client refused ", one.method, ": ", one.pending->error->message)
              : StrCat("the client did not answer ", one.method, " in time"));
    }
  }
  if (!failed.ok()) co_return failed;
  co_return std::move(answers).Build();
}

void LegacyFront::HandleNotification(const Incoming& in, LegacySession& session) {
  if (in.envelope->method != "notifications/cancelled") return;
  auto id = jsonrpc::Id::FromRaw(in.envelope->params.Raw("requestId"));
  if (!id.ok()) return;
  const auto it = session.in_flight.find(*id);
  if (it == session.in_flight.end()) return;
  const auto cancel = it->second;
  cancel();
}

bool LegacyFront::HandleAnswer(const jsonrpc::Envelope& envelope, LegacySession& session) {
  if (envelope.id.kind() != jsonrpc::Id::Kind::kString) return false;
  const auto it = session.asks.find(envelope.id.AsText());
  if (it == session.asks.end() || it->second->answered) return false;
  PendingAsk& pending = *it->second;
  pending.answered = true;
  if (envelope.kind == jsonrpc::MessageKind::kError) {
    pending.error = envelope.error;
  } else {
    pending.result = std::string(envelope.result);
  }
  pending.done.cancel();
  return true;
}

}  // namespace metamcp::gateway
