// What an upstream actor does while it is connected: lists, heartbeat, subscriptions, idle
// sessions.

#include <algorithm>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/meta.h"
#include "common/telemetry/log.h"
#include "services/connector/upstream.h"

namespace metamcp::connector {
namespace {

constexpr std::chrono::milliseconds kPingTimeout(10000);
constexpr int kMissedMax = 3;
// A failed list is tried again after this.
constexpr std::chrono::seconds kListRetry(10);
// No upstream makes us list more often than this, whatever its ttlMs.
constexpr std::chrono::milliseconds kTtlMin(5000);
// How long a server has to acknowledge a subscriptions/listen.
constexpr std::chrono::seconds kAcknowledge(2);
constexpr size_t kListenersMax = 1000;
constexpr size_t kUpdatesMax = 1000;

constexpr catalog_pb::ItemKind kKinds[] = {
    catalog_pb::ITEM_KIND_TOOL, catalog_pb::ITEM_KIND_RESOURCE, catalog_pb::ITEM_KIND_TEMPLATE,
    catalog_pb::ITEM_KIND_PROMPT};

std::string Digest(const std::vector<catalog_pb::Item>& items) {
  std::string all;
  for (const catalog_pb::Item& item : items) {
    all += item.original_name();
    all += '\n';
    all += item.definition();
    all += '\n';
    all += item.problem();
    all += '\n';
  }
  return Sha256(all);
}

}  // namespace

void Upstream::MarkLists(bool tools, bool resources, bool prompts) {
  if (tools) dirty_[catalog_pb::ITEM_KIND_TOOL] = true;
  if (resources) {
    dirty_[catalog_pb::ITEM_KIND_RESOURCE] = dirty_[catalog_pb::ITEM_KIND_TEMPLATE] = true;
  }
  if (prompts) dirty_[catalog_pb::ITEM_KIND_PROMPT] = true;
}

bool Upstream::AnyDirty() const {
  return std::any_of(dirty_.begin(), dirty_.end(), [](bool dirty) { return dirty; });
}

Awaitable<void> Upstream::Serve() {
  const std::shared_ptr<Instance> instance = main_;
  const Negotiated& peer = instance->session->negotiated();
  MarkLists(true, true, true);
  if (peer.modern()) {
    core_.tasks.Spawn("upstream.listen", FollowModern(shared_from_this(), instance->session));
  } else if (!subscriptions_.empty()) {
    auto again = SubscribeAgain();
    co_await std::move(again);
  }
  const auto heartbeat =
      std::chrono::milliseconds(std::max<int64_t>(core_.config.heartbeat_ms, 100));
  auto beat_at = Clock::now() + heartbeat;
  refresh_at_ = Clock::now() + core_.refresh;
  int missed = 0;
  while (!reconnect_ && !stopping_ && instance->usable()) {
    if (AnyDirty()) {
      auto refreshing = RefreshLists();
      co_await std::move(refreshing);
      continue;
    }
    auto waiting = wake_.WaitUntil(std::min(beat_at, refresh_at_));
    co_await std::move(waiting);
    if (reconnect_ || stopping_ || !instance->usable()) break;
    const auto now = Clock::now();
    if (now >= refresh_at_) {
      MarkLists(true, true, true);
      refresh_at_ = now + core_.refresh;
    }
    if (now < beat_at) continue;
    ExpireInstances();
    auto beating = Heartbeat();
    const bool alive = co_await std::move(beating);
    beat_at = Clock::now() + heartbeat;
    if (!instance->usable()) break;
    if (alive) {
      if (missed > 0 && !breaker_.open()) SetState("ready", true, "");
      missed = 0;
      continue;
    }
    ++missed;
    SetState("degraded", true, StrCat("it did not answer ", missed, " heartbeats"));
    // A server that computes does not answer either; its calls have timeouts of their own.
    if (missed >= kMissedMax && instance->session->in_flight() == 0) {
      instance->why = MakeError("UPSTREAM_TIMEOUT", domain_, "it stopped answering heartbeats");
      break;
    }
  }
}

Awaitable<bool> Upstream::Heartbeat() {
  const std::shared_ptr<Session> session = main_->session;
  if (Clock::now() - heard_at_ < std::chrono::milliseconds(core_.config.heartbeat_ms) / 2) {
    co_return true;
  }
  RequestSpec spec(session->negotiated().modern() ? "server/discover" : "ping", "");
  auto asking = session->Ask(std::move(spec), kPingTimeout);
  auto answer = co_await std::move(asking);
  // An error is an answer.
  if (answer.ok()) heard_at_ = Clock::now();
  co_return answer.ok();
}

Awaitable<void> Upstream::RefreshLists() {
  const std::shared_ptr<Session> session = main_->session;
  const Negotiated& peer = session->negotiated();
  std::string trouble;
  for (const catalog_pb::ItemKind kind : kKinds) {
    if (!dirty_[kind]) continue;
    dirty_[kind] = false;
    const bool offered = kind == catalog_pb::ITEM_KIND_TOOL     ? peer.tools
                         : kind == catalog_pb::ITEM_KIND_PROMPT ? peer.prompts
                                                                : peer.resources;
    absl::StatusOr<DiscoveredList> list = DiscoveredList();
    list->kind = kind;
    if (offered) {
      auto discovering = Discover(session, id_, kind, core_.discovery);
      list = co_await std::move(discovering);
    }
    if (session->lost() || reconnect_ || stopping_) co_return;
    if (!list.ok()) {
      trouble = std::string(list.status().message());
      Remark(StrCat("cannot list: ", trouble));
      refresh_at_ = std::min(refresh_at_, Clock::now() + kListRetry);
      continue;
    }
    heard_at_ = Clock::now();
    for (const std::string& dropped : list->dropped)
      Remark(StrCat("invalid definition: ", dropped));
    if (list->ttl_ms > 0) {
      const auto ttl = std::max(kTtlMin, std::chrono::milliseconds(list->ttl_ms));
      refresh_at_ = std::min<Clock::time_point>(refresh_at_, Clock::now() + ttl);
    }
    if (kind == catalog_pb::ITEM_KIND_TOOL) task_support_ = list->tasks;
    const auto count = static_cast<int>(list->items.size());
    if (kind == catalog_pb::ITEM_KIND_TOOL) status_.set_tools(count);
    if (kind == catalog_pb::ITEM_KIND_RESOURCE) status_.set_resources(count);
    if (kind == catalog_pb::ITEM_KIND_TEMPLATE) status_.set_templates(count);
    if (kind == catalog_pb::ITEM_KIND_PROMPT) status_.set_prompts(count);
    std::string digest = Digest(list->items);
    if (digest == reported_[kind]) continue;
    reported_[kind] = std::move(digest);
    catalog_pb::ItemList& pending = pending_lists_[kind];
    pending.Clear();
    pending.set_kind(kind);
    pending.set_ttl_ms(list->ttl_ms);
    for (catalog_pb::Item& item : list->items) *pending.add_items() = std::move(item);
    status_dirty_ = true;
    if (on_change_) on_change_(id_);
  }
  if (!status_.listed()) {
    status_.set_listed(true);
    status_dirty_ = true;
    if (on_change_) on_change_(id_);
  }
  if (!trouble.empty()) {
    SetState("degraded", true, trouble);
  } else if (status_.state() == "degraded") {
    SetState("ready", true, "");
  }
}

// One subscriptions/listen per connection; its filter is immutable, so a change opens a new one
// before the old one ends (2026-07-28, patterns/subscriptions).
Awaitable<void> Upstream::FollowModern(std::shared_ptr<Upstream> self,
                                       std::shared_ptr<Session> session) {
  std::shared_ptr<Exchange> current;
  Backoff backoff(std::chrono::milliseconds(1000), std::chrono::milliseconds(60000), 1);
  while (!session->lost() && !self->stopping_) {
    json::ObjectWriter filter;
    filter.AddBool("toolsListChanged", true);
    filter.AddBool("promptsListChanged", true);
    filter.AddBool("resourcesListChanged", true);
    const uint64_t wanted = self->subscriptions_wanted_;
    std::vector<std::string> uris;
    for (const auto& [uri, count] : self->subscriptions_) uris.push_back(json::JsonQuote(uri));
    if (!uris.empty()) filter.Add("resourceSubscriptions", json::JoinArray(uris));
    RequestSpec spec("subscriptions/listen",
                     StrCat("{\"notifications\":", std::move(filter).Build(), "}"));
    spec.meta_tail = session->OwnMeta();
    auto begun = session->Begin(std::move(spec));
    if (!begun.ok()) break;
    // The one before ends when this one is acknowledged, so that nothing falls between them.
    std::shared_ptr<Exchange> previous = std::move(current);
    current = *begun;
    self->listening_ = current;
    self->subscriptions_changed_ = false;
    bool acknowledged = false;
    const auto patience = Clock::now() + kAcknowledge;
    while (!current->done && (!acknowledged || !self->subscriptions_changed_)) {
      auto waiting = current->Wait(acknowledged ? Clock::time_point::max() : patience);
      const Exchange::Wake wake = co_await std::move(waiting);
      if (wake == Exchange::Wake::kCancelled) co_return;
      if (!current->notes.empty()) backoff.Reset();
      if (!acknowledged && (!current->notes.empty() || Clock::now() >= patience)) {
        acknowledged = true;
        if (previous != nullptr) session->Cancel(*previous, "replaced");
        previous = nullptr;
        self->subscriptions_acknowledged_ = wanted;
        self->acknowledged_.WakeAll();
      }
      current->notes.clear();
    }
    if (previous != nullptr) session->Cancel(*previous, "replaced");
    if (!current->done) continue;
    // A server without the method will not learn it; others are asked again, and lists are read
    // anew, as a change may have been missed.
    if (current->error && current->error->code == -32601) break;
    current = nullptr;
    if (session->lost()) break;
    auto pause = Sleep(backoff.Next());
    if (!co_await std::move(pause)) break;
    self->MarkLists(true, true, true);
    self->wake_.Set();
  }
}

void Upstream::ResourceUpdated(const std::string& uri) {
  // The update may be of a part of what was read.
  ForgetResources();
  for (const auto& listener : listeners_) {
    // An update may be of a sub-resource of what was subscribed to.
    const bool wanted = std::any_of(
        listener->uris.begin(), listener->uris.end(),
        [&](const std::string& want) { return uri.compare(0, want.size(), want) == 0; });
    if (!wanted || listener->updated.size() >= kUpdatesMax) continue;
    if (std::find(listener->updated.begin(), listener->updated.end(), uri) !=
        listener->updated.end()) {
      continue;
    }
    listener->updated.push_back(uri);
    listener->event.Set();
  }
}

void Upstream::DropListeners() {
  for (const auto& listener : listeners_) {
    listener->gone = true;
    listener->event.Set();
  }
  listeners_.clear();
}

void Upstream::SubscriptionsChanged() {
  ++subscriptions_wanted_;
  subscriptions_changed_ = true;
  if (const auto listening = listening_.lock()) listening->Poke();
}

Awaitable<absl::Status> Upstream::Subscribe(std::string uri) {
  const bool first = ++subscriptions_[uri] == 1;
  const std::shared_ptr<Session> session = main_->session;
  if (session->negotiated().modern()) {
    if (first) SubscriptionsChanged();
    const uint64_t wanted = subscriptions_wanted_;
    const auto until = Clock::now() + 2 * kAcknowledge;
    while (subscriptions_acknowledged_ < wanted && !listening_.expired() && Clock::now() < until) {
      auto waiting = acknowledged_.WaitUntil(until);
      co_await std::move(waiting);
      const auto state = co_await boost::asio::this_coro::cancellation_state;
      if (state.cancelled() != boost::asio::cancellation_type::none) break;
    }
    co_return absl::OkStatus();
  }
  if (!first) co_return absl::OkStatus();
  RequestSpec spec("resources/subscribe", StrCat("{\"uri\":", json::JsonQuote(uri), "}"));
  auto asking = session->Ask(std::move(spec), std::chrono::seconds(10));
  auto answer = co_await std::move(asking);
  absl::Status status = answer.status();
  if (status.ok() && answer->error) {
    status = MakeError("UPSTREAM_ERROR", domain_, answer->error->message.substr(0, 200));
  }
  if (!status.ok()) subscriptions_.erase(uri);
  co_return status;
}

Awaitable<void> Upstream::Unsubscribe(std::shared_ptr<Upstream> self,
                                      std::vector<std::string> uris) {
  for (const std::string& uri : uris) {
    const auto it = self->subscriptions_.find(uri);
    if (it == self->subscriptions_.end() || --it->second > 0) continue;
    self->subscriptions_.erase(it);
    if (self->main_ == nullptr || !self->main_->usable()) continue;
    const std::shared_ptr<Session> session = self->main_->session;
    if (session->negotiated().modern()) {
      self->SubscriptionsChanged();
      continue;
    }
    RequestSpec spec("resources/unsubscribe", StrCat("{\"uri\":", json::JsonQuote(uri), "}"));
    auto asking = session->Ask(std::move(spec), std::chrono::seconds(10));
    (co_await std::move(asking)).status().IgnoreError();
  }
}

Awaitable<void> Upstream::SubscribeAgain() {
  const std::shared_ptr<Session> session = main_->session;
  std::vector<std::string> uris;
  for (const auto& [uri, count] : subscriptions_) uris.push_back(uri);
  for (const std::string& uri : uris) {
    RequestSpec spec("resources/subscribe", StrCat("{\"uri\":", json::JsonQuote(uri), "}"));
    auto asking = session->Ask(std::move(spec), std::chrono::seconds(10));
    (co_await std::move(asking)).status().IgnoreError();
  }
}

Awaitable<absl::Status> Upstream::Listen(const CallContext& ctx, pb::ListenRequest request,
                                         Sink<pb::ListenResponse>& sink) {
  const auto self = shared_from_this();
  auto waiting = WaitReady(std::min(ctx.deadline, Clock::now() + std::chrono::seconds(10)));
  const absl::Status ready = co_await std::move(waiting);
  if (!ready.ok()) co_return ready;
  if (listeners_.size() >= kListenersMax) {
    co_return MakeError("QUEUE_FULL", domain_, "too many listeners");
  }
  auto listener = std::make_shared<Listener>(core_.executor);
  struct Leave {
    std::shared_ptr<Upstream> upstream;
    std::shared_ptr<Listener> listener;
    ~Leave() {
      listener->gone = true;
      upstream->listeners_.remove(listener);
      if (listener->uris.empty()) return;
      upstream->core_.tasks.Spawn("unsubscribe", Unsubscribe(upstream, listener->uris));
    }
  } leave{self, listener};
  listeners_.push_back(listener);
  for (const std::string& uri : request.resource_uris()) {
    if (!main_->usable() || !main_->session->negotiated().subscribe) break;
    auto subscribing = Subscribe(uri);
    const absl::Status subscribed = co_await std::move(subscribing);
    if (subscribed.ok()) listener->uris.push_back(uri);
  }
  pb::ListenResponse ack;
  ack.mutable_ack();
  for (const std::string& uri : listener->uris) ack.mutable_ack()->add_resource_uris(uri);
  for (const pb::TaskRef& task : request.tasks()) ack.mutable_ack()->add_task_ids(task.task_id());
  if (request.tasks_size() > 0) {
    core_.tasks.Spawn("tasks.follow", FollowTasks(self, request, listener));
  }
  auto acking = sink.Write(std::move(ack));
  absl::Status written = co_await std::move(acking);
  while (written.ok()) {
    if (listener->gone) co_return NotReady();
    if (listener->updated.empty() && listener->tasks.empty()) {
      auto event = listener->event.WaitUntil(Clock::time_point::max());
      co_await std::move(event);
      const auto state = co_await boost::asio::this_coro::cancellation_state;
      if (state.cancelled() != boost::asio::cancellation_type::none) {
        co_return absl::CancelledError("cancelled");
      }
      continue;
    }
    pb::ListenResponse update;
    if (!listener->tasks.empty()) {
      update.set_task(std::move(listener->tasks.front()));
      listener->tasks.erase(listener->tasks.begin());
      auto telling = sink.Write(std::move(update));
      written = co_await std::move(telling);
      continue;
    }
    update.mutable_updated()->set_uri(listener->updated.front());
    listener->updated.erase(listener->updated.begin());
    auto writing = sink.Write(std::move(update));
    written = co_await std::move(writing);
  }
  co_return written;
}

void Upstream::ExpireInstances() {
  const auto now = Clock::now();
  const std::chrono::milliseconds idle_limit(core_.config.instance_idle_ms);
  for (auto it = extra_.begin(); it != extra_.end();) {
    const std::shared_ptr<Instance> instance = it->second;
    const bool idle =
        instance->users == 0 && now - instance->used_at > idle_limit && now > instance->kept_until;
    if (!instance->opening && (idle || !instance->usable())) {
      it = extra_.erase(it);
      core_.tasks.Spawn("instance.close", CloseInstance(instance));
    } else {
      ++it;
    }
  }
}

Awaitable<void> Upstream::CloseInstance(std::shared_ptr<Instance> instance) {
  const std::shared_ptr<Session> session = instance->session;
  if (session == nullptr) co_return;
  session->Detach();
  auto closing = session->Close();
  co_await std::move(closing);
}

}  // namespace metamcp::connector
