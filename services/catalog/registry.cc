#include "services/catalog/registry.h"

#include <algorithm>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "common/async/run.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::catalog {
namespace {

constexpr size_t kRequestsMax = 1000;

// Whether a failed write surely wrote nothing.
bool SurelyNotWritten(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kAborted:
      return true;
    default:
      return false;
  }
}

}  // namespace

bool ChangeSet::empty() const {
  return put_upstreams.empty() && remove_upstream_ids.empty() && put_items.empty() &&
         remove_item_ids.empty() && put_pins.empty() && put_servers.empty() &&
         remove_server_ids.empty() && !separator.has_value() && !request.has_value();
}

Registry::Registry(boost::asio::any_io_executor executor, Persistence& persistence,
                   RegistryOptions options)
    : executor_(executor),
      persistence_(persistence),
      options_(std::move(options)),
      write_lock_(executor),
      report_lock_(executor),
      work_signal_(executor),
      publication_(executor) {
  if (!options_.now_us) options_.now_us = NowMicros;
  model_.SetPinPolicy(options_.pins);
}

Awaitable<absl::Status> Registry::Load() {
  auto stored = co_await persistence_.Load();
  if (!stored.ok()) co_return stored.status();
  const bool first = !loaded_;
  Install(*std::move(stored));
  if (first) {
    std::vector<std::string> names;
    for (const auto& [name, slot] : model_.upstreams()) names.push_back(name);
    for (const std::string& name : names) PinFirstSights(name);
    if (!pending_pins_.empty()) Changed();
  }
  co_return absl::OkStatus();
}

// Brings the model to what is stored: at start, after a write in doubt, and where another process
// has written. What is pending here is newer than what is stored.
void Registry::Install(StoredCatalog stored) {
  model_.SetSeparator(stored.separator);
  InstallUpstreams(std::move(stored.upstreams));
  InstallItems(std::move(stored.items));
  InstallServers(std::move(stored.servers));
  InstallPins(std::move(stored.pins), loaded_ ? kPending : stored.revision);
  if (!std::exchange(loaded_, true)) {
    for (Tombstone& t : stored.tombstones) model_.AddTombstone(std::move(t));
    model_.SetFloor(std::max(model_.floor(), stored.floor));
  }
  stored_head_ = stored.revision;
  model_.SetHead(stored.revision);
  requests_.clear();
  for (auto& r : stored.requests) requests_.emplace_back(r.request_id, r.object_id);
}

void Registry::InstallUpstreams(std::vector<StoredCatalog::At<UpstreamPtr>> stored) {
  std::set<std::string> ids;
  for (const auto& at : stored) ids.insert(at.value->upstream.meta().id());
  std::vector<std::string> gone;
  for (const auto& [name, slot] : model_.upstreams()) {
    if (ids.count(slot.id()) == 0) gone.push_back(name);
  }
  for (const std::string& name : gone) DropUpstream(name, kPending);
  for (auto& at : stored) {
    const Model::UpstreamSlot* slot = model_.FindUpstream(at.value->upstream.meta().id());
    if (slot != nullptr && pending_upstreams_.count(slot->name()) > 0) {
      ShowUpstream(std::move(at.value), kPending);
    } else if (slot == nullptr || slot->revision != at.revision) {
      model_.PutUpstream(std::move(at.value), at.revision);
    }
  }
}

