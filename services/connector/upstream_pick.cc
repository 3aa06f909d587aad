// Which session of an upstream a call uses, and how one is opened for it.

#include <algorithm>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/connector/handshake.h"
#include "services/connector/upstream_call.h"

namespace metamcp::connector {
namespace {

// How long a call waits for an upstream that is connecting for the first time.
constexpr std::chrono::seconds kFirstConnection(30);
// Sessions beside the main one. A legacy HTTP upstream has one per client session, so this is how
// many of those may be active before the least recently used has to be opened again for its next
// call.
constexpr size_t kExtraMax = 1024;
// A longer text of capabilities is read for each call.
constexpr size_t kCapsetTextMax = 16u << 10;

}  // namespace

std::string Upstream::IsolationOf(const Negotiated& peer) const {
  if (!spec_.isolation().empty()) return spec_.isolation();
  const bool stdio = main_->session->channel().pid() != 0;
  return stdio || peer.modern() ? "shared" : "session";
}

const Capset& Upstream::CapsetOf(const pb::CallRequest& request) {
  const std::string& text = request.client_capabilities();
  if (text != capset_text_) {
    capset_ = ReadCapset(text);
    capset_text_ = text.size() <= kCapsetTextMax ? text : "not kept";
  }
  return capset_;
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
  const Capset capset = peer.modern() ? Capset() : CapsetOf(request);
  const bool private_turns =
      interactive_ && capset.any() && !main_->session->channel().Correlates();
  METAMCP_CO_RETURN_IF_ERROR(OfferToken(ctx, request));
  std::string owner = OwnerOf(ctx);
  if (isolation == "shared" && !private_turns && owner.empty()) co_return main_;
  std::string key = request.affinity();
  if (isolation == "principal" && ctx.principal) {
    key = StrCat(ctx.principal->tenant, "\n", ctx.principal->subject);
  }
  if (isolation == "call") key = NewUuidV7();
  // Without anybody to tell apart, one more session would only cost.
  if (key.empty() && !capset.any() && owner.empty()) co_return main_;
  if (isolation == "shared" && !private_turns) key.clear();
  key = StrCat(CapabilitiesText(capset), "|", key);
  if (!owner.empty()) key += StrCat("|", owner);
  auto extra = Extra(std::move(key), std::move(owner), capset, until);
  co_return co_await std::move(extra);
}

Awaitable<absl::StatusOr<std::shared_ptr<Instance>>> Upstream::Extra(std::string key,
                                                                     std::string owner,
                                                                     Capset capset,
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
        if (it->second->usable() && it->second->kept_until > Clock::now()) continue;
        if (oldest == extra_.end() || it->second->used_at < oldest->second->used_at) oldest = it;
      }
      if (oldest == extra_.end()) {
        co_return MakeError("QUEUE_FULL", domain_, "too many sessions with this upstream");
      }
      core_.tasks.Spawn("instance.close", CloseInstance(oldest->second));
      extra_.erase(oldest);
    }
    instance = std::make_shared<Instance>(core_, weak_from_this(), key, capset);
    instance->login_owner = std::move(owner);
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

}  // namespace metamcp::connector
