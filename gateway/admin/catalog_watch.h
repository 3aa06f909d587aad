#pragma once

#include <array>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "common/async/sink.h"
#include "common/base/principal.h"
#include "common/http/http_server.h"
#include "gateway/routing/snapshot.h"
#include "metamcp/catalog/v1/catalog_service.pb.h"

namespace metamcp::gateway::admin {

// What operators see of an upstream.
struct UpstreamRow {
  std::string name;
  std::string state;
  bool enabled = false;
  bool reachable = false;
  std::string json;
  auth::Ownership ownership;
};

// Follows the gateway's own catalog watch and tells subscribers what changed, as an event stream:
// "snapshot" first (and again for a reader that fell behind), then "upstream", "upstream_removed",
// "list_changed" and "virtual_server_removed". Event ids are catalog revisions. Each is told of
// what it may see; what is hidden from it meanwhile is removed for it. Single-threaded.
class CatalogWatch {
 public:
  struct Options {
    Options() {}
    std::chrono::milliseconds keep_alive = std::chrono::seconds(15);
    size_t queue_max = 1000;       // events a slow reader may lag behind
    size_t subscribers_max = 200;  // above: QUEUE_FULL
  };
  CatalogWatch(boost::asio::any_io_executor executor, Options options)
      : executor_(std::move(executor)), options_(options) {}

  // Takes one watch message. `snapshot` is the gateway's after that message.
  void Apply(const catalog::v1::WatchCatalogResponse& message,
             std::shared_ptr<const Snapshot> snapshot);
  // Writes events to `principal` until the client leaves, or Close or CloseWhere is called.
  Awaitable<void> Serve(http::HttpResponder& responder, std::shared_ptr<const Principal> principal);
  // Ends the streams of one that no key speaks for any more.
  void CloseWhere(const std::function<bool(const Principal&)>& who);
  // Ends all streams, and those that are opened later.
  void Close();

  const std::map<std::string, UpstreamRow>& upstreams() const { return rows_; }  // by id
  const std::shared_ptr<const Snapshot>& snapshot() const { return snapshot_; }
  // JSON arrays for the status, of what `who` may see.
  std::string UpstreamsJson(const Principal& who) const;
  std::string VirtualServersJson(const Principal& who) const;
  size_t subscribers() const { return subscribers_.size(); }

 private:
  struct Subscriber {
    Subscriber(boost::asio::any_io_executor executor, std::shared_ptr<const Principal> who)
        : principal(std::move(who)),
          wake(std::move(executor), boost::asio::steady_timer::time_point::max()) {}
    const std::shared_ptr<const Principal> principal;
    boost::asio::steady_timer wake;
    std::deque<std::string> queue;
    bool behind = true;  // needs a snapshot
    bool gone = false;
    bool revoked = false;
  };
  using Hashes = std::array<uint64_t, 4>;
  struct Lists {
    Hashes hashes{};
    auth::Ownership ownership;
  };

  // To those who may see what it is about.
  using Sees = std::function<bool(const Principal&)>;
  void Publish(std::string_view event, std::string_view data, const Sees& sees);
  void PublishRemoved(const std::string& id, const UpstreamRow& row, const Sees& sees);
  void PublishChanges(const std::map<std::string, UpstreamRow>& before);
  void PublishLists();
  std::string SnapshotEvent(const Principal& who) const;
  Awaitable<void> Pump(Subscriber& subscriber, http::HttpResponder& responder);

  boost::asio::any_io_executor executor_;
  const Options options_;
  std::map<std::string, UpstreamRow> rows_;  // at the last complete batch
  std::map<std::string, UpstreamRow> next_;
  std::map<std::string, Lists> lists_;  // by virtual server
  std::shared_ptr<const Snapshot> snapshot_ = std::make_shared<Snapshot>();
  std::set<std::shared_ptr<Subscriber>> subscribers_;
  bool closed_ = false;
};

}  // namespace metamcp::gateway::admin
