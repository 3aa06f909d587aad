#include "gateway/models/model_edge.h"

#include <algorithm>
#include <optional>

#include "common/async/run.h"
#include "common/audit/text.h"
#include "common/auth/roles.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "gateway/audit/call_audit.h"
#include "gateway/models/model_error.h"
#include "gateway/transport/admission.h"

namespace metamcp::gateway {
namespace {

constexpr std::string_view kChatPath = "/v1/chat/completions";
constexpr std::string_view kModelsPath = "/v1/models";
// Any of them, in their order.
constexpr std::string_view kAny = "auto";
constexpr std::chrono::seconds kListTime(5);
constexpr size_t kNameBytesMax = 256;

absl::Status NoModel(std::string_view name) {
  return MakeError("NOT_FOUND", "gateway",
                   StrCat("there is no model \"", name.substr(0, kNameBytesMax), "\" here"),
                   {{"code", "model_not_found"}, {"param", "model"}});
}

absl::StatusOr<std::string> ModelOf(const std::string& body) {
  const auto object = json::ScanObject(body);
  if (!object.ok()) {
    return MakeError("ARGUMENT_INVALID", "gateway", "the request is not a JSON object");
  }
  auto model = object->String("model");
  if (model && !model->empty()) return *std::move(model);
  return MakeError("ARGUMENT_INVALID", "gateway", "model must be a text", {{"param", "model"}});
}

std::string ModelJson(const std::string& id, const std::string& owner) {
  json::ObjectWriter out;
  out.AddString("id", id);
  out.AddString("object", "model");
  out.AddInt("created", 0);
  out.AddString("owned_by", owner);
  return std::move(out).Build();
}

// An answer on its way to the client: a stream as it comes, anything else whole.
class Passing final : public Sink<ai::v1::ChatResponse> {
 public:
  explicit Passing(http::HttpResponder& responder) : responder_(responder) {}

  Awaitable<absl::Status> Write(ai::v1::ChatResponse message) override {
    if (message.status() != 0) {
      status_ = message.status();
      type_ = message.content_type();
      provider_ = message.provider();
      streams_ = type_.starts_with("text/event-stream");
      if (streams_) {
        http::HttpHeaders headers;
        headers.Set("Content-Type", type_);
        headers.Set("Cache-Control", "no-cache, no-transform");
        headers.Set("X-Accel-Buffering", "no");
        auto starting = responder_.StartStream(status_, std::move(headers));
        METAMCP_CO_RETURN_IF_ERROR(co_await std::move(starting));
      }
    }
    if (message.data().empty()) co_return absl::OkStatus();
    size_ += message.data().size();
    if (!streams_) {
      body_ += message.data();
      co_return absl::OkStatus();
    }
    auto writing = responder_.Write(message.data());
    co_return co_await std::move(writing);
  }

  // Ends the answer; `result` is how the request ended.
  Awaitable<void> End(absl::Status result) {
    if (!streams_) {
      http::HttpResponse response = result.ok() && status_ != 0
                                        ? http::HttpResponse(status_, type_, std::move(body_))
                                        : ModelError(result);
      auto sending = responder_.Send(std::move(response));
      (void)co_await std::move(sending);
      co_return;
    }
    if (!result.ok()) {
      const std::string event = StrCat("data: ", ModelErrorBody(result), "\n\n");
      auto writing = responder_.Write(event);
      (void)co_await std::move(writing);
    }
    auto finishing = responder_.Finish();
    (void)co_await std::move(finishing);
  }

  int status() const { return status_; }
  size_t size() const { return size_; }
  const std::string& provider() const { return provider_; }

