// Taking what providers report.
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "services/catalog/compat.h"
#include "services/catalog/convert.h"
#include "services/catalog/registry.h"

namespace metamcp::catalog {
namespace {

// How long a report waits to hear what others have stored.
constexpr std::chrono::milliseconds kLook{200};

// Bytes of definitions that are parsed before other coroutines get their turn: well under 1 ms.
constexpr size_t kWorkBytesMax = 32 << 10;
constexpr size_t kDefinitionCost = 512;  // of a small definition beside its bytes

absl::Status UpstreamGone(const std::string& id) {
  return MakeError("NOT_FOUND", "catalog", StrCat("there is no server with the id '", id, "'"));
}

bool SameDefinition(const ItemEntry& old, const pb::Item& now) {
  if (old.invalid.empty() != now.problem().empty()) return false;
  if (old.invalid.empty()) return old.item.definition() == now.definition();
  return old.item.fingerprint() == Sha256Hex(now.definition());
}

constexpr size_t kStatusTextMax = 4 << 10;
constexpr size_t kInstructionsMax = 64 << 10;
constexpr size_t kStatusJsonMax = 256 << 10;

// What comes from an upstream's own words must not stop the store.
void MakeStorable(pb::UpstreamStatus* status) {
  status->set_state(StorableText(status->state(), kStatusTextMax));
  status->set_detail(StorableText(status->detail(), kStatusTextMax));
  status->set_era(StorableText(status->era(), kStatusTextMax));
  status->set_protocol_version(StorableText(status->protocol_version(), kStatusTextMax));
  status->set_provider(StorableText(status->provider(), kStatusTextMax));
  status->set_instructions(StorableText(status->instructions(), kInstructionsMax));
  if (status->server_info().size() > kStatusJsonMax) status->clear_server_info();
  if (status->capabilities().size() > kStatusJsonMax) status->clear_capabilities();
}

// An item that comes back is not a new one: its versions and first sight go on.
void GoOn(const GoneItem* before, pb::Item* item) {
  if (before == nullptr) return;
  const bool same = before->fingerprint == item->fingerprint();
  item->set_version(before->version + (same ? 0 : 1));
  item->set_first_seen_us(before->first_seen_us);
}

void SetCounts(const Model::UpstreamSlot& slot, pb::UpstreamStatus* status) {
  int counts[kKinds] = {};
  for (const auto& [key, item] : slot.items) ++counts[key.first];
  status->set_tools(counts[pb::ITEM_KIND_TOOL]);
  status->set_resources(counts[pb::ITEM_KIND_RESOURCE]);
  status->set_templates(counts[pb::ITEM_KIND_TEMPLATE]);
  status->set_prompts(counts[pb::ITEM_KIND_PROMPT]);
}

}  // namespace

// Returns the new entry of an item that is new or changed.
std::optional<AnalyzedItem> Registry::PlanItem(const Model::UpstreamSlot& slot, pb::ItemKind kind,
                                               const pb::Item& item, const std::string& name,
                                               size_t* work) const {
  const auto found = slot.items.find(Model::ItemKey(kind, name));
  const ItemEntry* old = found == slot.items.end() ? nullptr : found->second.entry.get();
  *work += kDefinitionCost / 8;
  if (old != nullptr && SameDefinition(*old, item)) return std::nullopt;
  *work += item.definition().size() + kDefinitionCost;
  AnalyzedItem now = AnalyzeItem(slot.id(), slot.name(), kind, item.original_name(),
                                 item.definition(), item.problem());
  ItemEntry& entry = *now.entry;
  entry.item.set_version(1);
  entry.item.set_first_seen_us(Now());
  if (old == nullptr) {
    GoOn(model_.FindGone(entry.item.id()), &entry.item);
    return now;
  }
  if (old->item.fingerprint() == entry.item.fingerprint() && old->invalid == entry.invalid) {
    return std::nullopt;  // only white space or the order of members differs
  }
  entry.item.set_version(old->item.version() + 1);
  entry.item.set_first_seen_us(old->item.first_seen_us());
  if (!old->invalid.empty() || !entry.invalid.empty()) return now;
  const std::string breaking =
      FindBreakingChange(kind, old->item.definition(), entry.item.definition());
  entry.item.set_breaking_change(!breaking.empty());
  if (!breaking.empty()) {
    Log(LogLevel::kWarning, "item.breaking_change",
        {{"upstream", slot.name()},
         {"item", entry.item.original_name()},
         {"version", entry.item.version()},
         {"detail", breaking}});
  }
  return now;
}

// Works out the changes, giving way to other coroutines; the model may change meanwhile, so the
// upstream is looked up again after each pause. Reports do not overlap (report_lock_).
Awaitable<absl::StatusOr<Registry::ReportPlan>> Registry::PlanReport(
    const pb::ReportRequest& request) {
  ReportPlan plan;
  size_t work = 0;
  for (const pb::ItemList& list : request.lists()) {
    const pb::ItemKind kind = list.kind();
    if (kind <= pb::ITEM_KIND_UNSPECIFIED || kind >= kKinds) {
      co_return MakeError("ARGUMENT_INVALID", "catalog", "lists.kind is not a known kind of item");
    }
    auto& kept = plan.kept[kind];
    size_t left_out = 0;
    for (const pb::Item& item : list.items()) {
      const Model::UpstreamSlot* slot = model_.FindUpstream(request.upstream_id());
      if (slot == nullptr) co_return UpstreamGone(request.upstream_id());
      const std::string name = StorableName(item.original_name());
      if (kept.size() >= kItemsPerListMax || !kept.insert(name).second) {
        ++left_out;  // too many, or named twice: the first one counts
        continue;
      }
      auto changed = PlanItem(*slot, kind, item, name, &work);
      if (changed) plan.changed.push_back(*std::move(changed));
      if (work < kWorkBytesMax) continue;
      work = 0;
      co_await boost::asio::post(executor_, boost::asio::use_awaitable);
    }
    if (left_out > 0) {
      Log(LogLevel::kWarning, "report.items_left_out",
          {{"upstream_id", request.upstream_id()},
           {"kind", KindName(kind)},
           {"count", left_out},
           {"why", "named twice, or beyond the limit of one list"}});
    }
  }
  co_return plan;
}

// Returns whether anything changed.
bool Registry::ApplyItems(const std::string& upstream, ReportPlan plan) {
  bool changed = !plan.changed.empty();
  for (AnalyzedItem& item : plan.changed) {
    WarnOfChange(upstream, *item.entry);
    pending_items_[item.entry->item.id()] = item.entry;
    model_.PutItem(upstream, std::move(item.entry), item.doc, kPending);
  }
  PinFirstSights(upstream);
  std::vector<std::pair<int, std::string>> gone;
  for (const auto& [key, item] : model_.FindUpstream(upstream)->items) {
    const auto kept = plan.kept.find(static_cast<pb::ItemKind>(key.first));
    if (kept == plan.kept.end()) continue;
    const std::string name(key.second);
    if (kept->second.count(name) == 0) gone.emplace_back(key.first, name);
  }
  for (const auto& [kind, name] : gone) {
    const Model::ItemKey key(kind, name);
    pending_items_[model_.FindUpstream(upstream)->items.at(key).entry->item.id()] = nullptr;
    model_.RemoveItem(upstream, key, kPending);
    changed = true;
  }
  return changed;
}

void Registry::ApplyReport(const pb::ReportRequest& request, ReportPlan plan) {
  const Model::UpstreamSlot& slot = *model_.FindUpstream(request.upstream_id());
  const std::string name = slot.name();
  bool changed = ApplyItems(name, std::move(plan));
  auto record = std::make_shared<UpstreamRecord>(*slot.record);
  for (const pb::ItemList& list : request.lists()) {
    record->lists[list.kind()].seen_us = Now();
    record->lists[list.kind()].ttl_ms = list.ttl_ms();
  }
  if (request.has_status()) {
    *record->upstream.mutable_status() = request.status();
    MakeStorable(record->upstream.mutable_status());
  }
  if (record->Reported()) SetCounts(slot, record->upstream.mutable_status());
  const bool first = record->Reported() != slot.record->Reported();
  changed = changed || first ||
            DeterministicBytes(record->upstream.status()) !=
                DeterministicBytes(slot.record->upstream.status());
  if (!changed) {
    // Only when it was seen: stored with the next change.
    model_.PutQuietly(std::move(record));
    return;
  }
  model_.PutUpstream(std::move(record), kPending);
  pending_upstreams_.insert(name);
  Changed();
}

Awaitable<absl::StatusOr<int64_t>> Registry::Report(pb::ReportRequest request) {
  auto guard = co_await report_lock_.Lock();
  if (options_.follow.count() > 0) {
    // Another process may have taken the report before this one: what is here may be older than it,
    // and equal to what is reported now. A store that does not answer at once holds nobody up.
    auto looking = persistence_.Head();
    auto bounded = RunUntil(std::chrono::steady_clock::now() + kLook, std::move(looking));
    const auto head = co_await std::move(bounded);
    if (head.ok() && *head != stored_head_) {
      const auto writing = co_await write_lock_.Lock();
      auto settling = Settle();
      const absl::Status settled = co_await std::move(settling);
      settled.IgnoreError();
    }
  }
  if (model_.FindUpstream(request.upstream_id()) == nullptr) {
    co_return UpstreamGone(request.upstream_id());
  }
  METAMCP_CO_ASSIGN_OR_RETURN(ReportPlan plan, co_await PlanReport(request));
  if (model_.FindUpstream(request.upstream_id()) == nullptr) {
    co_return UpstreamGone(request.upstream_id());
  }
  ApplyReport(request, std::move(plan));
  co_return model_.head();
}

}  // namespace metamcp::catalog
