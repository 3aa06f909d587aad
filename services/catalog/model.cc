#include "services/catalog/model.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "services/catalog/convert.h"

namespace metamcp::catalog {
namespace {

bool HasFallback(const pb::Upstream& upstream, std::string_view name) {
  const auto& names = upstream.spec().fallbacks();
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Whether views or connectors see a difference.
bool SpecDiffers(const UpstreamRecord& a, const UpstreamRecord& b) {
  return a.upstream.enabled() != b.upstream.enabled() ||
         DeterministicBytes(a.upstream.spec()) != DeterministicBytes(b.upstream.spec()) ||
         DeterministicBytes(a.upstream.meta()) != DeterministicBytes(b.upstream.meta());
}

}  // namespace

bool UpstreamRecord::Reported() const {
  return std::any_of(lists.begin(), lists.end(), [](const ListState& l) { return l.seen_us > 0; });
}

Model::Model() { ResetView(kDefaultView); }

const VirtualServerPtr& Model::ImplicitDefault() {
  static const VirtualServerPtr kRecord = [] {
    auto record = std::make_shared<VirtualServerRecord>();
    record->server.mutable_meta()->set_name(std::string(kDefaultView));
    record->server.mutable_meta()->set_display_name(std::string(kDefaultView));
    record->server.mutable_meta()->set_origin("builtin");
    record->server.set_enabled(true);
    return record;
  }();
  return kRecord;
}

const Model::UpstreamSlot* Model::FindUpstream(std::string_view name_or_id) const {
  auto it = upstreams_.find(name_or_id);
  if (it != upstreams_.end()) return &it->second;
  const auto by_id = upstream_names_.find(std::string(name_or_id));
  if (by_id == upstream_names_.end()) return nullptr;
  it = upstreams_.find(by_id->second);
  return it == upstreams_.end() ? nullptr : &it->second;
}

const VirtualServerPtr* Model::FindServer(std::string_view name_or_id) const {
  const auto it = servers_.find(name_or_id);
  if (it != servers_.end()) return &it->second.record;
  for (const auto& [name, slot] : servers_) {
    if (slot.record->server.meta().id() == name_or_id) return &slot.record;
  }
  return name_or_id == kDefaultView ? &ImplicitDefault() : nullptr;
}

size_t Model::ItemCount() const {
  size_t count = 0;
  for (const auto& [name, slot] : upstreams_) count += slot.items.size();
  return count;
}

void Model::MarkDirty(std::string_view upstream) {
  views_dirty_ = true;
  std::vector<std::string_view> affected = {upstream};
  const auto self = upstreams_.find(upstream);
  for (const auto& [name, slot] : upstreams_) {
    const pb::Upstream& other = slot.record->upstream;
    const bool equivalent =
        self != upstreams_.end() && SharesEquivalentTag(self->second.record->upstream, other);
    if (name != upstream && (equivalent || HasFallback(other, upstream))) affected.push_back(name);
  }
  for (auto& [name, view] : views_) {
    for (const std::string_view slug : affected) view.dirty.emplace(slug);
  }
}

void Model::PutUpstream(UpstreamPtr record, int64_t revision) {
  const std::string& name = record->upstream.meta().name();
  const auto it = upstreams_.find(name);
  if (it == upstreams_.end()) {
    upstream_names_[record->upstream.meta().id()] = name;
    UpstreamSlot& slot = upstreams_[name];
    slot.record = std::move(record);
    slot.revision = slot.spec_revision = revision;
    MarkDirty(slot.name());
    return;
  }
  UpstreamSlot& slot = it->second;
  const bool differs = SpecDiffers(*slot.record, *record);
  if (differs) MarkDirty(name);  // under the old tags
  slot.record = std::move(record);
  slot.revision = revision;
  if (!differs) return;
  slot.spec_revision = revision;
  MarkDirty(slot.name());
}

void Model::PutQuietly(UpstreamPtr record) {
  const auto it = upstreams_.find(record->upstream.meta().name());
  METAMCP_CHECK(it != upstreams_.end());
  it->second.record = std::move(record);
}

void Model::RemoveUpstream(std::string_view name, int64_t revision) {
  const auto it = upstreams_.find(name);
  if (it == upstreams_.end()) return;
  const std::string slug = it->first;
  MarkDirty(slug);
  while (!it->second.items.empty()) {
    RemoveItem(slug, it->second.items.begin()->first, revision);
  }
  AddTombstone({revision, ObjectType::kUpstream, it->second.id()});
  std::erase_if(pins_, [&id = it->second.id()](const auto& each) {
    return each.second->approved->item.upstream_id() == id;
  });
  upstream_names_.erase(it->second.id());
  upstreams_.erase(it);
}

void Model::PutItem(std::string_view upstream, ItemPtr entry, const SearchDoc& words,
                    int64_t revision) {
  const auto it = upstreams_.find(upstream);
  METAMCP_CHECK(it != upstreams_.end());
  auto& items = it->second.items;
  const ItemKey key(entry->item.kind(), entry->item.original_name());
  // The key looks into the entry, so a new entry needs a new node.
  if (const auto old = items.find(key); old != items.end()) {
    if (old->second.indexed) index_.Remove(old->second.doc);
    items.erase(old);
  }
  ItemSlot slot;
  slot.entry = std::move(entry);
  slot.revision = revision;
  if (slot.entry->invalid.empty()) {
    slot.doc = index_.Add(slot.entry, words);
    slot.indexed = true;
  }
  items.emplace(key, std::move(slot));
  touched_.insert(it->first);
}

void Model::RemoveItem(std::string_view upstream, ItemKey key, int64_t revision) {
  const auto it = upstreams_.find(upstream);
  if (it == upstreams_.end()) return;
  const auto item = it->second.items.find(key);
  if (item == it->second.items.end()) return;
  if (item->second.indexed) index_.Remove(item->second.doc);
  const pb::Item& old = item->second.entry->item;
  Tombstone tombstone{revision, ObjectType::kItem, old.id()};
  tombstone.item.version = old.version();
  tombstone.item.first_seen_us = old.first_seen_us();
  tombstone.item.fingerprint = old.fingerprint();
  AddTombstone(std::move(tombstone));
  it->second.items.erase(item);
  touched_.insert(it->first);
}

void Model::PutServer(VirtualServerPtr record, int64_t revision) {
  const std::string name = record->server.meta().name();
  ServerSlot& slot = servers_[name];
  slot.record = std::move(record);
  slot.revision = revision;
  ResetView(name);
}

void Model::RemoveServer(std::string_view name, int64_t revision) {
  const auto it = servers_.find(name);
  if (it == servers_.end()) return;
  const std::string key = it->first;
  servers_.erase(it);
  if (key == kDefaultView) {
    ResetView(key);
    return;
  }
  views_.erase(key);
  AddTombstone({revision, ObjectType::kView, key});
}

void Model::SetSeparator(std::string separator) {
  if (separator == separator_) return;
  separator_ = std::move(separator);
  std::vector<std::string> names;
  for (const auto& [name, slot] : views_) names.push_back(name);
  for (const std::string& name : names) ResetView(name);
}

const GoneItem* Model::FindGone(const std::string& item_id) const {
  const auto it = gone_.find(item_id);
  return it == gone_.end() ? nullptr : &it->second.item;
}

PinPtr Model::FindPin(const std::string& item_id) const {
  const auto it = pins_.find(item_id);
  return it == pins_.end() ? nullptr : it->second;
}

ShownItem Model::Shown(const UpstreamSlot& upstream, const ItemSlot& item) const {
  // What our own services offer changes with what their users make.
  const bool own = !upstream.record->upstream.spec().service().empty();
  if (own || pin_policy_.mode == PinMode::kOff) return {item.entry, PinState::kNone, false};
  return ShowItem(item.entry, FindPin(item.entry->item.id()), pin_policy_);
}

void Model::SetPinPolicy(PinPolicy policy) {
  const PinPolicy before = std::exchange(pin_policy_, policy);
  for (auto& [name, slot] : upstreams_) {
    for (auto& [key, item] : slot.items) {
      const ShownItem now = Shown(slot, item);
      pin_policy_ = before;
      const ShownItem was = Shown(slot, item);
      pin_policy_ = policy;
      if (now.item == was.item && now.quarantined == was.quarantined) continue;
      item.revision = kPending;
      touched_.insert(name);
    }
  }
}

void Model::PutPin(const std::string& item_id, PinPtr pin, int64_t revision) {
  const std::string upstream_id = pin->approved->item.upstream_id();
  const ItemKey key(pin->approved->item.kind(), pin->approved->item.original_name());
  pins_[item_id] = pin;
  const auto name = upstream_names_.find(upstream_id);
  if (name == upstream_names_.end()) return;
  UpstreamSlot& slot = upstreams_.at(name->second);
  const auto item = slot.items.find(key);
  if (item == slot.items.end()) return;
  item->second.revision = revision;
  touched_.insert(name->second);
}

void Model::RemovePin(const std::string& item_id) { pins_.erase(item_id); }

void Model::AddTombstone(Tombstone tombstone) {
  ++added_;
  if (tombstone.item.version > 0) gone_[tombstone.key] = {tombstone.item, added_};
  tombstones_.push_back(std::move(tombstone));
  while (tombstones_.size() > kTombstonesMax) {
    const auto remembered = gone_.find(tombstones_.front().key);
    const uint64_t serial = added_ - tombstones_.size() + 1;
    if (remembered != gone_.end() && remembered->second.serial == serial) gone_.erase(remembered);
    const int64_t gone = tombstones_.front().revision;
    floor_ = std::max(floor_, gone == kPending ? head_ : gone);
    tombstones_.pop_front();
  }
}

void Model::Stamp(int64_t revision) {
  const auto stamp = [revision](int64_t& r) {
    if (r == kPending) r = revision;
  };
  for (auto& [name, slot] : upstreams_) {
    stamp(slot.revision);
    stamp(slot.spec_revision);
    for (auto& [key, item] : slot.items) stamp(item.revision);
  }
  for (auto& [name, slot] : servers_) stamp(slot.revision);
  RefreshViews();
  for (auto& [name, slot] : views_) stamp(slot.revision);
  for (Tombstone& tombstone : tombstones_) stamp(tombstone.revision);
  head_ = std::max(head_, revision);
}

}  // namespace metamcp::catalog
