#include "gateway/routing/call_chain.h"

#include <algorithm>

#include "common/auth/carried_token.h"
#include "common/auth/roles.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/rpc/channel.h"
#include "gateway/routing/call_target.h"
#include "gateway/routing/url_demand.h"

namespace metamcp::gateway {
namespace {

using catalog::v1::Route;

// Forwards a provider's events and puts the result together.
class OutcomeSink final : public Sink<provider::v1::CallResponse> {
 public:
  OutcomeSink(CallEvents& events, size_t bytes_max) : events_(events), bytes_max_(bytes_max) {}

  Awaitable<absl::Status> Write(provider::v1::CallResponse event) override {
    switch (event.event_case()) {
      case provider::v1::CallResponse::kProgress:
        co_return co_await events_.Progress(std::move(*event.mutable_progress()));
      case provider::v1::CallResponse::kLog:
        co_return co_await events_.LogMessage(std::move(*event.mutable_log()));
      case provider::v1::CallResponse::kPaused: {
        const std::chrono::milliseconds retry(event.paused().retry_ms());
        co_return co_await events_.Paused(retry);
      }
      case provider::v1::CallResponse::kNotification: {
        auto& notification = *event.mutable_notification();
        co_return co_await events_.Notification(std::move(*notification.mutable_method()),
                                                std::move(*notification.mutable_params()));
      }
      case provider::v1::CallResponse::kResult:
        outcome.kind = event.result().kind();
        outcome.instance = event.result().instance();
        if (outcome.result.size() + event.result().data().size() > bytes_max_) {
          co_return MakeError("UPSTREAM_RESULT_TOO_LARGE", "gateway",
                              StrCat("the result exceeds ", bytes_max_, " bytes"));
        }
        if (outcome.result.empty()) {
          outcome.result = std::move(*event.mutable_result()->mutable_data());
        } else {
          outcome.result += event.result().data();
        }
        if (!event.result().owner().empty()) outcome.owner = event.result().owner();
        complete = event.result().last();
        break;
      case provider::v1::CallResponse::kError:
        outcome.failed = true;
        outcome.error.code = static_cast<int>(event.error().code());
        outcome.error.message = event.error().message();
        outcome.error.data = event.error().data();
        complete = true;
        break;
      case provider::v1::CallResponse::EVENT_NOT_SET:
        break;
    }
    co_return absl::OkStatus();
  }

  CallOutcome outcome;
  bool complete = false;

 private:
  CallEvents& events_;
  const size_t bytes_max_;
};

bool MayUseMcp(const CallContext& ctx) {
  return ctx.principal == nullptr || auth::Allows(*ctx.principal, auth::Permission::kUse);
}

// Counts a running call for load-aware routing.
class InFlight {
 public:
  explicit InFlight(int& counter) : counter_(counter) { ++counter_; }
  ~InFlight() { --counter_; }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