void Registry::InstallItems(std::vector<StoredCatalog::At<AnalyzedItem>> stored) {
  std::set<std::string> ids;
  for (auto& at : stored) {
    const pb::Item& item = at.value.entry->item;
    ids.insert(item.id());
    const Model::UpstreamSlot* slot = model_.FindUpstream(item.upstream_id());
    if (slot == nullptr || pending_items_.count(item.id()) > 0) continue;
    const auto held = slot->items.find(Model::ItemKey(item.kind(), item.original_name()));
    if (held != slot->items.end() && held->second.revision == at.revision) continue;
    model_.PutItem(slot->name(), std::move(at.value.entry), at.value.doc, at.revision);
  }
  for (const auto& [name, slot] : model_.upstreams()) {
    std::vector<std::pair<int, std::string>> gone;
    for (const auto& [key, item] : slot.items) {
      const std::string& id = item.entry->item.id();
      if (ids.count(id) > 0 || pending_items_.count(id) > 0) continue;
      gone.emplace_back(key.first, std::string(key.second));
    }
    for (const auto& [kind, original] : gone) {
      model_.RemoveItem(name, Model::ItemKey(kind, original), kPending);
    }
  }
}

void Registry::InstallServers(std::vector<StoredCatalog::At<VirtualServerPtr>> stored) {
  std::set<std::string> names;
  for (auto& at : stored) {
    const std::string& name = at.value->server.meta().name();
    names.insert(name);
    const auto held = model_.servers().find(name);
    if (held != model_.servers().end() && held->second.revision == at.revision) continue;
    model_.PutServer(std::move(at.value), at.revision);
  }
  std::vector<std::string> gone;
  for (const auto& [name, slot] : model_.servers()) {
    if (names.count(name) == 0) gone.push_back(name);
  }
  for (const std::string& name : gone) model_.RemoveServer(name, kPending);
}

// Before each use of the store, with write_lock_ held: is what is here what is stored?
Awaitable<absl::Status> Registry::Settle() {
  if (!in_doubt_) {
    METAMCP_CO_ASSIGN_OR_RETURN(const int64_t head, co_await persistence_.Head());
    if (head == stored_head_) co_return absl::OkStatus();
  }
  METAMCP_CO_RETURN_IF_ERROR(co_await Load());
  in_doubt_ = false;
  Changed();
  co_return absl::OkStatus();
}

Awaitable<void> Registry::Follow() {
  while (!stopping_) {
    const bool slept = co_await Sleep(options_.follow);
    if (!slept || stopping_) co_return;
    auto guard = co_await write_lock_.Lock();
    // A store that fails is spoken of by those who write; the next look comes anyway.
    const absl::Status settled = co_await Settle();
    settled.IgnoreError();
  }
}

// Called with write_lock_ held. The caller's cancellation does not reach the store: a write that
// has begun is finished, and its result is shown.
Awaitable<absl::StatusOr<int64_t>> Registry::Commit(ChangeSet changes) {
  namespace asio = boost::asio;
  changes.expected = stored_head_;
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  auto revision = co_await persistence_.Apply(std::move(changes));
  co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
  if (revision.ok()) {
    stored_head_ = *revision;
    model_.SetHead(std::max(model_.head(), *revision));
  } else if (!SurelyNotWritten(revision.status())) {
    in_doubt_ = true;
  }
  co_return revision;
}

void Registry::Changed() {
  work_ = true;
  work_signal_.Notify();
}

void Registry::Publish() {
  ++generation_;
  publication_.Notify();
}

Awaitable<void> Registry::WaitForPublication(uint64_t seen) {
  while (generation_ == seen) co_await publication_.Wait();
}

ChangeSet Registry::TakePending() {
  ChangeSet changes;
  for (const std::string& name : pending_upstreams_) {
    if (const auto* slot = model_.FindUpstream(name)) changes.put_upstreams.push_back(slot->record);
  }
  for (auto& [id, entry] : pending_items_) {
    if (entry != nullptr) {
      changes.put_items.push_back(std::move(entry));
      continue;
    }
    changes.remove_item_ids.push_back(id);
    const GoneItem* gone = model_.FindGone(id);
    changes.tombstones.push_back({0, ObjectType::kItem, id, gone == nullptr ? GoneItem() : *gone});
  }
  TakePendingPins(&changes);
  pending_upstreams_.clear();
  pending_items_.clear();
  return changes;
}

