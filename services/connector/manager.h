#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "metamcp/catalog/v1/catalog_service.metamcp.h"
#include "services/connector/leases.h"
#include "services/connector/upstream.h"

namespace metamcp::connector {

// The registry of upstream actors: follows the catalog's desired upstreams, starts and ends actors,
// and reports what they see, coalesced. All actors start at once; none waits for another. Where
// there are several connectors, an actor runs where its lease is.
// Single-threaded. Await Stop before destroying it.
class Manager {
 public:
  // All must outlive the manager.
  Manager(Core& core, metamcp::catalog::v1::CatalogService& catalog, Leases& leases);
  ~Manager();

  void Start();
  // Gives each upstream to another connector as soon as it is idle, until none is left or `until`;
  // new calls are answered NOT_OWNER from now on.
  Awaitable<void> HandOver(std::chrono::steady_clock::time_point until);
  bool handing_over() const { return handing_over_; }
  Awaitable<void> Stop();
  // The catalog has said what there is.
  bool informed() const { return informed_; }
  // This process stood still for so long that others may have what runs here, and the directory has
  // not yet said who does.
  bool doubtful();

  // By id; nullptr if there is none here.
  std::shared_ptr<Upstream> Find(const std::string& id) const;
  // Why there is none: NOT_FOUND, NOT_OWNER with whoever runs it, or UPSTREAM_UNAVAILABLE before
  // the catalog has said what there is.
  absl::Status Missing(const std::string& id) const;
  // By id or name.
  std::shared_ptr<Upstream> FindByName(const std::string& name) const;
  // Ordered by name.
  std::vector<std::shared_ptr<Upstream>> All() const;

 private:
  class WatchSink;
  static Awaitable<void> Watch(Manager* self);
  static Awaitable<void> Report(Manager* self);
  Awaitable<bool> ReportOne(std::string id);
  static Awaitable<void> StopOne(std::shared_ptr<Upstream> upstream);
  // Ends one that runs here; its lease is given up when it has ended.
  void GiveUp(const std::string& id);
  static Awaitable<void> EndOne(Manager* self, std::string id, std::shared_ptr<Upstream> upstream);
  static Awaitable<void> Hold(Manager* self);
  static Awaitable<void> Beat(Manager* self);
  Awaitable<bool> HoldOnce();
  // It must not move now.
  bool Stays(const Upstream& upstream) const;
  void Apply(catalog_pb::WatchUpstreamsResponse change);
  void Run(const catalog_pb::Upstream& desired);
  void Forget(const std::string& id);
  void Remove(const std::string& id);
  void Changed(const std::string& id);

  Core& core_;
  metamcp::catalog::v1::CatalogService& catalog_;
  Leases& leases_;
  absl::flat_hash_map<std::string, std::shared_ptr<Upstream>> upstreams_;  // by id, that run here
  // Where there are several connectors: what somebody should run, what is being ended here, and
  // what has ended, so that others may have it.
  std::map<std::string, catalog_pb::Upstream> desired_;
  std::set<std::string> ending_;
  std::vector<std::string> ended_;
  Event hold_;
  std::set<std::string> seen_;  // while a full listing is being received
  bool listing_ = false;
  bool informed_ = false;
  bool handing_over_ = false;
  std::chrono::steady_clock::time_point beat_;  // the last sign of our own life
  bool doubtful_ = false;
  std::set<std::string> dirty_;
  Event report_;
  bool stopping_ = false;
  bool flushed_ = false;
  Broadcast flush_;
};

}  // namespace metamcp::connector
