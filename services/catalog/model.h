#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "services/catalog/exposure.h"
#include "services/catalog/item.h"
#include "services/catalog/pins/pin.h"
#include "services/catalog/search_index.h"

namespace metamcp::catalog {

// What is known of one list of an upstream beside its items.
struct ListState {
  int64_t seen_us = 0;  // last report; 0: never
  int64_t ttl_ms = 0;   // how long the upstream says it stays fresh; 0: unknown
};

// One upstream with everything that is stored of it but its items. Immutable.
struct UpstreamRecord {
  pb::Upstream upstream;
  // What the configuration file said last, so that a reload keeps the operator's later wish.
  bool config_enabled = true;
  std::array<ListState, kKinds> lists;

  bool Reported() const;
};
using UpstreamPtr = std::shared_ptr<const UpstreamRecord>;

struct VirtualServerRecord {
  pb::VirtualServer server;
  bool config_enabled = true;
};
using VirtualServerPtr = std::shared_ptr<const VirtualServerRecord>;

// Type of the upstreams that stand for our own services.
inline constexpr std::string_view kServiceType = "service";

// Upstreams that carry the same tag beginning with "equivalent:" are endpoints of one thing: calls
// are shared among them.
bool SharesEquivalentTag(const pb::Upstream& a, const pb::Upstream& b);

enum class ObjectType { kUpstream = 1, kItem = 2, kView = 3 };

// What an item was when it vanished, so that its versions go on when it comes back.
struct GoneItem {
  int64_t version = 0;  // 0: not kept
  int64_t first_seen_us = 0;
  std::string fingerprint;
};

// Something that was removed, remembered so that a watcher can resume.
struct Tombstone {
  Tombstone() = default;
  Tombstone(int64_t revision_in, ObjectType type_in, std::string key_in,
            GoneItem item_in = GoneItem())
      : revision(revision_in), type(type_in), key(std::move(key_in)), item(std::move(item_in)) {}

  int64_t revision = 0;
  ObjectType type = ObjectType::kItem;
  std::string key;  // upstream id, item id, view name
  GoneItem item;
};

// Revision of a change that is in memory but not stored yet: newer than every stored one.
inline constexpr int64_t kPending = std::numeric_limits<int64_t>::max();
inline constexpr size_t kTombstonesMax = 20'000;

// Name of the virtual server that /mcp serves; implicit (every upstream, prefixed) until somebody
// defines one of that name.
inline constexpr std::string_view kDefaultView = "default";

// The whole catalog of one tenant in memory: what is served from. Pure data structure without
// waiting, storage or clocks; every change it is given is already valid. Each object carries the
// revision of its last change. Views are recomputed on demand, only for upstreams that changed.
// Thread: one.
class Model {
 public:
  using ItemKey = std::pair<int, std::string_view>;  // kind, original name (in the entry)
  struct ItemSlot {
    ItemPtr entry;
    int64_t revision = 0;
    SearchIndex::DocId doc = 0;
    bool indexed = false;
  };
  struct UpstreamSlot {
    UpstreamPtr record;
    int64_t revision = 0;
    int64_t spec_revision = 0;  // last change of what a connector acts on
    std::map<ItemKey, ItemSlot> items;

    const std::string& id() const { return record->upstream.meta().id(); }
    const std::string& name() const { return record->upstream.meta().name(); }
  };
  struct ServerSlot {
    VirtualServerPtr record;
    int64_t revision = 0;
  };

  Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // --- Reading ---
  int64_t head() const { return head_; }
  // Watchers that hold an older revision cannot resume.
  int64_t floor() const { return floor_; }
  const std::string& separator() const { return separator_; }
  const std::map<std::string, UpstreamSlot, std::less<>>& upstreams() const { return upstreams_; }
  const std::map<std::string, ServerSlot, std::less<>>& servers() const { return servers_; }
  const SearchIndex& index() const { return index_; }
  const std::deque<Tombstone>& tombstones() const { return tombstones_; }
  const PinPolicy& pin_policy() const { return pin_policy_; }
  // Null where no definition of this item was approved.
  PinPtr FindPin(const std::string& item_id) const;
  const std::unordered_map<std::string, PinPtr>& pins() const { return pins_; }
  // What clients see of one item of `upstream`.
  ShownItem Shown(const UpstreamSlot& upstream, const ItemSlot& item) const;
  // What a vanished item was; null if nothing is remembered of it.
  const GoneItem* FindGone(const std::string& item_id) const;
  // By name or id; null if there is none.
  const UpstreamSlot* FindUpstream(std::string_view name_or_id) const;
  const VirtualServerPtr* FindServer(std::string_view name_or_id) const;
  // The record of the implicit default virtual server.
  static const VirtualServerPtr& ImplicitDefault();
  size_t ItemCount() const;

