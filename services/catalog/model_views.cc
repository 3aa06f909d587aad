// The half of Model that keeps views up to date.
#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "services/catalog/model.h"

namespace metamcp::catalog {
namespace {

constexpr std::string_view kEquivalentTag = "equivalent:";

// Whether a call on `a` may be answered by `b`, which has the same kind and original name.
bool Interchangeable(const ItemEntry& a, const ItemEntry& b) {
  if (!b.invalid.empty()) return false;
  if (a.item.kind() == pb::ITEM_KIND_TOOL) return a.facts.schema_hash == b.facts.schema_hash;
  if (a.item.kind() == pb::ITEM_KIND_PROMPT) {
    return a.item.fingerprint() == b.item.fingerprint();
  }
  return true;
}

}  // namespace

bool SharesEquivalentTag(const pb::Upstream& a, const pb::Upstream& b) {
  for (const std::string& tag : a.meta().tags()) {
    if (!tag.starts_with(kEquivalentTag)) continue;
    for (const std::string& other : b.meta().tags()) {
      if (tag == other) return true;
    }
  }
  return false;
}

ViewPtr Model::FindView(std::string_view name) {
  RefreshViews();
  const auto it = views_.find(name);
  return it == views_.end() ? nullptr : it->second.view;
}

void Model::ForEachView(const std::function<void(const ViewPtr&, int64_t)>& fn) {
  RefreshViews();
  for (const auto& [name, slot] : views_) fn(slot.view, slot.revision);
}

// Starts the view of one virtual server over. The spec was checked before it was stored; one that
// an older program stored and that is no longer valid yields an inactive view rather than none.
void Model::ResetView(std::string_view name) {
  const VirtualServerPtr& record = *FindServer(name);
  auto spec = ViewSpec::Create(name, record->server.enabled(), record->server.spec(), separator_);
  if (!spec.ok()) spec = ViewSpec::Create(name, false, pb::VirtualServerSpec(), separator_);
  METAMCP_CHECK(spec.ok());
  auto owned = std::make_shared<ViewSpec>(**spec);
  owned->owner = record->server.meta().owner();
  owned->team = record->server.meta().team();
  owned->visibility = record->server.meta().visibility();
  ViewSlot& slot = views_[std::string(name)];
  // Kept, so that an equal result is not a change.
  const ViewPtr before = slot.view;
  const int64_t revision = slot.revision;
  slot = ViewSlot();
  slot.spec = std::move(owned);
  slot.view = before;
  slot.revision = revision;  // kPending for a new one
  for (const auto& [upstream, unused] : upstreams_) slot.dirty.insert(upstream);
  slot.dirty.insert(std::string());  // an empty catalog still needs its view
  views_dirty_ = true;
}

void Model::RefreshViews() {
  const auto touched = std::exchange(touched_, {});
  for (const std::string& name : touched) MarkDirty(name);
  if (!std::exchange(views_dirty_, false)) return;
  for (auto& [name, slot] : views_) {
    if (!slot.dirty.empty()) RefreshView(slot);
  }
}

void Model::RefreshView(ViewSlot& slot) {
  for (const std::string& name : slot.dirty) {
    const auto upstream = upstreams_.find(name);
    if (upstream == upstreams_.end() || !slot.spec->HasServer(name)) {
      slot.contributions.erase(name);
    } else {
      slot.contributions[name] = BuildContribution(slot.spec, MakeOffer(upstream->second));
    }
  }
  slot.dirty.clear();
  std::vector<ContributionPtr> by_slug;
  by_slug.reserve(slot.contributions.size());
  for (const auto& [name, contribution] : slot.contributions) by_slug.push_back(contribution);
  auto view = std::make_shared<const View>(slot.spec, std::move(by_slug));
  const bool changed = slot.view == nullptr || slot.view->signature() != view->signature();
  slot.view = std::move(view);
  if (changed) slot.revision = kPending;
}

std::vector<const Model::UpstreamSlot*> Model::RouteTargets(const UpstreamSlot& upstream,
                                                            size_t* equivalents) const {
  std::vector<const UpstreamSlot*> targets;
  const pb::Upstream& own = upstream.record->upstream;
  const auto add = [&](const UpstreamSlot* slot) {
    const bool known = slot == nullptr || slot == &upstream ||
                       std::find(targets.begin(), targets.end(), slot) != targets.end();
    if (!known && slot->record->upstream.enabled()) targets.push_back(slot);
  };
  for (const auto& [name, slot] : upstreams_) {
    if (SharesEquivalentTag(own, slot.record->upstream)) add(&slot);
  }
  *equivalents = targets.size();
  for (const std::string& name : own.spec().fallbacks()) {
    const auto it = upstreams_.find(name);
    add(it == upstreams_.end() ? nullptr : &it->second);
  }
  return targets;
}

Offer Model::MakeOffer(const UpstreamSlot& upstream) const {
  Offer offer;
  const pb::Upstream& own = upstream.record->upstream;
  offer.upstream_id = own.meta().id();
  offer.slug = own.meta().name();
  offer.priority = own.spec().priority();
  offer.created_us = own.meta().created_us();
  offer.enabled = own.enabled();
  offer.items.reserve(upstream.items.size());
  size_t equivalents = 0;
  const auto targets = RouteTargets(upstream, &equivalents);
  for (const auto& [key, slot] : upstream.items) {
    OfferedItem item;
    const ShownItem shown = Shown(upstream, slot);
    item.item = shown.item;
    if (shown.quarantined) item.quarantine = PinStateName(shown.state);
    for (size_t i = 0; i < targets.size(); ++i) {
      const auto other = targets[i]->items.find(key);
      if (other == targets[i]->items.end()) continue;
      if (!Interchangeable(*slot.entry, *other->second.entry)) continue;
      if (Shown(*targets[i], other->second).quarantined) continue;
      pb::Route route;
      route.set_upstream_id(targets[i]->id());
      route.set_item_id(other->second.entry->item.id());
      route.set_original_name(other->second.entry->item.original_name());
      route.set_fallback(i >= equivalents);
      item.others.push_back(std::move(route));
    }
    offer.items.push_back(std::move(item));
  }
  return offer;
}

}  // namespace metamcp::catalog
