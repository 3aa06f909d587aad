#include "services/catalog/testing.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/scan.h"

namespace metamcp::catalog {

bool MemoryPersistence::FailsNow() { return ++calls == fail_call; }

Awaitable<absl::StatusOr<StoredCatalog>> MemoryPersistence::Load() {
  if (FailsNow()) co_return fault;
  StoredCatalog out;
  out.revision = revision;
  out.separator = separator;
  for (const auto& [id, at] : upstreams) out.upstreams.push_back(at);
  for (const auto& [id, at] : items) {
    const pb::Item& item = at.value->item;
    const auto owner = upstreams.find(item.upstream_id());
    METAMCP_CHECK(owner != upstreams.end());
    StoredCatalog::At<AnalyzedItem> row;
    row.value = AnalyzeItem(item.upstream_id(), owner->second.value->upstream.meta().name(),
                            item.kind(), item.original_name(), item.definition());
    row.value.entry->item = item;
    row.value.entry->invalid = at.value->invalid;
    row.revision = at.revision;
    out.items.push_back(std::move(row));
  }
  for (const auto& [id, at] : servers) out.servers.push_back(at);
  for (const auto& [id, pin] : pins) out.pins.push_back(pin);
  out.tombstones = tombstones;
  out.requests = requests;
  co_return out;
}

void MemoryPersistence::Write(const ChangeSet& changes) {
  ++revision;
  for (const std::string& id : changes.remove_upstream_ids) {
    upstreams.erase(id);
    std::erase_if(items,
                  [&id](const auto& row) { return row.second.value->item.upstream_id() == id; });
  }
  for (const std::string& id : changes.remove_item_ids) items.erase(id);
  for (const std::string& id : changes.remove_server_ids) servers.erase(id);
  for (const auto& r : changes.put_upstreams) upstreams[r->upstream.meta().id()] = {r, revision};
  for (const auto& e : changes.put_items) items[e->item.id()] = {e, revision};
  for (const StoredPin& pin : changes.put_pins) pins[pin.item_id] = pin;
  for (const std::string& id : changes.remove_upstream_ids) {
    std::erase_if(pins, [&id](const auto& each) { return each.second.upstream_id == id; });
  }
  for (const auto& r : changes.put_servers) servers[r->server.meta().id()] = {r, revision};
  for (Tombstone t : changes.tombstones) {
    t.revision = revision;
    tombstones.push_back(std::move(t));
  }
  if (changes.separator) separator = *changes.separator;
  if (changes.request) requests.push_back(*changes.request);
}

Awaitable<absl::StatusOr<int64_t>> MemoryPersistence::Head() {
  if (FailsNow()) co_return fault;
  co_return revision;
}

Awaitable<absl::StatusOr<int64_t>> MemoryPersistence::Apply(ChangeSet changes) {
  const bool fails = FailsNow();
  ++applies;
  if (const auto hook = std::exchange(during_apply, nullptr)) hook();
  if (changes.expected && *changes.expected != revision) {
    co_return MakeError("DATABASE_CONFLICT", "catalog", "moved on");
  }
  if (!fails || fail_after_effect) Write(changes);
  if (fails) co_return fault;
  co_return revision;
}

std::string ToolJson(const std::string& name, const std::string& properties,
                     const std::string& more) {
  return StrCat("{\"name\":", metamcp::json::JsonQuote(name),
                ",\"inputSchema\":{\"type\":\"object\",\"properties\":", properties, "}", more,
                "}");
}

pb::Upstream MakeUpstream(const std::string& name, int priority) {
  pb::Upstream out;
  out.mutable_meta()->set_name(name);
  out.mutable_spec()->set_type("stdio");
  out.mutable_spec()->set_command("server");
  out.mutable_spec()->set_priority(priority);
  out.set_enabled(true);
  return out;
}

pb::Item MakeItem(pb::ItemKind kind, const std::string& name, const std::string& definition) {
  pb::Item item;
  item.set_kind(kind);
  item.set_original_name(name);
  item.set_definition(definition);
  return item;
}

pb::Item MakeTool(const std::string& name, const std::string& more) {
  return MakeItem(pb::ITEM_KIND_TOOL, name, ToolJson(name, "{}", more));
}

pb::ItemList ListOf(pb::ItemKind kind, const std::vector<pb::Item>& items) {
  pb::ItemList list;
  list.set_kind(kind);
  for (const pb::Item& item : items) *list.add_items() = item;
  return list;
}

std::vector<std::string> ExposedNames(Model& model, const std::string& view_name,
                                      pb::ItemKind kind) {
  std::vector<std::string> names;
  const ViewPtr view = model.FindView(view_name);
  METAMCP_CHECK(view != nullptr);
  for (const auto& from : view->contributions()) {
    for (const Candidate& candidate : from->candidates) {
      const View::Outcome outcome = view->OutcomeOf(candidate);
      if (candidate.item->item.kind() != kind || outcome.hidden != HiddenReason::kNone) continue;
      names.emplace_back(outcome.name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

Fixture::Fixture() { Restart(); }
Fixture::~Fixture() = default;

std::unique_ptr<Registry> Fixture::MakeRegistry() {
  RegistryOptions options;
  options.now_us = [this] { return ++now; };
  options.follow = std::chrono::milliseconds(1);
  auto made = std::make_unique<Registry>(io.get_executor(), store, std::move(options));
  METAMCP_CHECK(Await(io, made->Load()).ok());
  return made;
}

void Fixture::Restart() { registry = MakeRegistry(); }

std::string Fixture::AddUpstream(const pb::Upstream& upstream) {
  const auto made = Await(io, registry->CreateUpstream(upstream, "", "tester"));
  METAMCP_CHECK(made.ok());
  return made->meta().id();
}

void Fixture::ReportList(const std::string& upstream_id, const pb::ItemList& list) {
  pb::ReportRequest request;
  request.set_upstream_id(upstream_id);
  request.mutable_status()->set_state("ready");
  request.mutable_status()->set_reachable(true);
  *request.add_lists() = list;
  METAMCP_CHECK(Await(io, registry->Report(request)).ok());
}

void Fixture::Report(const std::string& upstream_id, const std::vector<pb::Item>& tools) {
  ReportList(upstream_id, ListOf(pb::ITEM_KIND_TOOL, tools));
}

void Fixture::AddServer(const std::string& name, const pb::VirtualServerSpec& spec) {
  pb::VirtualServer server;
  server.mutable_meta()->set_name(name);
  *server.mutable_spec() = spec;
  server.set_enabled(true);
  METAMCP_CHECK(Await(io, registry->CreateServer(server, "", "tester")).ok());
}

void Fixture::Flush() { METAMCP_CHECK(Await(io, registry->Flush()).ok()); }

}  // namespace metamcp::catalog
