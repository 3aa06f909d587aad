// How a legacy client is asked what a call needs to know: the inner input_required becomes requests
// on the client's own stream, and the call is repeated with the answers.

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "gateway/protocol/front.h"

namespace metamcp::gateway {
namespace {

namespace asio = boost::asio;
// Pace of a tool that asks for a retry without a question (mcp-digest 11.2).
constexpr std::chrono::milliseconds kStateOnlyPause{250};
// Of the ids of questions, with the asking process and a number.
constexpr std::string_view kAskPrefix = "gw-";
// How long giving up a call may take.
constexpr std::chrono::seconds kAbandonTime{10};

// A finished tool result that says why the question could not be put to this client.
std::string CannotAsk(std::string_view why) {
  json::ObjectWriter text;
  text.AddString("type", "text");
  text.AddString("text", why);
  return StrCat(R"({"resultType":"complete","content":[)", std::move(text).Build(),
                R"(],"isError":true})");
}

// The answer that stands for a client that refused or failed to answer: what MCP has for it, else
// the inner form of a refusal (provider.proto).
std::string RefusedAnswer(std::string_view method, int64_t code, std::string_view why) {
  if (method == "elicitation/create") return R"({"action":"cancel"})";
  json::ObjectWriter error;
  error.AddInt("code", code);
  error.AddString("message", why);
  json::ObjectWriter answer;
  answer.Add("error", std::move(error).Build());
  return std::move(answer).Build();
}

class NoEvents final : public CallEvents {
 public:
  Awaitable<absl::Status> Progress(std::string) override { co_return absl::OkStatus(); }
  Awaitable<absl::Status> LogMessage(std::string) override { co_return absl::OkStatus(); }
};

Awaitable<void> Abandon(CallChain& chain, CallContext ctx, CallSpec spec) {
  NoEvents nobody;
  auto run = chain.Run(ctx, spec, nobody);
  // It may have ended meanwhile, which is as good.
  (void)co_await std::move(run);
}

// Cancels a call that waits for answers when its coroutine ends without giving them: its client
// cancelled it, ended its session, or cannot be asked any more.
class OpenQuestions {
 public:
  OpenQuestions(const FrontDeps& deps, const CallContext& ctx, const CallSpec& spec)
      : deps_(deps), ctx_(ctx), spec_(spec) {}
  OpenQuestions(const OpenQuestions&) = delete;
  OpenQuestions& operator=(const OpenQuestions&) = delete;
  ~OpenQuestions() {
    if (!open || !spec_.has_request_state || deps_.tasks == nullptr) return;
    CallContext ctx = ctx_;
    ctx.deadline = CallContext::Clock::now() + kAbandonTime;
    CallSpec spec = spec_;
    spec.abandon = true;
    spec.input_responses.clear();
    spec.wants_progress = false;
    deps_.tasks->Spawn("abandon-call", Abandon(deps_.chain, std::move(ctx), std::move(spec)));
  }
  bool open = false;

 private:
  const FrontDeps& deps_;
  const CallContext& ctx_;
  const CallSpec& spec_;
};

bool ClientRefused(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info && info->reason == "UPSTREAM_ERROR" && info->domain == "client";
}

// Questions that are forgotten when their round ends, whichever way.
class AskedQuestions {
 public:
  explicit AskedQuestions(std::shared_ptr<LegacySession> session) : session_(std::move(session)) {}
  AskedQuestions(const AskedQuestions&) = delete;
  AskedQuestions& operator=(const AskedQuestions&) = delete;
  ~AskedQuestions() {
    for (const std::string& id : ids_) session_->asks.erase(id);
  }
  void Add(const std::string& id, std::shared_ptr<PendingAsk> pending) {
    session_->asks[id] = std::move(pending);
    ids_.push_back(id);
  }

