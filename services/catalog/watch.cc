#include "services/catalog/watch.h"

#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"

namespace metamcp::catalog {
namespace {

// What one reader is sent at once: references to immutable objects, so that the model may change
// while they are written.
struct Batch {
  bool begin = false;
  int64_t revision = 0;
  std::vector<UpstreamPtr> upstreams;
  std::vector<std::string> removed_upstreams;
  std::vector<ItemPtr> items;
  std::vector<std::string> removed_items;
  std::vector<ViewPtr> views;
  std::vector<std::string> removed_views;

  bool empty() const {
    return !begin && upstreams.empty() && removed_upstreams.empty() && items.empty() &&
           removed_items.empty() && views.empty() && removed_views.empty();
  }
};

void CollectRemoved(const Model& model, int64_t since, Batch* batch) {
  for (const Tombstone& t : model.tombstones()) {
    if (t.revision <= since) continue;
    switch (t.type) {
      case ObjectType::kUpstream:
        batch->removed_upstreams.push_back(t.key);
        break;
      case ObjectType::kItem:
        batch->removed_items.push_back(t.key);
        break;
      case ObjectType::kView:
        batch->removed_views.push_back(t.key);
        break;
    }
  }
}

// An item that came back, or a view that was made again, is not removed. Removals are listed
// before additions are, so the order in a message does not matter either.
void DropRevived(Model& model, Batch* batch) {
  std::erase_if(batch->removed_views,
                [&model](const std::string& name) { return model.FindView(name) != nullptr; });
  std::set<std::string_view> present;
  for (const ItemPtr& entry : batch->items) present.insert(entry->item.id());
  std::erase_if(batch->removed_items,
                [&present](const std::string& id) { return present.count(id) > 0; });
}

Batch Collect(Model& model, int64_t since) {
  Batch batch;
  batch.begin = since <= 0 || since < model.floor() || since > model.head();
  batch.revision = model.head();
  const int64_t from = batch.begin ? -1 : since;
  for (const auto& [name, slot] : model.upstreams()) {
    if (slot.revision > from) batch.upstreams.push_back(slot.record);
    for (const auto& [key, item] : slot.items) {
      if (item.revision <= from) continue;
      const ShownItem shown = model.Shown(slot, item);
      if (shown.item->invalid.empty() && !shown.quarantined) {
        batch.items.push_back(shown.item);
      } else {
        batch.removed_items.push_back(item.entry->item.id());
      }
    }
  }
  model.ForEachView([&batch, from](const ViewPtr& view, int64_t revision) {
    if (revision > from) batch.views.push_back(view);
  });
  if (batch.begin) {
    batch.removed_items.clear();
  } else {
    CollectRemoved(model, since, &batch);
    DropRevived(model, &batch);
  }
  return batch;
}

// Fills messages up to the chunk size and writes them.
class ChunkWriter {
 public:
  ChunkWriter(Sink<pb::WatchCatalogResponse>& sink, int64_t revision, bool begin)
      : sink_(sink), revision_(revision) {
    Start();
    message_.set_begin(begin);
  }

  pb::WatchCatalogResponse& message() { return message_; }

  // Accounts for `bytes` more, writing first what would not fit with them.
  Awaitable<absl::Status> Room(size_t bytes) {
    if (used_ > 0 && used_ + bytes > kWatchChunkBytes) {
      METAMCP_CO_RETURN_IF_ERROR(co_await Write());
    }
    used_ += bytes;
    co_return absl::OkStatus();
  }

  Awaitable<absl::Status> Finish() {
    message_.set_end(true);
    return Write();
  }

 private:
  void Start() {
    message_.Clear();
    message_.set_revision(revision_);
    used_ = 0;
  }
  Awaitable<absl::Status> Write() {
    pb::WatchCatalogResponse full = std::move(message_);
    Start();
    co_return co_await sink_.Write(std::move(full));
  }

