#include "gateway/protocol/subscriptions.h"

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <set>
#include <utility>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/telemetry/log.h"

namespace metamcp::gateway {

namespace asio = boost::asio;

struct WatchState {
  WatchState(asio::any_io_executor executor)
      : stop(executor, asio::steady_timer::time_point::max()),
        ready(executor, asio::steady_timer::time_point::max()) {}
  provider::v1::ProviderService* provider = nullptr;
  std::shared_ptr<const Principal> principal;
  std::shared_ptr<const UpstreamInfo> upstream;
  // As it was when the watch was last looked at.
  std::shared_ptr<const ServerView> view;
  provider::v1::ListenRequest request;
  std::string exposed_uri;
  std::string original_uri;
  std::string handle;  // of a task instead of a resource
  std::function<void(const std::string&)> updated;
  asio::steady_timer stop;   // cancelled to end the watch
  asio::steady_timer ready;  // cancelled when the first answer is known
  bool stopped = false;
  bool answered = false;
  absl::Status answer;

  void Stop() {
    stopped = true;
    stop.cancel();
  }
  void Answer(absl::Status status) {
    if (answered) return;
    answered = true;
    answer = std::move(status);
    ready.cancel();
  }
};

namespace {

using std::chrono::milliseconds;

// A Listen stream is opened anew this often, so that no RPC lives for ever.
constexpr std::chrono::hours kListenLifetime{12};
constexpr milliseconds kBackoffMin{250};
constexpr milliseconds kBackoffMax{30000};

class ListenSink final : public Sink<provider::v1::ListenResponse> {
 public:
  explicit ListenSink(std::shared_ptr<WatchState> state) : state_(std::move(state)) {}
  Awaitable<absl::Status> Write(provider::v1::ListenResponse event) override {
    if (event.has_ack()) {
      acknowledged_ = true;
      if (!state_->handle.empty()) {
        state_->Answer(absl::OkStatus());
        co_return absl::OkStatus();
      }
      const auto& uris = event.ack().resource_uris();
      const bool honoured = std::find(uris.begin(), uris.end(), state_->original_uri) != uris.end();
      state_->Answer(honoured ? absl::OkStatus()
                              : MakeError("METHOD_NOT_FOUND",
                                          StrCat("upstream:", state_->upstream->name),
                                          "the upstream does not offer subscriptions to this"
                                          " resource"));
    } else if (event.event_case() == provider::v1::ListenResponse::kTask && !state_->stopped) {
      auto view = json::ScanObject(event.task());
      if (!view.ok()) co_return absl::OkStatus();
      json::Splicer splicer(*view);
      splicer.SetString("taskId", state_->handle);
      state_->updated(splicer.Build());
    } else if (event.has_updated() && !state_->stopped) {
      // A sub-resource of what was subscribed may be named (MCP, resources/updated).
      const std::string& uri = event.updated().uri();
      state_->updated(uri == state_->original_uri ? state_->exposed_uri : uri);
    }
    co_return absl::OkStatus();
  }
  bool acknowledged() const { return acknowledged_; }