 private:
  std::shared_ptr<LegacySession> session_;
  std::vector<std::string> ids_;
};

}  // namespace

Awaitable<absl::StatusOr<CallOutcome>> LegacyFront::CallWithQuestions(
    const CallContext& ctx, CallSpec spec, std::shared_ptr<LegacySession> session,
    CallEvents& events, Reply& reply) {
  OpenQuestions questions(deps_, ctx, spec);
  for (int round = 0; round <= deps_.ask_rounds_max; ++round) {
    auto ran = co_await deps_.chain.Run(ctx, spec, events);
    if (!ran.ok() && spec.method == "tools/call" && ClientRefused(ran.status())) {
      CallOutcome refused;
      refused.result = CannotAsk(Sv(ran.status().message()));
      co_return refused;
    }
    METAMCP_CO_ASSIGN_OR_RETURN(CallOutcome outcome, std::move(ran));
    questions.open = false;
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
    questions.open = true;
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
    std::string refused;  // the answer to a question that this client cannot be asked
    std::shared_ptr<PendingAsk> pending;
  };
  METAMCP_CO_ASSIGN_OR_RETURN(const json::ObjectView requests, json::ScanObject(raw_requests));
  std::vector<Asked> asked;
  AskedQuestions asks(session);
  absl::Status failed;
  for (const json::Member& member : requests.members()) {
    auto request = json::ScanObject(member.value.raw);
    const std::string method = request.ok() ? request->String("method").value_or("") : "";
    if (method.empty()) {
      failed = MakeError("UPSTREAM_PROTOCOL", "gateway", "an input request without a method");
      break;
    }
    Asked one;
    one.key = std::string(member.key);
    one.method = method;
    const auto params =
        mcp::InputParamsToLegacy(method, request->Raw("params"), session->revision, NewUuidV7());
    if (!params.ok()) {
      one.refused = RefusedAnswer(method, jsonrpc::kInvalidParams, Sv(params.status().message()));
      asked.push_back(one);
      continue;
    }
    one.id = StrCat(kAskPrefix, deps_.peers ? deps_.peers->self() : "", "-", ++session->next_ask);
    one.pending = std::make_shared<PendingAsk>(deps_.executor);
    asks.Add(one.id, one.pending);
    asked.push_back(one);
    std::string message = jsonrpc::MakeRequest(jsonrpc::Id::String(one.id), method, *params);
    failed = co_await reply.Notify(std::move(message));
    if (!failed.ok()) break;
  }
  json::ObjectWriter answers;
  for (Asked& one : asked) {
    if (one.pending == nullptr) {
      answers.Add(one.key, one.refused);
      continue;
    }
    if (failed.ok() && !one.pending->answered) {
      one.pending->done.expires_after(deps_.ask_timeout);
      co_await one.pending->done.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    if (!failed.ok()) continue;
    if (one.pending->answered && !one.pending->error) {
      auto result = mcp::InputResultToModern(one.method, one.pending->result);
      if (result.ok()) {
        answers.Add(one.key, *result);
      } else {
        failed = result.status();
      }
    } else if (one.pending->error) {
      const auto& error = *one.pending->error;
      answers.Add(one.key, RefusedAnswer(one.method, error.code, error.message));
    } else {
      answers.Add(one.key, RefusedAnswer(one.method, jsonrpc::kInternalError,
                                         StrCat("no answer to ", one.method, " in time")));
    }
  }
  if (!failed.ok()) co_return failed;
  co_return std::move(answers).Build();
}

std::string AskerOf(const jsonrpc::Id& id) {
  if (id.kind() != jsonrpc::Id::Kind::kString) return {};
  const std::string text = id.AsText();
  const size_t dash = text.rfind('-');
  if (text.rfind(kAskPrefix, 0) != 0 || dash < kAskPrefix.size()) return {};
  std::string instance = text.substr(kAskPrefix.size(), dash - kAskPrefix.size());
  return cluster::IsInstanceId(instance) ? instance : std::string();
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