 private:
  http::HttpResponder& responder_;
  int status_ = 0;
  bool streams_ = false;
  size_t size_ = 0;
  std::string type_, provider_, body_;
};

// One request in the audit, whatever becomes of it.
class Recording {
 public:
  Recording(AuditRecorder* audit, const CallContext& ctx, const http::HttpRequest& request)
      : audit_(audit) {
    SetPrincipal(ctx, event_);
    event_.set_action("models/chat");
    event_.set_trace(TraceId(request.headers.Get("traceparent")));
    SetArguments(request.body, event_);
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  ~Recording() {
    if (audit_ == nullptr || done_) return;
    event_.set_decision("allow");
    event_.set_outcome("cancelled");
    audit_->Note(std::move(event_));
  }

  // Known models by name; what else a client wrote is its own words.
  void SetModel(const std::string& name, bool known) {
    const std::string text = audit::CleanText(name, kNameBytesMax);
    if (known) {
      event_.set_item(StrCat("model.", text));
    } else {
      event_.set_target(text);
    }
  }

  Awaitable<absl::Status> End(const absl::Status& status, const Passing& passing) {
    const auto info = GetErrorInfo(status);
    const std::string reason = info ? info->reason : std::string();
    const bool denied = reason == "PERMISSION_DENIED";
    event_.set_decision(denied ? "deny" : "allow");
    event_.set_rule(info && info->metadata.count("rule") > 0
                        ? StrCat("policy:", info->metadata.at("rule"))
                        : std::string("gateway:models"));
    event_.set_reason(reason);
    event_.set_code(passing.status());
    event_.set_outcome(denied                                              ? "denied"
                       : absl::IsCancelled(status)                         ? "cancelled"
                       : !status.ok()                                      ? "failed"
                       : passing.status() >= 200 && passing.status() < 300 ? "ok"
                                                                           : "error");
    event_.set_provider(passing.provider());
    event_.set_result_size(static_cast<int64_t>(passing.size()));
    event_.set_duration_us(std::chrono::duration_cast<std::chrono::microseconds>(
                               std::chrono::steady_clock::now() - began_)
                               .count());
    done_ = true;
    if (audit_ == nullptr) co_return absl::OkStatus();
    auto recording = audit_->Record(std::move(event_));
    co_return co_await std::move(recording);
  }

 private:
  AuditRecorder* const audit_;
  audit::v1::Event event_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  bool done_ = false;
};

}  // namespace

bool ModelEdge::Owns(std::string_view path) {
  return path == kChatPath || path == kModelsPath ||
         (path.starts_with(kModelsPath) && path[kModelsPath.size()] == '/');
}

Awaitable<void> ModelEdge::Handle(http::HttpRequest& request, http::HttpResponder& responder) {
  absl::Status refused;
  const auth::Credentials credentials = CredentialsOf(request);
  auto admitting = deps_.authenticator.Admit(credentials);
  auto principal = co_await std::move(admitting);
  if (!principal.ok()) {
    refused = principal.status();
  } else if (!auth::Allows(**principal, auth::Permission::kUse)) {
    refused = MakeError("PERMISSION_DENIED", "gateway", "none of your roles may use models");
  } else if (!deps_.on || deps_.ai == nullptr) {
    refused = MakeError("NOT_FOUND", "gateway",
                        "this gateway passes nothing on to models: set ai.chatApi");
  } else if (request.method != (request.path == kChatPath ? "POST" : "GET")) {
    refused = MakeError("METHOD_NOT_ALLOWED", "gateway",
                        request.path == kChatPath ? "use POST" : "use GET");
  }
  if (!refused.ok()) {
    http::HttpResponse response = ModelError(refused);
    auto sending = responder.Send(std::move(response));
    (void)co_await std::move(sending);
    co_return;
  }
  auto answering = Answer(request, responder, *std::move(principal));
  co_await std::move(answering);
}

Awaitable<void> ModelEdge::Answer(http::HttpRequest& request, http::HttpResponder& responder,
                                  std::shared_ptr<const Principal> who) {
  CallContext ctx(std::move(who), CallContext::Clock::now() + deps_.timeout);
  ctx.trace.traceparent = std::string(request.headers.Get("traceparent"));
  auto working =
      request.path == kChatPath ? Chat(ctx, request, responder) : List(ctx, request, responder);
  co_await std::move(working);
}

absl::Status ModelEdge::Check(const Principal& who, const Model& model) const {
  policy::Item item;
  item.kind = "model";
  item.names = {model.name, StrCat(model.provider, ".", model.name), model.provider};
  item.upstreams = {model.provider};
  policy::Moment moment;
  moment.now_us = NowMicros();
  const policy::Decision decision = deps_.access.policy().Decide(who, item, moment);
  if (decision.effect == policy::Effect::kAllow) return absl::OkStatus();
  const std::string rule = decision.rule == nullptr ? "policy.default" : decision.rule->name;
  const bool asks = decision.effect == policy::Effect::kConsent;
  return MakeError("PERMISSION_DENIED", "policy",
                   StrCat("the rule \"", rule, asks ? "\" asks a person about " : "\" denies ",
                          "model ", model.name, asks ? ", which this API cannot do" : "",
                          decision.rule == nullptr || decision.rule->reason.empty()
                              ? ""
                              : StrCat(": ", decision.rule->reason)),
                   {{"rule", rule}, {"param", "model"}});
}

Awaitable<absl::StatusOr<std::vector<ModelEdge::Model>>> ModelEdge::Models(const CallContext& ctx,
                                                                           std::string wanted,
                                                                           absl::Status* denied) {
  const CallContext capped = ctx.Capped(kListTime);
  ai::v1::ListProvidersRequest request;
  auto listing = deps_.ai->ListProviders(capped, std::move(request));
  const auto listed = co_await std::move(listing);
  if (!listed.ok()) co_return listed.status();
  std::vector<Model> out;
  for (const ai::v1::Provider& provider : listed->providers()) {
    const Model model{provider.name(), provider.model()};
    const bool fits = wanted == kAny || wanted == model.name || wanted == model.provider;
    if (provider.api() != "chat" || !fits) continue;
    const absl::Status may = Check(*ctx.principal, model);
    if (may.ok()) {
      out.push_back(model);
    } else {
      *denied = may;
    }
  }
  co_return out;
}

Awaitable<void> ModelEdge::List(const CallContext& ctx, const http::HttpRequest& request,
                                http::HttpResponder& responder) {
  const AdmittedRequest admitted(deps_.limits, *ctx.principal);
  absl::Status status = admitted.status();
  std::vector<std::string> models;
  const std::string wanted =
      request.path == kModelsPath ? "" : request.path.substr(kModelsPath.size() + 1);
  if (status.ok()) {
    absl::Status denied;
    auto listing = Models(ctx, std::string(kAny), &denied);
    const auto listed = co_await std::move(listing);
    status = listed.status();
    std::vector<std::string> seen;
    const auto add = [&](const std::string& id, const std::string& owner) {
      if (std::find(seen.begin(), seen.end(), id) != seen.end()) return;
      seen.push_back(id);
      if (wanted.empty() || wanted == id) models.push_back(ModelJson(id, owner));
    };
    if (status.ok()) {
      for (const Model& model : *listed) add(model.name, model.provider);
      if (!listed->empty()) add(std::string(kAny), "meta-mcp");
    }
  }
  if (status.ok() && !wanted.empty() && models.empty()) status = NoModel(wanted);
  http::HttpResponse response(200);
  if (!status.ok()) {
    response = ModelError(status);
  } else if (!wanted.empty()) {
    response = http::HttpResponse(200, "application/json", models[0]);
  } else {
    json::ObjectWriter out;
    out.AddString("object", "list");
    out.Add("data", json::JoinArray(models));
    response = http::HttpResponse(200, "application/json", std::move(out).Build());
  }
  auto sending = responder.Send(std::move(response));
  (void)co_await std::move(sending);
}

Awaitable<void> ModelEdge::Chat(const CallContext& ctx, http::HttpRequest& request,
                                http::HttpResponder& responder) {
  Passing passing(responder);
  if (deps_.audit != nullptr) {
    if (const absl::Status ready = deps_.audit->Ready(); !ready.ok()) {
      auto ending = passing.End(ready);
      co_await std::move(ending);
      co_return;
    }
  }
  Recording recording(deps_.audit, ctx, request);
  absl::Status status;
  std::optional<AdmittedRequest> admitted;
  std::vector<std::string> providers;
  const auto model = ModelOf(request.body);
  status = model.status();
  if (status.ok()) {
    absl::Status denied;
    auto listing = Models(ctx, *model, &denied);
    const auto models = co_await std::move(listing);
    status = models.status();
    if (status.ok()) {
      for (const Model& one : *models) providers.push_back(one.provider);
      if (providers.empty()) status = denied.ok() ? NoModel(*model) : denied;
      recording.SetModel(*model, !providers.empty() || !denied.ok());
    }
  }
  if (status.ok()) {
    admitted.emplace(deps_.limits, *ctx.principal, *model);
    status = admitted->status();
  }
  if (status.ok()) {
    // Whoever goes away lets the provider stop.
    const auto canceller = std::make_shared<Canceller>();
    responder.OnDisconnect([canceller] { canceller->Cancel(); });
    ai::v1::ChatRequest ask;
    for (std::string& name : providers) ask.add_providers(std::move(name));
    ask.set_body(std::move(request.body));
    auto asking = deps_.ai->Chat(ctx, std::move(ask), passing);
    auto cancellable = RunCancellable(canceller, std::move(asking));
    status = co_await std::move(cancellable);
  }
  auto recorded_at = recording.End(status, passing);
  const absl::Status recorded = co_await std::move(recorded_at);
  auto ending = passing.End(status.ok() ? recorded : status);
  co_await std::move(ending);
}

}  // namespace metamcp::gateway
