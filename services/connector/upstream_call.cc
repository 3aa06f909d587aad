// How an upstream actor runs calls: picks the session, drives the exchange, parks it when the
// upstream asks something.

#include <algorithm>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/connector/handshake.h"
#include "services/connector/upstream.h"

namespace metamcp::connector {
namespace {

// Questions that an upstream asks at about the same time go to the client together.
constexpr std::chrono::milliseconds kBatching(15);
// How long a call waits for an upstream that is connecting for the first time.
constexpr std::chrono::seconds kFirstConnection(30);
// Sessions beside the main one. A legacy HTTP upstream has one per client session, so this is how
// many of those may be active before the least recently used has to be opened again for its next
// call.
constexpr size_t kExtraMax = 1024;
constexpr size_t kChunkFrom = 1u << 20;
constexpr size_t kChunkBytes = 256u << 10;

std::string Binding(const pb::CallRequest& request, const CallContext& ctx) {
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

bool HasReason(const absl::Status& status, std::string_view reason) {
  const auto info = GetErrorInfo(status);
  return info.has_value() && info->reason == reason;
}

// Cancels an exchange that its reader leaves before the end.
struct ExchangeGuard {
  std::shared_ptr<Session> session;
  std::shared_ptr<Exchange> exchange;
  ExchangeGuard() = default;
  ExchangeGuard(ExchangeGuard&&) = default;
  ExchangeGuard& operator=(ExchangeGuard&&) = default;
  ~ExchangeGuard() {
    if (exchange != nullptr && !exchange->done) session->Cancel(*exchange, "the caller cancelled");
  }
};

struct InstanceUse {
  explicit InstanceUse(std::shared_ptr<Instance> used) : instance(std::move(used)) {
    ++instance->users;
  }
  InstanceUse(const InstanceUse&) = delete;
  InstanceUse& operator=(const InstanceUse&) = delete;
  ~InstanceUse() {
    --instance->users;
    instance->used_at = Upstream::Clock::now();
  }
  std::shared_ptr<Instance> instance;
};

}  // namespace

// One call on its way through the actor.
struct Upstream::CallRun {
  CallRun(const CallContext& ctx_in, pb::CallRequest request_in, Sink<pb::CallResponse>& sink_in)
      : ctx(ctx_in), request(std::move(request_in)), sink(sink_in) {}
  ~CallRun() {
    if (!call_id.empty() && !settled && parked != nullptr) parked->Dropped(call_id);
  }

