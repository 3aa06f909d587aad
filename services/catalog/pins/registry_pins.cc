// The half of Registry that keeps approved definitions.
#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "services/catalog/registry.h"

namespace metamcp::catalog {
namespace {

bool IsWatched(const Model::UpstreamSlot& upstream, const ItemEntry& entry) {
  return entry.item.kind() == pb::ITEM_KIND_TOOL && entry.invalid.empty() &&
         upstream.record->upstream.spec().service().empty();
}

StoredPin ToStored(const std::string& item_id, const Pin& pin) {
  StoredPin out;
  out.item_id = item_id;
  out.upstream_id = pin.approved->item.upstream_id();
  out.original_name = pin.approved->item.original_name();
  out.fingerprint = pin.approved->item.fingerprint();
  out.definition = pin.approved->item.definition();
  out.by = pin.by;
  out.at_us = pin.at_us;
  return out;
}

}  // namespace

void Registry::SetPinPolicy(PinPolicy policy) {
  if (policy == model_.pin_policy()) return;
  model_.SetPinPolicy(policy);
  std::vector<std::string> names;
  for (const auto& [name, slot] : model_.upstreams()) names.push_back(name);
  for (const std::string& name : names) PinFirstSights(name);
  Changed();
}

void Registry::PinFirstSights(const std::string& upstream) {
  const PinPolicy& policy = model_.pin_policy();
  if (policy.mode == PinMode::kOff || policy.quarantine_new) return;
  const Model::UpstreamSlot* slot = model_.FindUpstream(upstream);
  if (slot == nullptr) return;
  std::vector<ItemPtr> fresh;
  for (const auto& [key, item] : slot->items) {
    const ItemEntry& entry = *item.entry;
    if (!IsWatched(*slot, entry) || model_.FindPin(entry.item.id()) != nullptr) continue;
    fresh.push_back(item.entry);
  }
  for (const ItemPtr& entry : fresh) {
    auto pin = std::make_shared<Pin>();
    pin->approved = entry;
    pin->by = std::string(kFirstSight);
    pin->at_us = Now();
    pending_pins_.insert(entry->item.id());
    model_.PutPin(entry->item.id(), std::move(pin), kPending);
  }
}

// Says what changed, once: when it is reported.
void Registry::WarnOfChange(const std::string& upstream, const ItemEntry& entry) const {
  const Model::UpstreamSlot* slot = model_.FindUpstream(upstream);
  const PinPtr pin = model_.FindPin(entry.item.id());
  if (slot == nullptr || pin == nullptr || !IsWatched(*slot, entry)) return;
  if (model_.pin_policy().mode == PinMode::kOff) return;
  if (pin->approved->item.fingerprint() == entry.item.fingerprint()) return;
  const auto members = ChangedMembers(pin->approved->item.definition(), entry.item.definition());
  Log(LogLevel::kWarning, "pin.changed",
      {{"upstream", upstream},
       {"item", entry.item.original_name()},
       {"changed", absl::StrJoin(members, ", ")},
       {"quarantined", model_.pin_policy().mode == PinMode::kQuarantine},
       {"mend",
        StrCat("meta-mcp tool diff ", QualifiedName(upstream, entry.item.original_name()))}});
}

void Registry::InstallPins(std::vector<StoredPin> stored, int64_t revision) {
  std::set<std::string> ids;
  for (StoredPin& from : stored) {
    ids.insert(from.item_id);
    if (pending_pins_.count(from.item_id) > 0) continue;
    const PinPtr held = model_.FindPin(from.item_id);
    if (held != nullptr && held->at_us == from.at_us &&
        held->approved->item.fingerprint() == from.fingerprint) {
      continue;
    }
    const Model::UpstreamSlot* slot = model_.FindUpstream(from.upstream_id);
    if (slot == nullptr) continue;
    auto pin = std::make_shared<Pin>();
    const auto item = slot->items.find(Model::ItemKey(pb::ITEM_KIND_TOOL, from.original_name));
    if (item != slot->items.end() && item->second.entry->item.fingerprint() == from.fingerprint) {
      pin->approved = item->second.entry;
    } else {
      pin->approved = AnalyzeItem(from.upstream_id, slot->name(), pb::ITEM_KIND_TOOL,
                                  from.original_name, from.definition)
                          .entry;
    }
    pin->by = std::move(from.by);
    pin->at_us = from.at_us;
    model_.PutPin(from.item_id, std::move(pin), revision);
  }
  std::vector<std::string> gone;
  for (const auto& [id, pin] : model_.pins()) {
    if (ids.count(id) == 0 && pending_pins_.count(id) == 0) gone.push_back(id);
  }
  for (const std::string& id : gone) model_.RemovePin(id);
}

void Registry::TakePendingPins(ChangeSet* changes) {
  for (const std::string& id : pending_pins_) {
    if (const PinPtr pin = model_.FindPin(id)) changes->put_pins.push_back(ToStored(id, *pin));
  }
  pending_pins_.clear();
}

absl::StatusOr<std::vector<ItemPtr>> Registry::FindPinned(const ApproveOptions& wanted) const {
  std::vector<ItemPtr> out;
  std::set<std::string> missing(wanted.names.begin(), wanted.names.end());
  for (const auto& [name, slot] : model_.upstreams()) {
    for (const auto& [key, item] : slot.items) {
      const ItemEntry& entry = *item.entry;
      if (!IsWatched(slot, entry)) continue;
      const std::string qualified = QualifiedName(name, entry.item.original_name());
      if (wanted.all || missing.erase(qualified) > 0) out.push_back(item.entry);
    }
  }
  if (!missing.empty()) {
    return MakeError("NOT_FOUND", "catalog", StrCat("there is no tool '", *missing.begin(), "'"));
  }
  if (wanted.fingerprint.empty()) return out;
  if (out.size() != 1) {
    return MakeError("ARGUMENT_INVALID", "catalog", "a fingerprint goes with one name");
  }
  if (out[0]->item.fingerprint() == wanted.fingerprint) return out;
  return MakeError("ETAG_MISMATCH", "catalog",
                   StrCat("the definition of '", wanted.names[0], "' has changed meanwhile"));
}

Awaitable<absl::StatusOr<std::vector<std::string>>> Registry::ApprovePins(ApproveOptions wanted,
                                                                          Actor actor) {
  auto guard = co_await write_lock_.Lock();
  METAMCP_CO_RETURN_IF_ERROR(co_await Settle());
  METAMCP_CO_ASSIGN_OR_RETURN(const std::vector<ItemPtr> items, FindPinned(wanted));
  std::vector<std::string> names;
  std::vector<std::pair<std::string, PinPtr>> pins;
  ChangeSet changes;
  for (const ItemPtr& entry : items) {
    const std::string& id = entry->item.id();
    const PinPtr held = model_.FindPin(id);
    const bool same =
        held != nullptr && held->approved->item.fingerprint() == entry->item.fingerprint();
    if (same) continue;
    auto pin = std::make_shared<Pin>();
    pin->approved = entry;
    pin->by = actor;
    pin->at_us = Now();
    changes.put_pins.push_back(ToStored(id, *pin));
    names.push_back(QualifiedName(model_.FindUpstream(entry->item.upstream_id())->name(),
                                  entry->item.original_name()));
    pins.emplace_back(id, std::move(pin));
  }
  if (pins.empty()) co_return names;
  METAMCP_CO_ASSIGN_OR_RETURN(const int64_t revision, co_await Commit(std::move(changes)));
  for (auto& [id, pin] : pins) {
    pending_pins_.erase(id);
    model_.PutPin(id, std::move(pin), revision);
  }
  Log(LogLevel::kInfo, "pin.approved", {{"tools", absl::StrJoin(names, ", ")}, {"by", actor}});
  Changed();
  co_return names;
}

std::vector<PinnedItem> Registry::ListPins() const {
  std::vector<PinnedItem> out;
  if (model_.pin_policy().mode == PinMode::kOff) return out;
  for (const auto& [name, slot] : model_.upstreams()) {
    for (const auto& [key, item] : slot.items) {
      if (!IsWatched(slot, *item.entry)) continue;
      PinnedItem pinned;
      pinned.name = QualifiedName(name, item.entry->item.original_name());
      pinned.upstream = name;
      pinned.now = item.entry;
      pinned.pin = model_.FindPin(item.entry->item.id());
      pinned.shown = model_.Shown(slot, item);
      out.push_back(std::move(pinned));
    }
  }
  std::sort(out.begin(), out.end(),
            [](const PinnedItem& a, const PinnedItem& b) { return a.name < b.name; });
  return out;
}

}  // namespace metamcp::catalog