  // Brings views up to date and returns one, null if there is none.
  ViewPtr FindView(std::string_view name);
  // Calls `fn` for every view (brought up to date) with its revision, ordered by name.
  void ForEachView(const std::function<void(const ViewPtr&, int64_t revision)>& fn);

  // --- Changing; `revision` is the stored one or kPending ---
  void PutUpstream(UpstreamPtr record, int64_t revision);
  void RemoveUpstream(std::string_view name, int64_t revision);
  // `entry` belongs to a known upstream. `words` goes to the search index.
  void PutItem(std::string_view upstream, ItemPtr entry, const SearchDoc& words, int64_t revision);
  void RemoveItem(std::string_view upstream, ItemKey key, int64_t revision);
  void PutServer(VirtualServerPtr record, int64_t revision);
  void RemoveServer(std::string_view name, int64_t revision);
  // Everything that it shows otherwise becomes pending.
  void SetPinPolicy(PinPolicy policy);
  void PutPin(const std::string& item_id, PinPtr pin, int64_t revision);
  void RemovePin(const std::string& item_id);
  void SetSeparator(std::string separator);
  void SetHead(int64_t revision) { head_ = revision; }
  void SetFloor(int64_t revision) { floor_ = revision; }
  void AddTombstone(Tombstone tombstone);
  // Replaces the record of a known upstream by one that differs only in what watchers never see
  // (when its lists were last reported).
  void PutQuietly(UpstreamPtr record);
  // Gives everything that is pending the stored `revision`.
  void Stamp(int64_t revision);

 private:
  struct ViewSlot {
    std::shared_ptr<const ViewSpec> spec;
    std::map<std::string, ContributionPtr, std::less<>> contributions;
    std::set<std::string, std::less<>> dirty;  // names of upstreams
    ViewPtr view;
    int64_t revision = kPending;
  };
  void MarkDirty(std::string_view upstream);
  void RefreshViews();
  void RefreshView(ViewSlot& slot);
  void ResetView(std::string_view name);
  Offer MakeOffer(const UpstreamSlot& upstream) const;
  std::vector<const UpstreamSlot*> RouteTargets(const UpstreamSlot& upstream,
                                                size_t* equivalents) const;

  std::map<std::string, UpstreamSlot, std::less<>> upstreams_;   // by name
  std::unordered_map<std::string, std::string> upstream_names_;  // by id
  std::map<std::string, ServerSlot, std::less<>> servers_;       // by name
  std::map<std::string, ViewSlot, std::less<>> views_;           // by name
  SearchIndex index_;
  std::deque<Tombstone> tombstones_;
  struct Remembered {
    GoneItem item;
    uint64_t serial = 0;  // of the newest tombstone of the item
  };
  std::unordered_map<std::string, Remembered> gone_;  // by item id
  uint64_t added_ = 0;                                // tombstones so far
  PinPolicy pin_policy_;
  std::unordered_map<std::string, PinPtr> pins_;  // by item id
  std::string separator_ = "__";
  int64_t head_ = 0;
  int64_t floor_ = 0;
  std::set<std::string, std::less<>> touched_;  // upstreams whose items changed
  bool views_dirty_ = false;
};

}  // namespace metamcp::catalog
