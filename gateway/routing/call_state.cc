// The state of an unfinished call as its client holds it: sealed, bound to who asks and what for.
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/splice.h"
#include "gateway/routing/call_target.h"

namespace metamcp::gateway {
namespace {

// The parts of a request that its retries must repeat (mcp-digest 14).
absl::StatusOr<std::string> RequestDigest(const CallSpec& spec, const json::ObjectView& params) {
  json::Splicer splicer(params);
  for (const std::string_view key : {"_meta", "inputResponses", "requestState"}) {
    splicer.Remove(key);
  }
  METAMCP_ASSIGN_OR_RETURN(const std::string canonical, json::CanonicalJson(splicer.Build()));
  return HexEncode(Sha256(StrCat(spec.method, "\n", canonical)).substr(0, 16));
}

std::string StateContext(const CallContext& ctx, const CallSpec& spec) {
  return StrCat("gateway|", ctx.tenant(), "|", ctx.principal ? ctx.principal->subject : "", "|",
                spec.view->name());
}

}  // namespace

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
  target.login = view->Raw("l") == "true";
  target.bound_owner = view->String("o").value_or("");
  target.again = view->Has("a");
  target.approval = view->String("c").value_or("");
  target.asked_in = view->String("p").value_or("");
  return absl::OkStatus();
}

absl::Status CallChain::SealState(const CallContext& ctx, const CallSpec& spec,
                                  const Target& target, const catalog::v1::Route& route,
                                  CallOutcome& outcome, OwnQuestion asked,
                                  std::string_view approval) const {
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(outcome.result));
  const auto state = view.String("requestState");
  if (!state) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(const std::string digest, RequestDigest(spec, target.params));
  json::ObjectWriter plain;
  plain.AddString("u", route.upstream_id());
  plain.AddString("s", *state);
  if (!outcome.owner.empty()) plain.AddString("o", outcome.owner);
  plain.AddString("d", digest);
  if (asked == OwnQuestion::kLogin) plain.AddBool("l", true);
  if (asked == OwnQuestion::kUrl) plain.AddBool("a", true);
  if (asked == OwnQuestion::kConsent) plain.AddString("c", approval);
  if (trace::Enabled() && !ctx.trace.traceparent.empty()) {
    plain.AddString("p", ctx.trace.traceparent.substr(0, 55));
  }
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

static std::string TaskContext(const CallContext& ctx, const ServerView& view) {
  return StrCat("task|", ctx.tenant(), "|", ctx.principal ? ctx.principal->subject : "", "|",
                view.name());
}

absl::StatusOr<TaskHandle> CallChain::OpenTaskHandle(const CallContext& ctx, const ServerView& view,
                                                     std::string_view handle) const {
  const absl::Status unknown =
      MakeError("TASK_NOT_FOUND", "gateway", "no such task, or it is another client's");
  if (handle.size() > options_.state_bytes_max) return unknown;
  const auto plain = keys_.Open(SealPurpose::kTask, handle, TaskContext(ctx, view));
  if (!plain) return unknown;
  const auto object = json::ScanObject(*plain);
  if (!object.ok()) return unknown;
  TaskHandle out;
  out.upstream_id = object->String("u").value_or("");
  out.task_id = object->String("t").value_or("");
  out.instance = object->String("i").value_or("");
  return out;
}

absl::Status CallChain::SealTask(const CallContext& ctx, const CallSpec& spec, const Target& target,
                                 const catalog::v1::Route& route, CallOutcome& outcome) const {
  if (outcome.failed) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(outcome.result));
  std::string handle = target.name;
  if (outcome.kind == provider::v1::RESULT_KIND_TASK) {
    json::ObjectWriter plain;
    plain.AddString("u", route.upstream_id());
    plain.AddString("t", view.String("taskId").value_or(""));
    plain.AddString("i", outcome.instance);
    handle = keys_.Seal(SealPurpose::kTask, std::move(plain).Build(), TaskContext(ctx, *spec.view));
  }
  json::Splicer splicer(view);
  splicer.SetString("taskId", handle);
  std::string next = splicer.Build();
  outcome.result = std::move(next);
  return absl::OkStatus();
}

}  // namespace metamcp::gateway