  Sink<pb::WatchCatalogResponse>& sink_;
  const int64_t revision_;
  pb::WatchCatalogResponse message_;
  size_t used_ = 0;
};

// Space that an element takes beside its own bytes (tag and length).
constexpr size_t kFraming = 16;

Awaitable<absl::Status> WriteObjects(const Batch& batch, ChunkWriter& out) {
  for (const UpstreamPtr& record : batch.upstreams) {
    pb::Upstream upstream = record->upstream;
    upstream.mutable_spec()->clear_env();
    upstream.mutable_spec()->clear_headers();
    METAMCP_CO_RETURN_IF_ERROR(co_await out.Room(upstream.ByteSizeLong() + kFraming));
    *out.message().add_upstreams() = std::move(upstream);
  }
  for (const ItemPtr& entry : batch.items) {
    METAMCP_CO_RETURN_IF_ERROR(co_await out.Room(entry->item.ByteSizeLong() + kFraming));
    *out.message().add_items() = entry->item;
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> WriteRemoved(const Batch& batch, ChunkWriter& out) {
  for (const std::string& id : batch.removed_upstreams) {
    METAMCP_CO_RETURN_IF_ERROR(co_await out.Room(id.size() + kFraming));
    out.message().add_removed_upstream_ids(id);
  }
  for (const std::string& id : batch.removed_items) {
    METAMCP_CO_RETURN_IF_ERROR(co_await out.Room(id.size() + kFraming));
    out.message().add_removed_item_ids(id);
  }
  for (const std::string& name : batch.removed_views) {
    METAMCP_CO_RETURN_IF_ERROR(co_await out.Room(name.size() + kFraming));
    out.message().add_removed_views(name);
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> WriteView(const View& view, ChunkWriter& out) {
  const pb::VirtualServerView head = view.Head();
  METAMCP_CO_RETURN_IF_ERROR(co_await out.Room(head.ByteSizeLong() + kFraming));
  pb::VirtualServerView* part = out.message().add_views();
  *part = head;
  for (const ContributionPtr& from : view.contributions()) {
    for (const Candidate& candidate : from->candidates) {
      if (view.OutcomeOf(candidate).hidden != HiddenReason::kNone) continue;
      pb::ExposedItem item = view.Expose(*from, candidate);
      METAMCP_CO_RETURN_IF_ERROR(co_await out.Room(item.ByteSizeLong() + kFraming));
      if (out.message().views_size() == 0) {
        // The rest of this view goes into a new message, which only names it.
        part = out.message().add_views();
        part->set_name(head.name());
      }
      *part->add_items() = std::move(item);
    }
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> WriteBatch(const Batch& batch, Sink<pb::WatchCatalogResponse>& sink) {
  ChunkWriter out(sink, batch.revision, batch.begin);
  METAMCP_CO_RETURN_IF_ERROR(co_await WriteRemoved(batch, out));
  METAMCP_CO_RETURN_IF_ERROR(co_await WriteObjects(batch, out));
  for (const ViewPtr& view : batch.views) {
    METAMCP_CO_RETURN_IF_ERROR(co_await WriteView(*view, out));
  }
  co_return co_await out.Finish();
}

Awaitable<absl::Status> WriteUpstreams(const std::vector<UpstreamPtr>& changed,
                                       const std::vector<std::string>& removed, bool begin,
                                       Sink<pb::WatchUpstreamsResponse>& sink) {
  pb::WatchUpstreamsResponse message;
  message.set_begin(begin);
  size_t used = 0;
  for (const UpstreamPtr& record : changed) {
    const size_t bytes = record->upstream.ByteSizeLong() + kFraming;
    if (used > 0 && used + bytes > kWatchChunkBytes) {
      pb::WatchUpstreamsResponse full = std::move(message);
      message.Clear();
      used = 0;
      METAMCP_CO_RETURN_IF_ERROR(co_await sink.Write(std::move(full)));
    }
    *message.add_upstreams() = record->upstream;
    used += bytes;
  }
  for (const std::string& id : removed) message.add_removed_upstream_ids(id);
  message.set_end(true);
  co_return co_await sink.Write(std::move(message));
}

}  // namespace

Awaitable<absl::Status> WatchCatalog(Registry& registry, int64_t revision,
                                     Sink<pb::WatchCatalogResponse>& sink) {
  // A reader that holds what is current gets an empty batch, so that it knows.
  bool first = true;
  for (;;) {
    const uint64_t generation = registry.generation();
    const Batch batch = Collect(registry.model(), revision);
    if (first || !batch.empty()) {
      METAMCP_CO_RETURN_IF_ERROR(co_await WriteBatch(batch, sink));
    }
    first = false;
    revision = batch.revision;
    co_await registry.WaitForPublication(generation);
  }
}

Awaitable<absl::Status> WatchUpstreams(Registry& registry, Sink<pb::WatchUpstreamsResponse>& sink) {
  std::map<std::string, int64_t> revisions;
  bool begin = true;
  for (;;) {
    const uint64_t generation = registry.generation();
    std::vector<UpstreamPtr> changed;
    std::vector<std::string> removed;
    std::map<std::string, int64_t> now;
    for (const auto& [name, slot] : registry.model().upstreams()) {
      // What our own services offer is nothing to connect to.
      if (slot.record->upstream.spec().type() == kServiceType) continue;
      now[slot.id()] = slot.spec_revision;
      const auto before = revisions.find(slot.id());
      if (before == revisions.end() || before->second != slot.spec_revision) {
        changed.push_back(slot.record);
      }
    }
    for (const auto& [id, seen] : revisions) {
      if (now.count(id) == 0) removed.push_back(id);
    }
    revisions = std::move(now);
    if (begin || !changed.empty() || !removed.empty()) {
      METAMCP_CO_RETURN_IF_ERROR(co_await WriteUpstreams(changed, removed, begin, sink));
    }
    begin = false;
    co_await registry.WaitForPublication(generation);
  }
}

}  // namespace metamcp::catalog