  const CallContext& ctx;
  pb::CallRequest request;
  Sink<pb::CallResponse>& sink;
  ExchangeGuard guard;
  std::shared_ptr<InstanceUse> use;
  std::shared_ptr<Limiter::Permit> turn;
  ParkedCalls* parked = nullptr;
  std::string call_id;  // of a resumed call
  bool settled = false;
  std::optional<Clock::time_point> asked_at;
};

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

std::string Upstream::IsolationOf(const Negotiated& peer) const {
  if (!spec_.isolation().empty()) return spec_.isolation();
  const bool stdio = main_->session->channel().pid() != 0;
  return stdio || peer.modern() ? "shared" : "session";
}

Awaitable<absl::Status> Upstream::WaitReady(Clock::time_point until) {
  while (main_ == nullptr || !main_->usable()) {
    // Only the first connection is worth waiting for; later, a dead upstream costs its callers
    // one fast error.
    const bool first = enabled_ && !ever_tried_ && !stopping_;
    if (!first || Clock::now() >= until) co_return NotReady();
    auto waiting = state_changed_.WaitUntil(until);
    co_await std::move(waiting);
    const auto state = co_await boost::asio::this_coro::cancellation_state;
    if (state.cancelled() != boost::asio::cancellation_type::none) {
      co_return absl::CancelledError("cancelled");
    }
  }
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<std::shared_ptr<Instance>>> Upstream::Pick(const CallContext& ctx,
                                                                    const pb::CallRequest& request,
                                                                    Clock::time_point until) {
  if (main_ == nullptr || !main_->usable()) {
    auto waiting = WaitReady(std::min(until, Clock::now() + kFirstConnection));
    const absl::Status ready = co_await std::move(waiting);
    if (!ready.ok()) co_return ready;
  }
  const Negotiated& peer = main_->session->negotiated();
  const std::string isolation = IsolationOf(peer);
  const Capset capset = peer.modern() ? Capset() : ReadCapset(request.client_capabilities());
  const bool private_turns =
      interactive_ && capset.any() && !main_->session->channel().Correlates();
  if (isolation == "shared" && !private_turns) co_return main_;
  std::string key = request.affinity();
  if (isolation == "principal" && ctx.principal) {
    key = StrCat(ctx.principal->tenant, "\n", ctx.principal->subject);
  }
  if (isolation == "call") key = NewUuidV7();
  // Without anybody to tell apart, one more session would only cost.
  if (key.empty() && !capset.any()) co_return main_;
  key = StrCat(capset.roots ? "r" : "", capset.sampling ? "s" : "", capset.elicitation ? "e" : "",
               "|", key);
  auto extra = Extra(std::move(key), capset, until);
  co_return co_await std::move(extra);
}

Awaitable<absl::StatusOr<std::shared_ptr<Instance>>> Upstream::Extra(std::string key, Capset capset,
                                                                     Clock::time_point until) {
  std::shared_ptr<Instance> instance;
  const auto known = extra_.find(key);
  if (known != extra_.end() && (known->second->usable() || known->second->opening)) {
    instance = known->second;
  } else {
    if (extra_.size() >= kExtraMax) {
      auto oldest = extra_.end();
      for (auto it = extra_.begin(); it != extra_.end(); ++it) {
        if (it->second->users > 0 || it->second->opening) continue;
        if (oldest == extra_.end() || it->second->used_at < oldest->second->used_at) oldest = it;
      }
      if (oldest == extra_.end()) {
        co_return MakeError("QUEUE_FULL", domain_, "too many sessions with this upstream");
      }
      core_.tasks.Spawn("instance.close", CloseInstance(oldest->second));
      extra_.erase(oldest);
    }
    instance = std::make_shared<Instance>(core_, weak_from_this(), key, capset);
    instance->opening = true;
    extra_[key] = instance;
    core_.tasks.Spawn("instance.open", OpenExtra(shared_from_this(), instance));
  }
  // Counted while it waits: a call that makes room must not close what another is about to use.
  const InstanceUse waits(instance);
  while (instance->opening) {
    if (Clock::now() >= until) {
      co_return MakeError("UPSTREAM_TIMEOUT", domain_, "a session with it could not be opened");
    }
    auto waiting = instance->opened.WaitUntil(until);
    co_await std::move(waiting);
    const auto state = co_await boost::asio::this_coro::cancellation_state;
    if (state.cancelled() != boost::asio::cancellation_type::none) {
      co_return absl::CancelledError("cancelled");
    }
  }
  if (!instance->usable()) {
    co_return instance->why.ok() ? NotReady() : instance->why;
  }
  co_return instance;
}

Awaitable<void> Upstream::OpenExtra(std::shared_ptr<Upstream> self,
                                    std::shared_ptr<Instance> instance) {
  auto opening = self->OpenInstance(instance, std::chrono::seconds(5));
  const absl::Status status = co_await std::move(opening);
  const auto it = self->extra_.find(instance->key);
  const bool wanted = it != self->extra_.end() && it->second == instance;
  if (status.ok() && wanted) co_return;
  if (wanted) self->extra_.erase(it);
  auto closing = CloseInstance(instance);
  co_await std::move(closing);
}

Awaitable<absl::Status> Upstream::Call(const CallContext& ctx, pb::CallRequest request,
                                       Sink<pb::CallResponse>& sink) {
  const auto self = shared_from_this();
  ++calls_;
  CallRun run(ctx, std::move(request), sink);
  run.parked = &core_.parked;
  if (breaker_.open() && !breaker_.Allow(Clock::now())) co_return NotReady();
  // The era decides whose state a retried call carries: a modern upstream's own passes through.
  const bool modern = main_ != nullptr && main_->usable() && main_->session->negotiated().modern();
  absl::Status status;
  if (run.request.has_request_state() && !modern) {
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
    RequestSpec spec = EncodeCall(run.request, run.ctx.trace, session->negotiated(),
                                  core_.dialer.options().client_info);
    if (!session->negotiated().modern())
      spec.capset = ReadCapset(run.request.client_capabilities());
    if (spec.capset.any() && interactive_ && !session->channel().Correlates()) {
      auto queueing = instance->turn->Acquire(run.ctx.deadline);
      auto turn = co_await std::move(queueing);
      if (!turn.ok()) co_return turn.status();
      run.turn = std::make_shared<Limiter::Permit>(std::move(*turn));
    }
    auto begun = session->Begin(std::move(spec));
    if (!begun.ok()) co_return begun.status();
    run.guard.session = session;
    run.guard.exchange = *begun;
    auto driving = Drive(run);
    absl::Status status = co_await std::move(driving);
    // The session was unknown there, so nothing was executed: once more on a new one.
    if (attempt > 0 || !HasReason(status, "SESSION_NOT_FOUND")) co_return status;
    run.guard = ExchangeGuard();
    run.turn.reset();
    if (instance == main_) ever_tried_ = false;  // so that the new connection is waited for
  }
}

Awaitable<absl::Status> Upstream::RetriedCall(CallRun& run) {
  auto resumed = core_.parked.Resume(run.request.request_state(), Binding(run.request, run.ctx),
                                     run.request.input_responses());
  if (!resumed.ok()) co_return resumed.status();
  CallOutcome outcome;
  if (resumed->outcome) {
    auto delivering = Deliver(run, std::move(*resumed->outcome));
    co_return co_await std::move(delivering);
  }
  if (!resumed->lease) {
    outcome.result.kind = pb::RESULT_KIND_INPUT_REQUIRED;
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
  co_return co_await std::move(driving);
}

Awaitable<absl::Status> Upstream::Drive(CallRun& run) {
  Exchange& exchange = *run.guard.exchange;
  const auto idle = IdleTimeout(run.request);
  const auto hard = Clock::now() + std::chrono::milliseconds(core_.config.hard_timeout_ms);
  while (true) {
    while (!exchange.notes.empty()) {
      pb::CallResponse event;
      Exchange::Note note = std::move(exchange.notes.front());
      exchange.notes.pop_front();
      if (note.kind == Exchange::Note::Kind::kPaused) {
        event.mutable_paused()->set_retry_ms(note.retry_after.count());
      } else {
        const bool progress = note.kind == Exchange::Note::Kind::kProgress;
        *(progress ? event.mutable_progress() : event.mutable_log()) = std::move(note.params);
      }
      auto writing = run.sink.Write(std::move(event));
      const absl::Status written = co_await std::move(writing);
      if (!written.ok()) co_return written;
    }
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
  auto concluding = Conclude(run);
  co_return co_await std::move(concluding);
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
                      ? core_.parked.Park(std::move(lease), id_, Binding(run.request, run.ctx))
                      : core_.parked.ParkAgain(run.call_id, std::move(lease));
    if (!result.ok()) co_return result.status();
    run.guard.exchange.reset();
    run.settled = true;
    outcome.result.kind = pb::RESULT_KIND_INPUT_REQUIRED;
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
    auto decoded = DecodeResult(run.request.method(), std::move(exchange.result),
                                run.guard.session->negotiated());
    if (decoded.ok()) {
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
    event.mutable_result()->set_data(std::move(outcome.result.json));
    auto writing = run.sink.Write(std::move(event));
    co_return co_await std::move(writing);
  }
  for (size_t at = 0; at < json.size(); at += kChunkBytes) {
    pb::CallResponse event;
    event.mutable_result()->set_kind(outcome.result.kind);
    event.mutable_result()->set_data(json.substr(at, kChunkBytes));
    event.mutable_result()->set_last(at + kChunkBytes >= json.size());
    auto writing = run.sink.Write(std::move(event));
    const absl::Status written = co_await std::move(writing);
    if (!written.ok()) co_return written;
  }
  co_return absl::OkStatus();
}

}  // namespace metamcp::connector