 private:
  int& counter_;
};

void DescribeOutcome(trace::Span& span, const absl::StatusOr<CallOutcome>& outcome) {
  if (!outcome.ok()) {
    span.Fail(outcome.status());
  } else {
    span.Set("metamcp.outcome", OutcomeOf(*outcome));
  }
}

}  // namespace

void CallChain::DescribeRoute(trace::Span& span, const CallSpec& spec, const Target& target,
                              const Route& route, size_t attempt) {
  if (const auto upstream = spec.view->FindUpstream(route.upstream_id())) {
    span.Set("metamcp.upstream", upstream->name);
  }
  span.Set("metamcp.route.attempt", attempt + 1);
  if (route.fallback()) span.Set("metamcp.route.fallback", true);
  // A retry goes on from the request that was asked something.
  span.Link(target.asked_in);
}

std::vector<const Route*> CallChain::OrderRoutes(const CallSpec& spec, const Target& target) const {
  std::vector<const Route*> routes;
  routes.reserve(target.routes.size());
  for (const Route& route : target.routes) {
    const bool allowed =
        target.bound_upstream.empty() || route.upstream_id() == target.bound_upstream;
    if (allowed) routes.push_back(&route);
  }
  if (!target.bound_upstream.empty() || routes.size() < 2) return routes;
  const auto rank = [&](const Route& route) {
    const auto upstream = spec.view->FindUpstream(route.upstream_id());
    const auto load = in_flight_.find(route.upstream_id());
    const bool up = upstream && upstream->enabled && upstream->reachable;
    return std::make_tuple(!up, route.fallback(),
                           load == in_flight_.end() || route.fallback() ? 0 : load->second);
  };
  std::stable_sort(routes.begin(), routes.end(),
                   [&](const Route* a, const Route* b) { return rank(*a) < rank(*b); });
  return routes;
}

// Sets the exposed URI in the contents of a resource that was exposed under another.
static void RestoreUris(const std::string& original, const std::string& exposed,
                        CallOutcome& outcome) {
  auto view = json::ScanObject(outcome.result);
  if (!view.ok()) return;
  auto contents = json::ScanArray(view->Raw("contents"));
  if (!contents.ok()) return;
  std::vector<std::string> out;
  for (const json::Value& value : *contents) {
    auto item = json::ScanObject(value.raw);
    if (!item.ok()) return;
    json::Splicer splicer(*item);
    if (item->String("uri") == original) splicer.SetString("uri", exposed);
    out.push_back(splicer.Build());
  }
  json::Splicer splicer(*view);
  splicer.Set("contents", json::JoinArray(out));
  std::string next = splicer.Build();
  outcome.result = std::move(next);
}

Awaitable<absl::StatusOr<CallOutcome>> CallChain::CallRoute(const CallContext& ctx,
                                                            const CallSpec& spec,
                                                            const Target& target,
                                                            const Route& route,
                                                            CallEvents& events) {
  const auto upstream = spec.view->FindUpstream(route.upstream_id());
  if (upstream == nullptr) {
    co_return MakeError("UPSTREAM_UNAVAILABLE", "catalog", "the upstream has been removed");
  }
  const std::string domain = StrCat("upstream:", upstream->name);
  if (!upstream->enabled) {
    co_return MakeError("UPSTREAM_DISABLED", domain,
                        StrCat("upstream \"", upstream->name, "\" is disabled"));
  }
  provider::v1::ProviderService* provider = providers_.Find(*upstream);
  if (provider == nullptr) {
    co_return MakeError("UPSTREAM_UNAVAILABLE", domain,
                        StrCat("no connector serves upstream \"", upstream->name, "\""));
  }
  METAMCP_CO_ASSIGN_OR_RETURN(provider::v1::CallRequest request, MakeRequest(spec, target, route));
  if (upstream->exchanges) {
    request.set_subject_token(std::string(auth::CarriedToken(ctx.principal)));
  }
  const std::string sent_target = request.target();
  const InFlight counted(in_flight_[route.upstream_id()]);
  OutcomeSink sink(events, options_.result_bytes_max);
  const absl::Status status = co_await provider->Call(ctx, std::move(request), sink);
  if (absl::IsUnavailable(status) && !GetErrorInfo(status)) {
    // The transport's own words: the connector did not answer.
    co_return MakeError("UPSTREAM_LOST", domain,
                        StrCat("the connector that runs upstream \"", upstream->name,
                               "\" went away during the call"));
  }
  if (rpc::NotBegun(status)) {
    co_return MakeError("UPSTREAM_UNAVAILABLE", domain,
                        StrCat("the connector that runs upstream \"", upstream->name,
                               "\" cannot be reached; nothing was executed"));
  }
  if (!status.ok()) co_return status;
  if (!sink.complete) {
    co_return MakeError("UPSTREAM_LOST", domain,
                        StrCat("upstream \"", upstream->name, "\" ended without a result"));
  }
  sink.outcome.upstream = upstream->name;
  sink.outcome.wraps_output = target.entry && target.entry->wraps_output;
  OwnQuestion asked = OwnQuestion::kNone;
  if (sink.outcome.failed && sink.outcome.error.code == kUrlElicitationRequired) {
    if (TranslateUrlDemand(spec, sink.outcome)) asked = OwnQuestion::kUrl;
  }
  if (sink.outcome.kind == provider::v1::RESULT_KIND_INPUT_REQUIRED) {
    METAMCP_CO_RETURN_IF_ERROR(SealState(ctx, spec, target, route, sink.outcome, asked));
  } else if (sink.outcome.kind == provider::v1::RESULT_KIND_TASK || spec.method == "tasks/get") {
    METAMCP_CO_RETURN_IF_ERROR(SealTask(ctx, spec, target, route, sink.outcome));
  } else if (spec.method == "resources/read" && sent_target != target.name) {
    RestoreUris(sent_target, target.name, sink.outcome);
  }
  co_return std::move(sink.outcome);
}

Awaitable<absl::StatusOr<CallOutcome>> CallChain::Run(const CallContext& ctx, const CallSpec& spec,
                                                      CallEvents& events) {
  if (spec.method == "tools/call" && MayUseMcp(ctx)) {
    if (spec.view->has_builtins()) {
      if (auto call = ReadBuiltinCall(*spec.view, spec.params)) {
        return RunBuiltin(ctx, spec, *std::move(call), events);
      }
    }
    if (spec.view->max_output() > 0) return RunCut(ctx, spec, spec.view->max_output(), events);
  }
  return RunRecorded(ctx, spec, events);
}

Awaitable<absl::StatusOr<CallOutcome>> CallChain::RunRecorded(const CallContext& ctx,
                                                              const CallSpec& spec,
                                                              CallEvents& events) {
  return auditor_ == nullptr ? RunAny(ctx, spec, events) : RunAudited(ctx, spec, events);
}

Awaitable<absl::StatusOr<CallOutcome>> CallChain::RunAny(const CallContext& ctx,
                                                         const CallSpec& spec, CallEvents& events) {
  return observer_ == nullptr ? RunRoutes(ctx, spec, events) : RunObserved(ctx, spec, events);
}

Awaitable<absl::StatusOr<CallOutcome>> CallChain::RunRoutes(const CallContext& ctx,
                                                            const CallSpec& spec,
                                                            CallEvents& events) {
  const bool seen =
      std::find(ctx.hops.begin(), ctx.hops.end(), options_.gateway_id) != ctx.hops.end();
  if (seen || ctx.hops.size() >= options_.hops_max) {
    co_return MakeError("CALL_LOOP", "gateway", "this call has already passed this gateway");
  }
  if (!MayUseMcp(ctx)) {
    co_return MakeError(
        "PERMISSION_DENIED", "gateway",
        "none of your roles may use MCP; the role auditor reads the audit and calls "
        "nothing");
  }
  if (running_ >= options_.calls_max) {
    co_return MakeError("QUEUE_FULL", "gateway",
                        StrCat(options_.calls_max, " calls are running (limits.callsMax)"));
  }
  const InFlight running(running_);
  CallContext inner = ctx;
  inner.hops.push_back(options_.gateway_id);
  METAMCP_CO_ASSIGN_OR_RETURN(Target target, Resolve(ctx, spec));
  METAMCP_CO_RETURN_IF_ERROR(OpenState(ctx, spec, target));
  const StageCall call{ctx,
                       spec,
                       target.entry.get(),
                       target.name,
                       target.routes,
                       spec.has_request_state,
                       &target.arguments};
  StagePass pass(stages_, call);
  METAMCP_CO_RETURN_IF_ERROR(pass.Begin());
  if (NeedsConsent(spec, target, call)) {
    auto asking = AskConsent(ctx, spec, target, call);
    METAMCP_CO_ASSIGN_OR_RETURN(std::optional<CallOutcome> asked, co_await std::move(asking));
    if (asked) {
      absl::StatusOr<CallOutcome> question = *std::move(asked);
      pass.End(question);
      co_return question;
    }
  }
  if (target.login) {
    METAMCP_CO_ASSIGN_OR_RETURN(std::optional<CallOutcome> ended, TakeLoginAnswer(spec, target));
    if (ended) co_return *std::move(ended);
  }
  if (target.again && !AllAccepted(spec.input_responses)) co_return NotOpened(spec.method);
  const bool fills = target.entry != nullptr && target.entry->builtin;
  auto trying =
      fills ? RunFill(ctx, spec, target) : TryRoutes(std::move(inner), ctx, spec, target, events);
  auto outcome = co_await std::move(trying);
  pass.End(outcome);
  co_return outcome;
}

Awaitable<absl::StatusOr<CallOutcome>> CallChain::TryRoutes(CallContext inner,
                                                            const CallContext& ctx,
                                                            const CallSpec& spec,
                                                            const Target& target,
                                                            CallEvents& events) {
  const std::vector<const Route*> routes = OrderRoutes(spec, target);
  for (size_t i = 0; i < routes.size(); ++i) {
    inner.trace = ctx.trace;
    trace::Span span(trace::Kind::kInternal, "route", inner.trace);
    if (span.recording()) DescribeRoute(span, spec, target, *routes[i], i);
    absl::StatusOr<CallOutcome> outcome =
        co_await CallRoute(inner, spec, target, *routes[i], events);
    if (span.recording()) DescribeOutcome(span, outcome);
    span.End();
    // A call that an upstream had begun is not begun once more.
    const bool fresh = !spec.has_request_state || target.login || !target.approval.empty();
    if (!outcome.ok() && i + 1 == routes.size() && fresh && NeedsLogin(outcome.status())) {
      co_return OfferLogin(ctx, spec, target, *routes[i], outcome.status());
    }
    if (outcome.ok() || !absl::IsUnavailable(outcome.status()) || i + 1 == routes.size()) {
      co_return outcome;
    }
    // What was never sent may go elsewhere; what may have been received only if it may be repeated.
    const auto info = GetErrorInfo(outcome.status());
    const bool maybe_sent = info && info->reason == "UPSTREAM_LOST";
    if (maybe_sent && !target.repeatable) co_return outcome;
  }
  co_return MakeError("STATE_INVALID", "gateway",
                      "the upstream that asked is not part of this tool any more");
}

}  // namespace metamcp::gateway
