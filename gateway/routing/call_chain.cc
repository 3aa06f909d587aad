#include "gateway/routing/call_chain.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/headers.h"
#include "gateway/routing/argument_map.h"

namespace metamcp::gateway {
namespace {

using catalog::v1::ITEM_KIND_PROMPT;
using catalog::v1::ITEM_KIND_TOOL;
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
      case provider::v1::CallResponse::kResult:
        outcome.kind = event.result().kind();
        if (outcome.result.size() + event.result().data().size() > bytes_max_) {
          co_return MakeError("UPSTREAM_RESULT_TOO_LARGE", "gateway",
                              StrCat("the result exceeds ", bytes_max_, " bytes"));
        }
        if (outcome.result.empty()) {
          outcome.result = std::move(*event.mutable_result()->mutable_data());
        } else {
          outcome.result += event.result().data();
        }
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

// A tool whose call may be sent again (MCP tool annotations; absent hints are the cautious ones).
bool IsRepeatable(const std::string& definition) {
  auto view = json::ScanObject(definition);
  if (!view.ok()) return false;
  auto annotations = json::ScanObject(view->Raw("annotations"));
  return annotations.ok() && (annotations->Raw("readOnlyHint") == "true" ||
                              annotations->Raw("idempotentHint") == "true");
}

}  // namespace

struct CallChain::Target {
  std::string name;  // as the client wrote it
  EntryPtr entry;    // null for guessed resources
  std::vector<Route> routes;
  json::ObjectView params;
  std::string ref_member;      // of completion: "name" or "uri"
  std::string provider_state;  // of a resumed call
  std::string bound_upstream;  // id that must serve a resumed call
  bool repeatable = true;      // may be sent to another route after it may have been received
};

absl::StatusOr<CallChain::Target> CallChain::Resolve(const CallSpec& spec) const {
  Target target;
  METAMCP_ASSIGN_OR_RETURN(target.params,
                           json::ScanObject(spec.params.empty() ? std::string_view("{}")
                                                                : std::string_view(spec.params)));
  const auto required = [](const json::ObjectView& object,
                           std::string_view key) -> absl::StatusOr<std::string> {
    if (auto text = object.String(key)) return *std::move(text);
    return MakeError("INVALID_PARAMS", "gateway", StrCat("params.", key, " must be a string"));
  };
  const auto find = [&](ItemKind kind, std::string_view reason) -> absl::Status {
    target.entry = spec.view->Find(kind, target.name);
    if (target.entry == nullptr) {
      return MakeError(reason, "gateway",
                       StrCat(kind == ITEM_KIND_TOOL ? "no tool" : "no prompt", " \"", target.name,
                              "\" on \"", spec.view->name(), "\""));
    }
    target.routes = target.entry->routes;
    return absl::OkStatus();
  };
  const auto find_resource = [&]() -> absl::Status {
    auto route = spec.view->RouteResource(target.name);
    if (!route) {
      return MakeError("RESOURCE_NOT_FOUND", "gateway",
                       StrCat("no resource \"", target.name, "\" on \"", spec.view->name(), "\""),
                       {{"uri", target.name}});
    }
    target.entry = std::move(route->entry);
    target.routes = std::move(route->routes);
    return absl::OkStatus();
  };
  if (spec.method == "tools/call") {
    METAMCP_ASSIGN_OR_RETURN(target.name, required(target.params, "name"));
    METAMCP_RETURN_IF_ERROR(find(ITEM_KIND_TOOL, "TOOL_NOT_FOUND"));
    target.repeatable = target.routes.size() > 1 && IsRepeatable(target.entry->definition);
  } else if (spec.method == "prompts/get") {
    METAMCP_ASSIGN_OR_RETURN(target.name, required(target.params, "name"));
    METAMCP_RETURN_IF_ERROR(find(ITEM_KIND_PROMPT, "PROMPT_NOT_FOUND"));
  } else if (spec.method == "resources/read") {
    METAMCP_ASSIGN_OR_RETURN(target.name, required(target.params, "uri"));
    METAMCP_RETURN_IF_ERROR(find_resource());
  } else if (spec.method == "completion/complete") {
    auto ref = json::ScanObject(target.params.Raw("ref"));
    if (!ref.ok()) {
      return MakeError("INVALID_PARAMS", "gateway", "params.ref must be an object");
    }
    const auto type = ref->String("type");
    target.ref_member = type == "ref/prompt" ? "name" : "uri";
    METAMCP_ASSIGN_OR_RETURN(target.name, required(*ref, target.ref_member));
    if (type == "ref/prompt") {
      METAMCP_RETURN_IF_ERROR(find(ITEM_KIND_PROMPT, "PROMPT_NOT_FOUND"));
    } else if (auto entry = spec.view->Find(catalog::v1::ITEM_KIND_TEMPLATE, target.name)) {
      target.entry = entry;
      target.routes = entry->routes;
    } else {
      METAMCP_RETURN_IF_ERROR(find_resource());
    }
  } else {
    return MakeError("METHOD_NOT_FOUND", "gateway", StrCat("no method \"", spec.method, "\""));
  }
  return target;
}

// The parts of a request that its retries must repeat (mcp-digest 14).
static absl::StatusOr<std::string> RequestDigest(const CallSpec& spec,
                                                 const json::ObjectView& params) {
  json::Splicer splicer(params);
  for (const std::string_view key : {"_meta", "inputResponses", "requestState"}) {
    splicer.Remove(key);
  }
  METAMCP_ASSIGN_OR_RETURN(const std::string canonical, json::CanonicalJson(splicer.Build()));
  return HexEncode(Sha256(StrCat(spec.method, "\n", canonical)).substr(0, 16));
}

static std::string StateContext(const CallContext& ctx, const CallSpec& spec) {
  return StrCat("gateway|", ctx.tenant(), "|", ctx.principal ? ctx.principal->subject : "", "|",
                spec.view->name());
}

absl::Status CallChain::OpenState(const CallContext& ctx, const CallSpec& spec,
                                  Target& target) const {
  if (!spec.has_request_state) return absl::OkStatus();
  const absl::Status bad =
      MakeError("STATE_INVALID", "gateway",
                "requestState is not valid for this request: it was altered, has expired, or "
                "belongs to another client, method or set of parameters");
  if (spec.request_state.size() > options_.state_bytes_max) return bad;
  const auto plain = keys_.Open(SealPurpose::kCall, spec.request_state, StateContext(ctx, spec));
  if (!plain) return bad;
  auto view = json::ScanObject(*plain);
  if (!view.ok()) return bad;
  METAMCP_ASSIGN_OR_RETURN(const std::string digest, RequestDigest(spec, target.params));
  const auto expires = json::RawInt64(view->Raw("x"));
  if (view->String("d") != digest || !expires || *expires < NowMicros()) return bad;
  target.bound_upstream = view->String("u").value_or("");
  target.provider_state = view->String("s").value_or("");
  return absl::OkStatus();
}

absl::Status CallChain::SealState(const CallContext& ctx, const CallSpec& spec,
                                  const Target& target, const Route& route,
                                  CallOutcome& outcome) const {
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(outcome.result));
  const auto state = view.String("requestState");
  if (!state) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(const std::string digest, RequestDigest(spec, target.params));
  json::ObjectWriter plain;
  plain.AddString("u", route.upstream_id());
  plain.AddString("s", *state);
  plain.AddString("d", digest);
  plain.AddInt("x", NowMicros() + std::chrono::microseconds(options_.state_lifetime).count());
  const std::string sealed =
      keys_.Seal(SealPurpose::kCall, std::move(plain).Build(), StateContext(ctx, spec));
  if (sealed.size() > options_.state_bytes_max) {
    return MakeError("UPSTREAM_PROTOCOL", StrCat("upstream:", outcome.upstream),
                     "the upstream's requestState is too large");
  }
  json::Splicer splicer(view);
  splicer.SetString("requestState", sealed);
  std::string next = splicer.Build();
  outcome.result = std::move(next);
  return absl::OkStatus();
}

