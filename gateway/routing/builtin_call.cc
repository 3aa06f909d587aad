// Calls of the gateway's own tools. call_tool becomes the call that it names, on the same chain.
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "gateway/routing/call_chain.h"
#include "gateway/routing/call_target.h"

namespace metamcp::gateway {
namespace {

// Characters of a result where neither the call nor the virtual server says how many.
constexpr size_t kOutputDefault = 100'000;
constexpr int64_t kOutputMin = 100;

absl::Status Invalid(std::string_view why) { return MakeError("INVALID_PARAMS", "gateway", why); }

CallOutcome Complete(std::string result) {
  CallOutcome out;
  out.result = std::move(result);
  return out;
}

bool IsComplete(const absl::StatusOr<CallOutcome>& outcome) {
  return outcome.ok() && !outcome->failed && outcome->kind == provider::v1::RESULT_KIND_COMPLETE;
}

}  // namespace

Awaitable<absl::StatusOr<CallOutcome>> CallChain::RunCut(const CallContext& ctx,
                                                         const CallSpec& spec,
                                                         size_t characters_max,
                                                         CallEvents& events) {
  const bool whole = HasOutputSchema(*spec.view, spec.params);
  auto running = RunRecorded(ctx, spec, events);
  absl::StatusOr<CallOutcome> outcome = co_await std::move(running);
  if (!whole && IsComplete(outcome)) {
    std::string next = CutResult(std::move(outcome->result), characters_max);
    outcome->result = std::move(next);
  }
  co_return outcome;
}

Awaitable<absl::StatusOr<CallOutcome>> CallChain::RunBuiltin(const CallContext& ctx,
                                                             const CallSpec& spec, BuiltinCall call,
                                                             CallEvents& events) {
  if (call.name != "call_tool") {
    if (builtins_ == nullptr) {
      co_return MakeError("TOOL_NOT_FOUND", "gateway", StrCat("no tool \"", call.name, "\" here"));
    }
    const std::shared_ptr<const ServerView> seen = SeenBy(filter_, spec.view, ctx.principal);
    auto answering = builtins_->Answer(ctx, *seen, std::move(call));
    METAMCP_CO_ASSIGN_OR_RETURN(std::string result, co_await std::move(answering));
    co_return Complete(std::move(result));
  }
  const auto arguments = json::ScanObject(call.arguments);
  if (!arguments.ok()) co_return Invalid("params.arguments must be an object");
  const auto name = arguments->String("name");
  if (!name) co_return Invalid("arguments.name must be a string");
  const EntryPtr entry = spec.view->Find(catalog::v1::ITEM_KIND_TOOL, *name);
  if (entry == nullptr || entry->builtin) {
    co_return Complete(TextResult(
        StrCat("There is no tool \"", *name, "\"; search_tools finds the right name."), "", true));
  }
  size_t characters = spec.view->max_output() > 0 ? spec.view->max_output() : kOutputDefault;
  if (arguments->Has("max_output")) {
    const auto asked = json::RawInt64(arguments->Raw("max_output"));
    if (!asked || *asked < kOutputMin) {
      co_return Invalid(StrCat("arguments.max_output must be a whole number from ", kOutputMin));
    }
    characters = static_cast<size_t>(*asked);
  }
  json::ObjectWriter params;
  params.AddString("name", *name);
  if (arguments->Has("arguments")) params.Add("arguments", arguments->Raw("arguments"));
  CallSpec inner = spec;
  inner.params = std::move(params).Build();
  auto running = RunRecorded(ctx, inner, events);
  absl::StatusOr<CallOutcome> outcome = co_await std::move(running);
  if (!IsComplete(outcome)) co_return outcome;
  std::string next = CutResult(std::move(outcome->result), characters);
  outcome->result = std::move(next);
  co_return outcome;
}

Awaitable<absl::StatusOr<CallOutcome>> CallChain::RunFill(const CallContext& ctx,
                                                          const CallSpec& spec,
                                                          const Target& target) {
  if (builtins_ == nullptr) {
    co_return MakeError("AI_NO_PROVIDER", "gateway", "this gateway has no ai service");
  }
  BuiltinCall call;
  call.name = target.name;
  if (!target.arguments.empty()) {
    call.arguments = target.arguments;
  } else if (target.params.Has("arguments")) {
    call.arguments = std::string(target.params.Raw("arguments"));
  }
  auto answering = builtins_->Answer(ctx, *spec.view, std::move(call));
  METAMCP_CO_ASSIGN_OR_RETURN(std::string result, co_await std::move(answering));
  co_return Complete(std::move(result));
}

}  // namespace metamcp::gateway