// What came meanwhile is newer and stays.
void Registry::ReturnPending(const ChangeSet& changes) {
  for (const auto& record : changes.put_upstreams) {
    pending_upstreams_.insert(record->upstream.meta().name());
  }
  for (const auto& entry : changes.put_items) {
    if (model_.FindUpstream(entry->item.upstream_id()) != nullptr) {
      pending_items_.emplace(entry->item.id(), entry);
    }
  }
  for (const std::string& id : changes.remove_item_ids) pending_items_.emplace(id, nullptr);
  for (const StoredPin& pin : changes.put_pins) pending_pins_.insert(pin.item_id);
}

Awaitable<absl::Status> Registry::FlushLocked() {
  METAMCP_CO_RETURN_IF_ERROR(co_await Settle());
  ChangeSet changes = TakePending();
  int64_t revision = model_.head();
  if (!changes.empty()) {
    ChangeSet copy = changes;
    auto stored = co_await Commit(std::move(copy));
    if (!stored.ok()) {
      ReturnPending(changes);
      co_return stored.status();
    }
    revision = *stored;
  }
  model_.Stamp(revision);
  Publish();
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Registry::Flush() {
  auto guard = co_await write_lock_.Lock();
  work_ = false;
  absl::Status status = co_await FlushLocked();
  // Another process was faster: what is pending goes on top of what it wrote.
  if (absl::IsAborted(status)) status = co_await FlushLocked();
  if (!status.ok()) work_ = true;
  co_return status;
}

Awaitable<void> Registry::Share() {
  if (options_.follow.count() == 0) co_return;
  // Run may be about to do it, for many at once.
  const bool slept = co_await Sleep(options_.coalesce);
  if (!slept) co_return;
  const absl::Status status = co_await Flush();
  status.IgnoreError();  // Run speaks of it, and tries again
}

void Registry::RequestStop() {
  stopping_ = true;
  work_signal_.Notify();
}

Awaitable<void> Registry::Run() {
  while (!stopping_) {
    while (!work_ && !stopping_) co_await work_signal_.Wait();
    const bool slept = co_await Sleep(options_.coalesce);
    if (!slept) co_return;
    const absl::Status status = co_await Flush();
    if (status.ok()) continue;
    Log(LogLevel::kWarning, "catalog.store_failed",
        {{"code", absl::StatusCodeToString(status.code())}, {"error", Sv(status.message())}});
    const bool waited = co_await Sleep(options_.retry);
    if (!waited) co_return;
  }
}

// Shows a stored record, keeping what was observed since it was read.
void Registry::ShowUpstream(UpstreamPtr record, int64_t revision) {
  const Model::UpstreamSlot* slot = model_.FindUpstream(record->upstream.meta().id());
  if (slot != nullptr) {
    auto merged = std::make_shared<UpstreamRecord>(*record);
    *merged->upstream.mutable_status() = slot->record->upstream.status();
    merged->lists = slot->record->lists;
    record = std::move(merged);
  }
  model_.PutUpstream(std::move(record), revision);
}

void Registry::DropUpstream(const std::string& name, int64_t revision) {
  const Model::UpstreamSlot* slot = model_.FindUpstream(name);
  if (slot == nullptr) return;
  for (const auto& [key, item] : slot->items) pending_items_.erase(item.entry->item.id());
  pending_upstreams_.erase(slot->name());
  model_.RemoveUpstream(name, revision);
}

std::optional<std::string> Registry::FindRequest(const std::string& request_id) const {
  if (request_id.empty()) return std::nullopt;
  for (const auto& [id, object] : requests_) {
    if (id == request_id) return object;
  }
  return std::nullopt;
}

void Registry::Remember(const std::optional<CreateRequest>& request) {
  if (!request) return;
  requests_.emplace_back(request->request_id, request->object_id);
  if (requests_.size() > kRequestsMax) requests_.erase(requests_.begin());
}

}  // namespace metamcp::catalog