std::vector<Route> CallChain::OrderRoutes(const CallSpec& spec, const Target& target) const {
  std::vector<Route> routes = target.routes;
  if (!target.bound_upstream.empty()) {
    routes.erase(
        std::remove_if(routes.begin(), routes.end(),
                       [&](const Route& r) { return r.upstream_id() != target.bound_upstream; }),
        routes.end());
    return routes;
  }
  if (routes.size() < 2) return routes;
  const auto rank = [&](const Route& route) {
    const auto upstream = spec.view->FindUpstream(route.upstream_id());
    const auto load = in_flight_.find(route.upstream_id());
    const bool up = upstream && upstream->enabled && upstream->reachable;
    return std::make_tuple(!up, route.fallback(),
                           load == in_flight_.end() || route.fallback() ? 0 : load->second);
  };
  std::stable_sort(routes.begin(), routes.end(),
                   [&](const Route& a, const Route& b) { return rank(a) < rank(b); });
  return routes;
}

absl::StatusOr<provider::v1::CallRequest> CallChain::MakeRequest(const CallSpec& spec,
                                                                 const Target& target,
                                                                 const Route& route) const {
  provider::v1::CallRequest request;
  request.set_upstream_id(route.upstream_id());
  request.set_method(spec.method);
  // A template's route names the template; what is read is the URI the client gave, less the
  // prefix that a conflict added.
  std::string original = route.original_name();
  const bool is_template = target.entry && target.entry->kind == catalog::v1::ITEM_KIND_TEMPLATE &&
                           target.ref_member.empty();
  if (is_template) {
    original = target.name;
    const size_t added = target.entry->name.size() > route.original_name().size()
                             ? target.entry->name.size() - route.original_name().size()
                             : 0;
    if (added > 0 && target.entry->name.substr(added) == route.original_name()) {
      original = target.name.substr(std::min(added, target.name.size()));
    }
  }
  json::Splicer splicer(target.params);
  for (const std::string_view key : {"_meta", "inputResponses", "requestState"}) {
    splicer.Remove(key);
  }
  if (!target.ref_member.empty()) {
    METAMCP_ASSIGN_OR_RETURN(const json::ObjectView ref,
                             json::ScanObject(target.params.Raw("ref")));
    json::Splicer ref_splicer(ref);
    ref_splicer.SetString(target.ref_member, original);
    splicer.Set("ref", ref_splicer.Build());
  } else if (original != target.name) {
    splicer.SetString(spec.method == "resources/read" ? "uri" : "name", original);
  }
  std::string arguments;
  std::string_view raw_arguments = target.params.Raw("arguments");
  if (target.entry && !target.entry->arguments.empty() && spec.method == "tools/call") {
    METAMCP_ASSIGN_OR_RETURN(arguments, MapArguments(target.entry->arguments, raw_arguments));
    splicer.Set("arguments", arguments);
    raw_arguments = arguments;
  }
  if (target.entry && !target.entry->back_headers.empty()) {
    METAMCP_ASSIGN_OR_RETURN(auto headers,
                             mcp::ComputeParamHeaders(target.entry->back_headers, raw_arguments));
    for (auto& [name, value] : headers) (*request.mutable_param_headers())[name] = value;
  }
  request.set_target(std::move(original));
  request.set_params(splicer.Build());
  request.set_client_capabilities(spec.client_capabilities);
  request.set_client_info(spec.client_info);
  request.set_log_level(spec.log_level);
  request.set_wants_progress(spec.wants_progress);
  request.set_meta(spec.meta);
  request.set_input_responses(spec.input_responses);
  request.set_request_state(target.provider_state);
  request.set_has_request_state(spec.has_request_state);
  request.set_affinity(spec.affinity);
  return request;
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
                                                            const Target& target, Route route,
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
  const std::string sent_target = request.target();
  const InFlight counted(in_flight_[route.upstream_id()]);
  OutcomeSink sink(events, options_.result_bytes_max);
  const absl::Status status = co_await provider->Call(ctx, std::move(request), sink);
  if (!status.ok()) co_return status;
  if (!sink.complete) {
    co_return MakeError("UPSTREAM_LOST", domain,
                        StrCat("upstream \"", upstream->name, "\" ended without a result"));
  }
  sink.outcome.upstream = upstream->name;
  sink.outcome.wraps_output = target.entry && target.entry->wraps_output;
  if (sink.outcome.kind == provider::v1::RESULT_KIND_INPUT_REQUIRED) {
    METAMCP_CO_RETURN_IF_ERROR(SealState(ctx, spec, target, route, sink.outcome));
  } else if (spec.method == "resources/read" && sent_target != target.name) {
    RestoreUris(sent_target, target.name, sink.outcome);
  }
  co_return std::move(sink.outcome);
}

Awaitable<absl::StatusOr<CallOutcome>> CallChain::Run(const CallContext& ctx, const CallSpec& spec,
                                                      CallEvents& events) {
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
  if (running_ >= options_.calls_max) {
    co_return MakeError("QUEUE_FULL", "gateway",
                        StrCat(options_.calls_max, " calls are running (limits.callsMax)"));
  }
  const InFlight running(running_);
  CallContext inner = ctx;
  inner.hops.push_back(options_.gateway_id);
  METAMCP_CO_ASSIGN_OR_RETURN(Target target, Resolve(spec));
  METAMCP_CO_RETURN_IF_ERROR(OpenState(ctx, spec, target));
  const std::vector<Route> routes = OrderRoutes(spec, target);
  for (size_t i = 0; i < routes.size(); ++i) {
    absl::StatusOr<CallOutcome> outcome =
        co_await CallRoute(inner, spec, target, routes[i], events);
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
