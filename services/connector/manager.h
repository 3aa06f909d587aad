#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "metamcp/catalog/v1/catalog_service.metamcp.h"
#include "services/connector/upstream.h"

namespace metamcp::connector {

// The registry of upstream actors: follows the catalog's desired upstreams, starts and ends actors,
// and reports what they see, coalesced. All actors start at once; none waits for another.
// Single-threaded. Await Stop before destroying it.
class Manager {
 public:
  // Both must outlive the manager.
  Manager(Core& core, metamcp::catalog::v1::CatalogService& catalog);
  ~Manager();

  void Start();
  Awaitable<void> Stop();

  // By id; nullptr if there is none.
  std::shared_ptr<Upstream> Find(const std::string& id) const;
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
  void Apply(catalog_pb::WatchUpstreamsResponse change);
  void Remove(const std::string& id);
  void Changed(const std::string& id);

  Core& core_;
  metamcp::catalog::v1::CatalogService& catalog_;
  absl::flat_hash_map<std::string, std::shared_ptr<Upstream>> upstreams_;  // by id
  std::set<std::string> seen_;  // while a full listing is being received
  bool listing_ = false;
  std::set<std::string> dirty_;
  Event report_;
  bool stopping_ = false;
  bool flushed_ = false;
  Broadcast flush_;
};

}  // namespace metamcp::connector
