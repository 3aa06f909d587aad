// How an upstream actor runs calls: drives the exchange, parks it when the upstream asks something.

#include <algorithm>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/mcp/methods.h"
#include "common/telemetry/trace.h"
#include "services/connector/handshake.h"
#include "services/connector/upstream_call.h"

namespace metamcp::connector {
namespace {

// Questions that an upstream asks at about the same time go to the client together.
constexpr std::chrono::milliseconds kBatching(15);
constexpr size_t kChunkFrom = 1u << 20;
constexpr size_t kChunkBytes = 256u << 10;

std::string PrincipalOf(const CallContext& ctx) {
  return StrCat(ctx.tenant(), "|", ctx.principal ? ctx.principal->subject : "");
}

}  // namespace

std::string CallBinding(const pb::CallRequest& request, const CallContext& ctx) {
  std::string all;
  const std::string subject = ctx.principal ? ctx.principal->subject : "";
  for (const std::string& part : {request.upstream_id(), request.method(), request.target(),
                                  request.params(), request.affinity(), ctx.tenant(), subject}) {
    all += std::to_string(part.size());
    all += ':';
    all += part;
  }
  return Sha256(all);
}

std::chrono::milliseconds Upstream::IdleTimeout(const pb::CallRequest& request) const {
  if (request.method() == "tools/call") {
    const auto it = spec_.tool_timeouts_ms().find(request.target());
    if (it != spec_.tool_timeouts_ms().end() && it->second > 0) {
      return std::chrono::milliseconds(it->second);
    }
  }
  const int64_t ms = spec_.timeout_ms() > 0 ? spec_.timeout_ms() : core_.config.call_timeout_ms;
  return std::chrono::milliseconds(ms);
}

Awaitable<absl::Status> Upstream::Call(const CallContext& ctx, pb::CallRequest request,
                                       Sink<pb::CallResponse>& sink) {
  return trace::Enabled() && !request.abandon() ? CallInSpan(ctx, std::move(request), sink)
                                                : RunCall(ctx, std::move(request), sink);
}

Awaitable<absl::Status> Upstream::CallInSpan(const CallContext& ctx, pb::CallRequest request,
                                             Sink<pb::CallResponse>& sink) {
  const auto self = shared_from_this();
  CallContext own = ctx;
  trace::Span span = BeginSpan(request, own);
  auto calling = RunCall(own, std::move(request), sink);
  const absl::Status status = co_await std::move(calling);
  span.Fail(status);
  co_return status;
}

// The client span of a call to this upstream, by OpenTelemetry's semantic conventions for MCP; what
// is sent carries the context in `ctx`.
trace::Span Upstream::BeginSpan(const pb::CallRequest& request, CallContext& ctx) const {
  const bool tool = request.method() == "tools/call";
  const bool prompt = request.method() == "prompts/get";
  trace::Span span(trace::Kind::kClient, request.method(),
                   tool || prompt ? std::string_view(request.target()) : "", ctx.trace);
  if (!span.recording()) return span;
  span.Set("mcp.method.name", request.method());
  span.Set("metamcp.upstream", slug_);
  span.Set("mcp.protocol.version", status_.protocol_version());
  if (tool) span.Set("gen_ai.operation.name", "execute_tool");
  if (tool || prompt) span.Set(tool ? "gen_ai.tool.name" : "gen_ai.prompt.name", request.target());
  return span;
}

Awaitable<absl::Status> Upstream::RunCall(const CallContext& ctx, pb::CallRequest request,
                                          Sink<pb::CallResponse>& sink) {
  const auto self = shared_from_this();
  ++calls_;
  CallRun run(ctx, std::move(request), sink);
  run.parked = &core_.parked;
  if (run.request.login_wait_ms() > 0 && credentials_ != nullptr) {
    const auto limit = Clock::now() + std::chrono::milliseconds(run.request.login_wait_ms());
    const std::shared_ptr<Credentials> logins = credentials_;
    auto waiting = logins->WaitLogin(OwnerOf(ctx), std::min(ctx.deadline, limit));
    co_await std::move(waiting);  // without a login the call itself says what is missing
  }
  // A modern upstream's own state passes through; also while it is away, a parked call's is ours.
  const bool modern = status_.era() == "modern";
  absl::Status status;
  const auto task = run.request.has_request_state()
                        ? core_.parked.keys().Open(SealPurpose::kTask, run.request.request_state(),
                                                   CallBinding(run.request, ctx))
                        : std::nullopt;
  if (run.request.abandon()) {
    if (task) {
      DropTaskOf(*task, run.request);
    } else if (!modern) {  // a modern upstream keeps nothing that would have to be given up
      status = core_.parked.Abandon(run.request.request_state(), CallBinding(run.request, run.ctx));
    }
    if (!status.ok()) co_return status;
    CallOutcome nothing;
    nothing.result.json = "{}";
    auto telling = Deliver(run, std::move(nothing));
    co_return co_await std::move(telling);
  }
  // With exchanged tokens the server itself decides what each token may read.
  if (core_.resources != nullptr && exchange_ == nullptr) {
    run.place = core_.resources->PlaceOf(ctx, run.request, slug_);
    if (run.place) {
      auto finding = core_.resources->Find(*run.place);
      std::optional<std::string> kept = co_await std::move(finding);
      if (kept) {
        CallOutcome outcome;
        outcome.result.json = *std::move(kept);
        auto delivering = Deliver(run, std::move(outcome));
        co_return co_await std::move(delivering);
      }
    }
  }
  if (breaker_.open() && !breaker_.Allow(Clock::now())) co_return NotReady();
  if (run.request.method().compare(0, 6, "tasks/") == 0) {
    auto doing = TaskCall(run);
    status = co_await std::move(doing);
  } else if (task) {
    auto resumed = ResumeTask(run, *task);
    status = co_await std::move(resumed);
  } else if (run.request.has_request_state() &&
             (!modern ||
              core_.parked.Owns(run.request.request_state(), CallBinding(run.request, ctx)))) {
    auto retried = RetriedCall(run);
    status = co_await std::move(retried);
  } else {
    auto fresh = FreshCall(run);
    status = co_await std::move(fresh);
  }
  CountOutcome(status);
  co_return status;
}

void Upstream::CountOutcome(const absl::Status& status) {
  if (!status.ok()) ++failures_;
  if (status.ok()) {
    const bool was_open = breaker_.open();
    breaker_.Succeeded();
    heard_at_ = Clock::now();
    if (was_open && main_ != nullptr && main_->usable()) SetState("ready", true, "");
  } else if (HasReason(status, "UPSTREAM_TIMEOUT") && main_ != nullptr && main_->usable()) {
    breaker_.Failed(Clock::now());
    if (breaker_.open()) SetState("open", true, "its calls time out");
  } else {
    breaker_.Abandoned();
  }
}

Awaitable<absl::Status> Upstream::FreshCall(CallRun& run) {
  const absl::Status expressible = CheckNoRefusal(run.request.input_responses());
  if (!expressible.ok()) co_return expressible;
  absl::StatusOr<Limiter::Permit> permit = Limiter::Permit();
  if (limiter_->TryAcquire()) {
    permit = limiter_->Adopt();
  } else {
    auto acquiring = limiter_->Acquire(run.ctx.deadline);
    permit = co_await std::move(acquiring);
    if (!permit.ok()) co_return permit.status();
  }
  for (int attempt = 0;; ++attempt) {
    auto picking = Pick(run.ctx, run.request, run.ctx.deadline);
    auto picked = co_await std::move(picking);
    if (!picked.ok()) co_return picked.status();
    const std::shared_ptr<Instance> instance = *picked;
    run.use = std::make_shared<InstanceUse>(instance);
    const std::shared_ptr<Session> session = instance->session;
    if (mcp::FindMethod(run.request.method()) == nullptr && !session->negotiated().extensions) {
      co_return MakeError("METHOD_NOT_FOUND", domain_,
                          StrCat(slug_, " declares no extension that could have the method ",
                                 run.request.method()));
    }
    PrepareTask(run, session->negotiated());
    RequestSpec spec = EncodeCall(run.request, run.ctx.trace, session->negotiated(),
                                  core_.dialer.options().client_info);
    if (!run.task_param.empty()) {
      const auto params = json::ScanObject(spec.params);
      if (!params.ok()) co_return params.status();
      json::Splicer splicer(*params);
      splicer.Set("task", run.task_param);
      std::string with_task = splicer.Build();
      spec.params = std::move(with_task);
    }
    if (!session->negotiated().modern()) {
      spec.capset = CapsetFor(CapsetOf(run.request), session->negotiated().revision);
    }
    if (spec.capset.any() && interactive_ && !session->channel().Correlates()) {
      auto queueing = instance->turn->Acquire(run.ctx.deadline);
      auto turn = co_await std::move(queueing);
      if (!turn.ok()) co_return turn.status();
      run.turn = std::make_shared<Limiter::Permit>(std::move(*turn));
    }
    auto levelling = session->WantLogs(spec.log_severity);
    METAMCP_CO_RETURN_IF_ERROR(co_await std::move(levelling));
    auto begun = session->Begin(std::move(spec));
    if (!begun.ok()) co_return begun.status();
    run.guard.session = session;
    run.guard.exchange = *begun;
    auto driving = Drive(run);
    const absl::Status status = co_await std::move(driving);
    if (!status.ok()) co_return status;
    if (attempt == 0) {
      auto mending = Mend(run);
      const bool again = co_await std::move(mending);
      if (again) {
        run.guard = ExchangeGuard();
        run.turn.reset();
        continue;
      }
    }
    auto concluding = Conclude(run);
    co_return co_await std::move(concluding);
  }
}

Awaitable<absl::Status> Upstream::RetriedCall(CallRun& run) {
  auto resumed = core_.parked.Resume(run.request.request_state(), CallBinding(run.request, run.ctx),
                                     run.request.input_responses());
  if (!resumed.ok()) co_return resumed.status();
  CallOutcome outcome;
  if (resumed->outcome) {
    auto delivering = Deliver(run, std::move(*resumed->outcome));
    co_return co_await std::move(delivering);
  }
  if (!resumed->lease) {
    outcome.result.kind = pb::RESULT_KIND_INPUT_REQUIRED;
    outcome.parked = true;
    outcome.result.json = std::move(resumed->asked_again);
    auto delivering = Deliver(run, std::move(outcome));
    co_return co_await std::move(delivering);
  }
  run.call_id = resumed->call_id;
  run.guard.session = resumed->lease->session;
  run.guard.exchange = resumed->lease->exchange;
  run.use = std::static_pointer_cast<InstanceUse>(resumed->lease->instance);
  run.turn = resumed->lease->permit;
  auto driving = Drive(run);
  const absl::Status status = co_await std::move(driving);
  if (!status.ok()) co_return status;
  auto concluding = Conclude(run);
  co_return co_await std::move(concluding);
}

Awaitable<absl::Status> Upstream::PassNotes(CallRun& run, std::shared_ptr<Exchange> exchange) {
  while (!exchange->notes.empty()) {
    pb::CallResponse event;
    Exchange::Note note = std::move(exchange->notes.front());
    exchange->notes.pop_front();
    if (note.kind == Exchange::Note::Kind::kPaused) {
      event.mutable_paused()->set_retry_ms(note.retry_after.count());
    } else if (note.kind == Exchange::Note::Kind::kExtension) {
      event.mutable_notification()->set_method(std::move(note.method));
      event.mutable_notification()->set_params(std::move(note.params));
    } else {
      const bool progress = note.kind == Exchange::Note::Kind::kProgress;
      *(progress ? event.mutable_progress() : event.mutable_log()) = std::move(note.params);
    }
    auto writing = run.sink.Write(std::move(event));
    const absl::Status written = co_await std::move(writing);
    if (!written.ok()) co_return written;
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Upstream::Drive(CallRun& run) {
  Exchange& exchange = *run.guard.exchange;
  const auto idle = IdleTimeout(run.request);
  const auto hard = Clock::now() + std::chrono::milliseconds(core_.config.hard_timeout_ms);
  while (true) {
    auto passing = PassNotes(run, run.guard.exchange);
    const absl::Status passed = co_await std::move(passing);
    if (!passed.ok()) co_return passed;
    if (exchange.done) break;
    const auto now = Clock::now();
    auto until = std::min({run.ctx.deadline, hard, exchange.active_at + idle});
    if (!exchange.questions.empty()) {
      if (!run.asked_at) run.asked_at = now;
      until = std::min(until, *run.asked_at + kBatching);
      if (now >= *run.asked_at + kBatching) break;
    } else {
      run.asked_at.reset();
    }
    auto waiting = exchange.Wait(until);
    const auto wake = co_await std::move(waiting);
    if (wake == Exchange::Wake::kCancelled) co_return absl::CancelledError("cancelled");
    if (wake == Exchange::Wake::kSignalled || !exchange.questions.empty()) continue;
    if (Clock::now() < std::min({run.ctx.deadline, hard, exchange.active_at + idle})) continue;
    run.guard.session->Cancel(exchange, "the gateway's time for this call is over");
    co_return MakeError("UPSTREAM_TIMEOUT", domain_,
                        StrCat(slug_, " did not answer ", run.request.method(), " in time"));
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Upstream::Conclude(CallRun& run) {
  Exchange& exchange = *run.guard.exchange;
  CallOutcome outcome;
  if (!exchange.done) {
    ParkedCalls::Lease lease;
    lease.session = run.guard.session;
    lease.exchange = run.guard.exchange;
    lease.instance = run.use;
    lease.permit = run.turn;
    auto result = run.call_id.empty()
                      ? core_.parked.Park(std::move(lease), id_, CallBinding(run.request, run.ctx),
                                          PrincipalOf(run.ctx), run.request.holder())
                      : core_.parked.ParkAgain(run.call_id, std::move(lease));
    if (!result.ok()) co_return result.status();
    run.guard.exchange.reset();
    run.settled = true;
    outcome.result.kind = pb::RESULT_KIND_INPUT_REQUIRED;
    outcome.parked = true;
    outcome.result.json = std::move(*result);
  } else if (!exchange.failure.ok()) {
    outcome.status = exchange.failure;
  } else if (exchange.error) {
    outcome.error = DecodeError(
        *exchange.error, run.guard.session->negotiated(),
        run.request.method() == "resources/read" ? run.request.target() : std::string());
  } else if (exchange.result.size() > core_.result_bytes_max) {
    outcome.status = MakeError("UPSTREAM_RESULT_TOO_LARGE", domain_,
                               StrCat("the result has ", exchange.result.size(), " bytes"));
  } else {
    const bool extensions =
        run.request.client_capabilities().find("\"extensions\"") != std::string::npos;
    auto decoded = DecodeResult(run.request.method(), std::move(exchange.result),
                                run.guard.session->negotiated(), extensions);
    if (decoded.ok() && decoded->kind == pb::RESULT_KIND_TASK) {
      run.guard.session->KeepTelling(run.guard.exchange);
      auto making = TaskMade(run, std::move(decoded->json));
      co_return co_await std::move(making);
    }
    if (decoded.ok()) {
      if (run.place && decoded->kind == pb::RESULT_KIND_COMPLETE) {
        core_.resources->Keep(*std::move(run.place), decoded->json);
      }
      outcome.result = std::move(*decoded);
    } else {
      ErrorInfo info = GetErrorInfo(decoded.status()).value_or(ErrorInfo());
      info.domain = domain_;
      outcome.status = WithErrorInfo(decoded.status(), info);
    }
  }
  if (!run.call_id.empty() && !run.settled) {
    core_.parked.Finished(run.call_id, outcome);
    run.settled = true;
  }
  auto delivering = Deliver(run, std::move(outcome));
  co_return co_await std::move(delivering);
}

Awaitable<absl::Status> Upstream::Deliver(CallRun& run, CallOutcome outcome) {
  if (!outcome.status.ok()) co_return outcome.status;
  if (outcome.error) {
    pb::CallResponse event;
    *event.mutable_error() = std::move(*outcome.error);
    auto writing = run.sink.Write(std::move(event));
    co_return co_await std::move(writing);
  }
  const std::string& json = outcome.result.json;
  if (json.size() <= kChunkFrom) {
    pb::CallResponse event;
    event.mutable_result()->set_kind(outcome.result.kind);
    event.mutable_result()->set_last(true);
    if (outcome.parked) event.mutable_result()->set_owner(core_.parked.instance());
    event.mutable_result()->set_instance(outcome.result.instance);
    event.mutable_result()->set_data(std::move(outcome.result.json));
    auto writing = run.sink.Write(std::move(event));
    co_return co_await std::move(writing);
  }
  for (size_t at = 0; at < json.size(); at += kChunkBytes) {
    pb::CallResponse event;
    event.mutable_result()->set_kind(outcome.result.kind);
    event.mutable_result()->set_data(json.substr(at, kChunkBytes));
    event.mutable_result()->set_last(at + kChunkBytes >= json.size());
    if (outcome.parked) event.mutable_result()->set_owner(core_.parked.instance());
    auto writing = run.sink.Write(std::move(event));
    const absl::Status written = co_await std::move(writing);
    if (!written.ok()) co_return written;
  }
  co_return absl::OkStatus();
}

}  // namespace metamcp::connector
