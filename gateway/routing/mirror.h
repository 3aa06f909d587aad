#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "gateway/routing/snapshot.h"
#include "metamcp/catalog/v1/catalog_service.pb.h"

namespace metamcp::gateway {

// Which lists of which virtual servers changed with a new snapshot.
struct SnapshotChange {
  std::string virtual_server;
  bool tools = false;
  bool resources = false;  // resources or templates
  bool prompts = false;
};

// What somebody says of an item's definition before clients see it.
struct Inspected {
  std::string blocked;  // why nobody is to see it; empty: everybody may
  std::string masked;   // what is to be shown in its place; empty: it as it is
};

// Follows WatchCatalog messages and makes an immutable snapshot of each complete batch. Views that
// did not change are shared with the snapshot before. Single-threaded.
class CatalogMirror {
 public:
  using Listener = std::function<void(const std::vector<SnapshotChange>&)>;

  CatalogMirror();
  // A new stream begins; what came of a batch that the one before did not finish comes again, as
  // long as the stream asks from resume_revision.
  void StartOver();
  // 0 (everything) where an unfinished batch has replaced what was held.
  int64_t resume_revision() const;
  // Takes one watch message; at the end of a batch swaps the snapshot and calls the listener.
  void Apply(const catalog::v1::WatchCatalogResponse& message);
  std::shared_ptr<const Snapshot> snapshot() const { return snapshot_; }
  // The first batch has arrived.
  bool ready() const { return ready_; }
  void SetListener(Listener listener) { listener_ = std::move(listener); }
  // Called once for each definition that is new or has changed. Names of items are not masked.
  using Inspector =
      std::function<Inspected(const std::string& qualified_name, const std::string& definition)>;
  void SetInspector(Inspector inspector) { inspector_ = std::move(inspector); }
  // Asks the inspector anew about everything.
  void InspectAgain();

 private:
  void Rebuild(int64_t revision);
  // Null where the item is not to be seen; `why` says so where that is the inspector's will.
  EntryPtr MakeEntry(const catalog::v1::ExposedItem& exposed, std::string* why) const;
  void ExposeUi(ServerView::Parts& parts) const;
  std::shared_ptr<const ServerView> MakeView(const catalog::v1::VirtualServerView& view) const;

  std::map<std::string, std::shared_ptr<const UpstreamInfo>> upstreams_;
  std::map<std::string, std::string> instructions_;  // by upstream id
  std::map<std::string, catalog::v1::Item> items_;
  std::map<std::string, catalog::v1::VirtualServerView> views_;
  std::set<std::string> dirty_views_;
  std::set<std::string> batch_views_;  // named in the batch so far
  std::set<std::string> dirty_upstreams_;
  std::set<std::string> dirty_items_;
  bool full_ = false;
  bool ready_ = false;
  std::shared_ptr<const Snapshot> snapshot_;
  Listener listener_;
  Inspector inspector_;
};

}  // namespace metamcp::gateway
