#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "common/async/call_context.h"
#include "common/async/task_group.h"
#include "gateway/routing/call_chain.h"
#include "gateway/routing/mirror.h"
#include "gateway/routing/view_filter.h"

namespace metamcp::gateway {

// A client's wish to hear of changes of one virtual server's lists.
struct ListInterest {
  std::string virtual_server;
  std::shared_ptr<const Principal> principal;  // whose stream it is; may be null
  bool tools = false;
  bool resources = false;
  bool prompts = false;
  // Called with "tools", "resources" or "prompts".
  std::function<void(std::string_view)> changed;
  // Called when the gateway stops, or the principal is gone: end the client's stream.
  std::function<void()> closing;
};

struct WatchState;

// One watched resource: as long as it lives, `updated` is called for each change. Made by
// SubscriptionHub; destroy it to unsubscribe.
class ResourceWatch {
 public:
  virtual ~ResourceWatch() = default;
  // Waits until the upstream has taken or refused the subscription, at most `limit`. OK, or why
  // not (UPSTREAM_*, METHOD_NOT_FOUND where the upstream has no subscriptions).
  virtual Awaitable<absl::Status> Ready(std::chrono::steady_clock::duration limit) = 0;
  // Nothing will be heard any more.
  virtual bool ended() const = 0;
};

// Delivers changes to clients: list changes from the catalog mirror, resource updates from the
// providers' Listen streams (reopened with backoff when they break). Single-threaded.
class SubscriptionHub {
 public:
  SubscriptionHub(boost::asio::any_io_executor executor, CatalogMirror& mirror,
                  ProviderDirectory& providers);

  // Registers an interest until the returned token is destroyed.
  std::shared_ptr<void> AddInterest(ListInterest interest);

  // Watches `uri` (as exposed by `view`). Errors: RESOURCE_NOT_FOUND.
  absl::StatusOr<std::unique_ptr<ResourceWatch>> Watch(
      std::shared_ptr<const ServerView> view, std::string uri, std::string affinity,
      std::string client_capabilities, std::shared_ptr<const Principal> principal,
      std::function<void(const std::string& uri)> updated);

  // Watches a task; `changed` gets it as tasks/get answers it, under `handle`. Errors: as Watch,
  // with TASK_NOT_FOUND.
  absl::StatusOr<std::unique_ptr<ResourceWatch>> WatchTask(
      std::shared_ptr<const ServerView> view, const TaskHandle& task, std::string handle,
      std::string affinity, std::string client_capabilities,
      std::shared_ptr<const Principal> principal,
      std::function<void(const std::string& json)> changed);

  // Tells every interest that its lists may be others, as after a change of the policy.
  void AllChanged();
  // Ends what a principal may not hear of any more, watches and streams, and tells those whose
  // lists may be shorter by it. Called with each new snapshot; `rules`: the policy has changed,
  // too. Without a filter everybody may hear everything.
  void CheckRights(ViewFilter* filter, std::shared_ptr<const Snapshot> snapshot, bool rules);

  size_t watches() const { return tasks_.running(); }
  // Tells every interest that the gateway stops, so that streams end in order.
  void Close();
  // Likewise for what one principal hears.
  void CloseWhere(const std::function<bool(const Principal&)>& who);
  Awaitable<void> Stop();

 private:
  void OnChanges(const std::vector<SnapshotChange>& changes);
  void CheckWatches(ViewFilter& filter, bool rules);
  void StartWatch(const std::shared_ptr<WatchState>& state);

  boost::asio::any_io_executor executor_;
  ProviderDirectory& providers_;
  std::list<ListInterest> interests_;
  std::list<std::weak_ptr<WatchState>> watches_;
  size_t sweep_at_ = 64;  // watches, of which some may be over
  std::shared_ptr<const Snapshot> snapshot_ = std::make_shared<Snapshot>();
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  TaskGroup tasks_;
};

}  // namespace metamcp::gateway