 private:
  std::shared_ptr<WatchState> state_;
  bool acknowledged_ = false;
};

Awaitable<void> RunWatch(std::shared_ptr<WatchState> state) {
  using asio::experimental::awaitable_operators::operator||;
  milliseconds backoff = kBackoffMin;
  while (!state->stopped) {
    const CallContext ctx(state->principal, CallContext::Clock::now() + kListenLifetime);
    ListenSink sink(state);
    auto listen = state->provider->Listen(ctx, state->request, sink);
    auto caught = CatchStatus(std::move(listen));
    auto stop = state->stop.async_wait(asio::as_tuple(asio::use_awaitable));
    auto result = co_await (std::move(caught) || std::move(stop));
    if (state->stopped || result.index() == 1) break;
    const absl::Status status = std::get<0>(result);
    const bool for_good = absl::IsUnimplemented(status) || absl::IsNotFound(status) ||
                          absl::IsInvalidArgument(status);
    if (!status.ok()) state->Answer(status);
    if (for_good) break;
    if (sink.acknowledged()) backoff = kBackoffMin;
    const bool slept = co_await Sleep(backoff);
    if (!slept) break;
    backoff = std::min(backoff * 2, kBackoffMax);
  }
  state->Answer(absl::CancelledError("the watch ended"));
}

class HubWatch final : public ResourceWatch {
 public:
  explicit HubWatch(std::shared_ptr<WatchState> state) : state_(std::move(state)) {}
  ~HubWatch() override { state_->Stop(); }
  bool ended() const override { return state_->stopped; }
  Awaitable<absl::Status> Ready(std::chrono::steady_clock::duration limit) override {
    const auto state = state_;
    if (!state->answered) {
      state->ready.expires_after(limit);
      co_await state->ready.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    if (state->answered) co_return state->answer;
    co_return MakeError("UPSTREAM_TIMEOUT", StrCat("upstream:", state->upstream->name),
                        "the upstream did not answer the subscription in time");
  }

 private:
  std::shared_ptr<WatchState> state_;
};

}  // namespace

SubscriptionHub::SubscriptionHub(asio::any_io_executor executor, CatalogMirror& mirror,
                                 ProviderDirectory& providers)
    : executor_(executor), providers_(providers), tasks_(executor) {
  mirror.SetListener([this](const std::vector<SnapshotChange>& changes) { OnChanges(changes); });
}

void SubscriptionHub::AllChanged() {
  std::set<std::string> names;
  for (const ListInterest& interest : interests_) names.insert(interest.virtual_server);
  std::vector<SnapshotChange> changes;
  for (const std::string& name : names) {
    SnapshotChange change;
    change.virtual_server = name;
    change.tools = change.resources = change.prompts = true;
    changes.push_back(std::move(change));
  }
  OnChanges(changes);
}

void SubscriptionHub::OnChanges(const std::vector<SnapshotChange>& changes) {
  for (const SnapshotChange& change : changes) {
    // A callback may end its own interest.
    for (auto it = interests_.begin(); it != interests_.end();) {
      const ListInterest interest = *it++;
      if (interest.virtual_server != change.virtual_server) continue;
      if (interest.tools && change.tools) interest.changed("tools");
      if (interest.resources && change.resources) interest.changed("resources");
      if (interest.prompts && change.prompts) interest.changed("prompts");
    }
  }
}

std::shared_ptr<void> SubscriptionHub::AddInterest(ListInterest interest) {
  const auto it = interests_.insert(interests_.end(), std::move(interest));
  return std::shared_ptr<void>(nullptr,
                               [this, it, alive = std::weak_ptr<bool>(alive_)](std::nullptr_t) {
                                 if (!alive.expired()) interests_.erase(it);
                               });
}

absl::StatusOr<std::unique_ptr<ResourceWatch>> SubscriptionHub::Watch(
    std::shared_ptr<const ServerView> view, std::string uri, std::string affinity,
    std::string client_capabilities, std::shared_ptr<const Principal> principal,
    std::function<void(const std::string& uri)> updated) {
  const auto route = view->RouteResource(uri);
  const auto upstream = route ? view->FindUpstream(route->routes.at(0).upstream_id()) : nullptr;
  provider::v1::ProviderService* provider = upstream ? providers_.Find(*upstream) : nullptr;
  if (provider == nullptr) {
    return MakeError(
        "RESOURCE_NOT_FOUND", "gateway",
        StrCat("no resource \"", uri.substr(0, uri.find('?')), "\" on \"", view->name(), "\""),
        {{"uri", uri}});
  }
  auto state = std::make_shared<WatchState>(executor_);
  state->provider = provider;
  state->principal = std::move(principal);
  state->upstream = upstream;
  state->view = view;
  state->original_uri = route->original_uri;
  state->exposed_uri = std::move(uri);
  state->updated = std::move(updated);
  state->request.set_upstream_id(upstream->id);
  state->request.add_resource_uris(state->original_uri);
  state->request.set_affinity(std::move(affinity));
  state->request.set_client_capabilities(std::move(client_capabilities));
  StartWatch(state);
  return std::unique_ptr<ResourceWatch>(std::make_unique<HubWatch>(std::move(state)));
}

absl::StatusOr<std::unique_ptr<ResourceWatch>> SubscriptionHub::WatchTask(
    std::shared_ptr<const ServerView> view, const TaskHandle& task, std::string handle,
    std::string affinity, std::string client_capabilities,
    std::shared_ptr<const Principal> principal,
    std::function<void(const std::string& json)> changed) {
  const auto upstream = view->FindUpstream(task.upstream_id);
  provider::v1::ProviderService* provider = upstream ? providers_.Find(*upstream) : nullptr;
  if (provider == nullptr) return MakeError("TASK_NOT_FOUND", "gateway", "no such task");
  auto state = std::make_shared<WatchState>(executor_);
  state->provider = provider;
  state->principal = std::move(principal);
  state->upstream = upstream;
  state->view = view;
  state->handle = std::move(handle);
  state->updated = std::move(changed);
  state->request.set_upstream_id(upstream->id);
  auto& ref = *state->request.add_tasks();
  ref.set_task_id(task.task_id);
  ref.set_instance(task.instance);
  state->request.set_affinity(std::move(affinity));
  state->request.set_client_capabilities(std::move(client_capabilities));
  StartWatch(state);
  return std::unique_ptr<ResourceWatch>(std::make_unique<HubWatch>(std::move(state)));
}

void SubscriptionHub::StartWatch(const std::shared_ptr<WatchState>& state) {
  // Each time that twice as many are there, so that a crowd costs no more than one.
  if (watches_.size() >= sweep_at_) {
    std::erase_if(watches_, [](const auto& one) { return one.expired(); });
    sweep_at_ = std::max<size_t>(64, 2 * watches_.size());
  }
  watches_.push_back(state);
  tasks_.Spawn("watch", RunWatch(state));
}

namespace {

// Why the watch may not go on, or OK.
absl::Status CheckWatch(ViewFilter& filter, const std::shared_ptr<const ServerView>& view,
                        const WatchState& state) {
  if (view == nullptr) return MakeError("NOT_FOUND", "gateway", "the virtual server is gone");
  if (state.principal == nullptr) return absl::OkStatus();
  if (state.handle.empty()) {
    // What is not there now may come back, as after a restart of its server.
    if (!view->RouteResource(state.exposed_uri)) return absl::OkStatus();
    return filter.MayWatch(view, *state.principal, state.exposed_uri);
  }
  // A task is its starter's own; what it runs on must still be there for it.
  const auto upstream = view->FindUpstream(state.upstream->id);
  const bool may = filter.MayUse(*view, *state.principal) && upstream != nullptr &&
                   auth::MaySee(*state.principal, upstream->ownership);
  return may ? absl::OkStatus() : MakeError("TASK_NOT_FOUND", "gateway", "no such task");
}

// Whether what is shared with whom differs, of the virtual server or of one behind it.
bool SharedOtherwise(const ServerView& before, const ServerView& now) {
  if (before.ownership() != now.ownership()) return true;
  return std::any_of(now.upstreams().begin(), now.upstreams().end(), [&](const auto& upstream) {
    const auto was = before.FindUpstream(upstream->id);
    return was != nullptr && was->ownership != upstream->ownership;
  });
}

}  // namespace

void SubscriptionHub::CheckWatches(ViewFilter& filter, bool rules) {
  for (auto it = watches_.begin(); it != watches_.end();) {
    const std::shared_ptr<WatchState> state = it->lock();
    if (state == nullptr || state->stopped) {
      it = watches_.erase(it);
      continue;
    }
    ++it;
    const auto view = snapshot_->Find(state->view->name());
    if (!rules && view == state->view) continue;
    const absl::Status may = CheckWatch(filter, view, *state);
    if (may.ok()) {
      state->view = view;
      continue;
    }
    // A client that asks again is told why.
    Log(LogLevel::kInfo, "subscription.ended",
        {{"subject", state->principal ? state->principal->subject : ""},
         {"upstream", state->upstream->name},
         {"why", std::string(may.message())}});
    state->Stop();
  }
}

void SubscriptionHub::CheckRights(ViewFilter* filter, std::shared_ptr<const Snapshot> snapshot,
                                  bool rules) {
  const std::shared_ptr<const Snapshot> before = std::exchange(snapshot_, std::move(snapshot));
  if (filter == nullptr || (before == snapshot_ && !rules)) return;
  CheckWatches(*filter, rules);
  std::vector<SnapshotChange> changes;
  for (const auto& [name, view] : snapshot_->views) {
    const auto was = before->Find(name);
    if (was == nullptr || was == view || !SharedOtherwise(*was, *view)) continue;
    SnapshotChange change;
    change.virtual_server = name;
    change.tools = change.resources = change.prompts = true;
    changes.push_back(std::move(change));
    for (auto it = interests_.begin(); it != interests_.end();) {
      const ListInterest interest = *it++;
      const bool its = interest.virtual_server == name && interest.principal && interest.closing;
      if (its && !filter->MayUse(*view, *interest.principal)) interest.closing();
    }
  }
  OnChanges(changes);
}

void SubscriptionHub::Close() {
  for (auto it = interests_.begin(); it != interests_.end();) {
    const ListInterest interest = *it++;
    if (interest.closing) interest.closing();
  }
}

void SubscriptionHub::CloseWhere(const std::function<bool(const Principal&)>& who) {
  for (auto it = interests_.begin(); it != interests_.end();) {
    const ListInterest interest = *it++;
    if (interest.principal && who(*interest.principal) && interest.closing) interest.closing();
  }
}

Awaitable<void> SubscriptionHub::Stop() {
  Close();
  tasks_.CancelAll();
  co_await tasks_.Join(std::chrono::seconds(5));
}

}  // namespace metamcp::gateway
