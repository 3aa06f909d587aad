#pragma once

#include <memory>
#include <optional>
#include <string>

#include "services/connector/upstream.h"

// What the upstream_*.cc files share about a call on its way.
namespace metamcp::connector {

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
  std::optional<ResourceCache::Place> place;  // of a result that may be kept
  bool wants_task = false;                    // the client knows tasks
  std::string task_param;                     // of 2025-11-25, raw; empty: none
};

// Who may come back for a call, and with what.
std::string CallBinding(const pb::CallRequest& request, const CallContext& ctx);
bool HasReason(const absl::Status& status, std::string_view reason);

// For calls that nobody listens to.
class NullSink final : public Sink<pb::CallResponse> {
 public:
  Awaitable<absl::Status> Write(pb::CallResponse) override { co_return absl::OkStatus(); }
};

}  // namespace metamcp::connector
