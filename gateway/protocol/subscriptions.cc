#include "gateway/protocol/subscriptions.h"

#include <set>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/telemetry/log.h"

namespace metamcp::gateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

// A Listen stream is opened anew this often, so that no RPC lives for ever.
constexpr std::chrono::hours kListenLifetime{12};
constexpr milliseconds kBackoffMin{250};
constexpr milliseconds kBackoffMax{30000};

struct WatchState {
  WatchState(asio::any_io_executor executor)
      : stop(executor, asio::steady_timer::time_point::max()),
        ready(executor, asio::steady_timer::time_point::max()) {}
  provider::v1::ProviderService* provider = nullptr;
  std::shared_ptr<const Principal> principal;
  std::shared_ptr<const UpstreamInfo> upstream;
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

  void Answer(absl::Status status) {
    if (answered) return;
    answered = true;
    answer = std::move(status);
    ready.cancel();
  }
};

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
  ~HubWatch() override {
    state_->stopped = true;
    state_->stop.cancel();
  }
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
  state->original_uri = route->original_uri;
  state->exposed_uri = std::move(uri);
  state->updated = std::move(updated);
  state->request.set_upstream_id(upstream->id);
  state->request.add_resource_uris(state->original_uri);
  state->request.set_affinity(std::move(affinity));
  state->request.set_client_capabilities(std::move(client_capabilities));
  tasks_.Spawn("resource-watch", RunWatch(state));
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
  state->handle = std::move(handle);
  state->updated = std::move(changed);
  state->request.set_upstream_id(upstream->id);
  auto& ref = *state->request.add_tasks();
  ref.set_task_id(task.task_id);
  ref.set_instance(task.instance);
  state->request.set_affinity(std::move(affinity));
  state->request.set_client_capabilities(std::move(client_capabilities));
  tasks_.Spawn("task-watch", RunWatch(state));
  return std::unique_ptr<ResourceWatch>(std::make_unique<HubWatch>(std::move(state)));
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
