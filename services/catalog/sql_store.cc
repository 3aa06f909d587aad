#include "services/catalog/sql_store.h"

#include <unordered_map>
#include <utility>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "migrations/catalog.h"
#include "migrations/pins.h"
#include "services/catalog/convert.h"

namespace metamcp::catalog {
namespace {

using db::Params;
using db::Row;
using db::Transaction;

constexpr int64_t kRequestsMax = 1000;

// --- Writing ---

absl::StatusOr<int64_t> ReadRevision(Transaction& tx, std::string_view tenant) {
  METAMCP_ASSIGN_OR_RETURN(const db::Rows rows,
                           tx.Query("SELECT revision FROM catalog_head WHERE tenant_id = :tenant",
                                    {{"tenant", tenant}}));
  return rows.empty() ? absl::StatusOr<int64_t>(0) : rows[0].Get<int64_t>("revision");
}

// Locks the tenant's head and moves it on. All writers queue here, so revisions are committed in
// their order.
absl::StatusOr<int64_t> NextRevision(Transaction& tx, std::string_view tenant,
                                     std::optional<int64_t> expected) {
  METAMCP_RETURN_IF_ERROR(
      tx.Execute("INSERT INTO catalog_head (tenant_id, revision, floor_revision, name_separator) "
                 "VALUES (:tenant, 0, 0, '__') ON CONFLICT (tenant_id) DO NOTHING",
                 {{"tenant", tenant}})
          .status());
  METAMCP_RETURN_IF_ERROR(
      tx.Execute("UPDATE catalog_head SET revision = revision + 1 WHERE tenant_id = :tenant",
                 {{"tenant", tenant}})
          .status());
  METAMCP_ASSIGN_OR_RETURN(const int64_t revision, ReadRevision(tx, tenant));
  if (!expected || revision == *expected + 1) return revision;
  return MakeError("DATABASE_CONFLICT", "catalog", "another process changed the catalog meanwhile");
}

// The seen times and lifetimes of the lists, "seen/ttl" by kind.
std::string ListsText(const UpstreamRecord& record) {
  std::string out = "[";
  for (int kind = 1; kind < kKinds; ++kind) {
    const ListState& list = record.lists[kind];
    out += StrCat(kind == 1 ? "" : ",", "[", list.seen_us, ",", list.ttl_ms, "]");
  }
  return out + "]";
}

void ReadLists(const std::string& text, UpstreamRecord* record) {
  size_t at = 0;
  const auto next = [&text, &at] {
    while (at < text.size() && (text[at] < '0' || text[at] > '9')) ++at;
    int64_t value = 0;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
      value = value * 10 + (text[at] - '0');
    }
    return value;
  };
  for (int kind = 1; kind < kKinds; ++kind) {
    record->lists[kind].seen_us = next();
    record->lists[kind].ttl_ms = next();
  }
}

absl::Status PutUpstream(Transaction& tx, std::string_view tenant, const UpstreamRecord& record,
                         int64_t revision) {
  const pb::Upstream& up = record.upstream;
  return tx.Upsert("catalog_upstreams", {{"tenant_id", tenant}, {"id", up.meta().id()}},
                   {{"name", up.meta().name()},
                    {"enabled", up.enabled()},
                    {"config_enabled", record.config_enabled},
                    {"meta", ToJson(up.meta())},
                    {"spec", ToJson(up.spec())},
                    {"status", ToJson(up.status())},
                    {"lists", ListsText(record)},
                    {"revision", revision}});
}

absl::Status PutItem(Transaction& tx, std::string_view tenant, const ItemEntry& entry,
                     int64_t revision) {
  const pb::Item& item = entry.item;
  return tx.Upsert("catalog_items", {{"tenant_id", tenant}, {"id", item.id()}},
                   {{"upstream_id", item.upstream_id()},
                    {"kind", static_cast<int64_t>(item.kind())},
                    {"original_name", item.original_name()},
                    {"definition", item.definition()},
                    {"fingerprint", item.fingerprint()},
                    {"version", item.version()},
                    {"first_seen_us", item.first_seen_us()},
                    {"breaking_change", item.breaking_change()},
                    {"invalid", entry.invalid},
                    {"revision", revision}});
}

absl::Status PutPin(Transaction& tx, std::string_view tenant, const StoredPin& pin) {
  return tx.Upsert("catalog_pins", {{"tenant_id", tenant}, {"item_id", pin.item_id}},
                   {{"upstream_id", pin.upstream_id},
                    {"original_name", pin.original_name},
                    {"fingerprint", pin.fingerprint},
                    {"definition", pin.definition},
                    {"approved_by", pin.by},
                    {"approved_us", pin.at_us}});
}

absl::Status PutServer(Transaction& tx, std::string_view tenant, const VirtualServerRecord& record,
                       int64_t revision) {
  const pb::VirtualServer& server = record.server;
  return tx.Upsert("catalog_virtual_servers", {{"tenant_id", tenant}, {"id", server.meta().id()}},
                   {{"name", server.meta().name()},
                    {"enabled", server.enabled()},
                    {"config_enabled", record.config_enabled},
                    {"meta", ToJson(server.meta())},
                    {"spec", ToJson(server.spec())},
                    {"revision", revision}});
}

absl::Status Delete(Transaction& tx, std::string_view sql, std::string_view tenant,
                    const std::string& id) {
  const Params params = {{"tenant", tenant}, {"id", id}};
  return tx.Execute(sql, params).status();
}

absl::Status WriteRemovals(Transaction& tx, std::string_view tenant, const ChangeSet& changes) {
  for (const std::string& id : changes.remove_upstream_ids) {
    METAMCP_RETURN_IF_ERROR(
        Delete(tx, "DELETE FROM catalog_items WHERE tenant_id = :tenant AND upstream_id = :id",
               tenant, id));
    METAMCP_RETURN_IF_ERROR(
        Delete(tx, "DELETE FROM catalog_pins WHERE tenant_id = :tenant AND upstream_id = :id",
               tenant, id));
    METAMCP_RETURN_IF_ERROR(Delete(
        tx, "DELETE FROM catalog_upstreams WHERE tenant_id = :tenant AND id = :id", tenant, id));
  }
  for (const std::string& id : changes.remove_item_ids) {
    METAMCP_RETURN_IF_ERROR(
        Delete(tx, "DELETE FROM catalog_items WHERE tenant_id = :tenant AND id = :id", tenant, id));
  }
  for (const std::string& id : changes.remove_server_ids) {
    METAMCP_RETURN_IF_ERROR(
        Delete(tx, "DELETE FROM catalog_virtual_servers WHERE tenant_id = :tenant AND id = :id",
               tenant, id));
  }
  return absl::OkStatus();
}

absl::Status WriteObjects(Transaction& tx, std::string_view tenant, const ChangeSet& changes,
                          int64_t revision) {
  for (const auto& record : changes.put_upstreams) {
    METAMCP_RETURN_IF_ERROR(PutUpstream(tx, tenant, *record, revision));
  }
  for (const auto& entry : changes.put_items) {
    METAMCP_RETURN_IF_ERROR(PutItem(tx, tenant, *entry, revision));
  }
  for (const auto& record : changes.put_servers) {
    METAMCP_RETURN_IF_ERROR(PutServer(tx, tenant, *record, revision));
  }
  for (const StoredPin& pin : changes.put_pins) {
    METAMCP_RETURN_IF_ERROR(PutPin(tx, tenant, pin));
  }
  if (!changes.separator) return absl::OkStatus();
  return tx
      .Execute("UPDATE catalog_head SET name_separator = :separator WHERE tenant_id = :tenant",
               {{"separator", *changes.separator}, {"tenant", tenant}})
      .status();
}

// Keeps the newest kTombstonesMax removals; older ones raise the floor below which nobody resumes.
absl::Status Prune(Transaction& tx, std::string_view tenant) {
  METAMCP_ASSIGN_OR_RETURN(
      const db::Rows rows,
      tx.Query("SELECT revision FROM catalog_removed WHERE tenant_id = :tenant "
               "ORDER BY revision DESC LIMIT 1 OFFSET :kept",
               {{"tenant", tenant}, {"kept", static_cast<int64_t>(kTombstonesMax)}}));
  if (rows.empty()) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(const int64_t cut, rows[0].Get<int64_t>("revision"));
  const Params params = {{"tenant", tenant}, {"cut", cut}};
  METAMCP_RETURN_IF_ERROR(
      tx.Execute("DELETE FROM catalog_removed WHERE tenant_id = :tenant AND revision <= :cut",
                 params)
          .status());
  return tx
      .Execute("UPDATE catalog_head SET floor_revision = :cut WHERE tenant_id = :tenant", params)
      .status();
}

absl::Status WriteHistory(Transaction& tx, std::string_view tenant, const ChangeSet& changes,
                          int64_t revision) {
  for (const Tombstone& t : changes.tombstones) {
    METAMCP_RETURN_IF_ERROR(tx.Upsert("catalog_removed",
                                      {{"tenant_id", tenant},
                                       {"object_type", static_cast<int64_t>(t.type)},
                                       {"object_key", t.key}},
                                      {{"revision", revision},
                                       {"version", t.item.version},
                                       {"first_seen_us", t.item.first_seen_us},
                                       {"fingerprint", t.item.fingerprint}}));
  }
  if (!changes.tombstones.empty()) METAMCP_RETURN_IF_ERROR(Prune(tx, tenant));
  if (!changes.request) return absl::OkStatus();
  METAMCP_RETURN_IF_ERROR(tx.Upsert(
      "catalog_requests", {{"tenant_id", tenant}, {"request_id", changes.request->request_id}},
      {{"object_id", changes.request->object_id}, {"revision", revision}}));
  return tx
      .Execute(
          "DELETE FROM catalog_requests WHERE tenant_id = :tenant AND revision <= "
          "(SELECT MIN(revision) FROM (SELECT revision FROM catalog_requests "
          "WHERE tenant_id = :tenant ORDER BY revision DESC LIMIT :kept) AS newest) - 1",
          {{"tenant", tenant}, {"kept", kRequestsMax}})
      .status();
}

// --- Reading ---

absl::Status ReadHead(Transaction& tx, std::string_view tenant, StoredCatalog* out) {
  METAMCP_ASSIGN_OR_RETURN(const db::Rows rows,
                           tx.Query("SELECT revision, floor_revision, name_separator FROM "
                                    "catalog_head WHERE tenant_id = :tenant",
                                    {{"tenant", tenant}}));
  if (rows.empty()) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(out->revision, rows[0].Get<int64_t>("revision"));
  METAMCP_ASSIGN_OR_RETURN(out->floor, rows[0].Get<int64_t>("floor_revision"));
  METAMCP_ASSIGN_OR_RETURN(out->separator, rows[0].Get<std::string>("name_separator"));
  return absl::OkStatus();
}

template <typename Message>
absl::Status ReadMessage(const Row& row, std::string_view column, Message* out) {
  METAMCP_ASSIGN_OR_RETURN(const std::string text, row.Get<std::string>(column));
  return FromJson(text, out);
}

absl::Status ReadUpstreams(Transaction& tx, std::string_view tenant, StoredCatalog* out) {
  METAMCP_ASSIGN_OR_RETURN(
      const db::Rows rows,
      tx.Query("SELECT enabled, config_enabled, meta, spec, status, lists, revision FROM "
               "catalog_upstreams WHERE tenant_id = :tenant ORDER BY name",
               {{"tenant", tenant}}));
  for (const Row& row : rows) {
    auto record = std::make_shared<UpstreamRecord>();
    METAMCP_RETURN_IF_ERROR(ReadMessage(row, "meta", record->upstream.mutable_meta()));
    METAMCP_RETURN_IF_ERROR(ReadMessage(row, "spec", record->upstream.mutable_spec()));
    METAMCP_RETURN_IF_ERROR(ReadMessage(row, "status", record->upstream.mutable_status()));
    METAMCP_ASSIGN_OR_RETURN(const bool enabled, row.Get<bool>("enabled"));
    record->upstream.set_enabled(enabled);
    METAMCP_ASSIGN_OR_RETURN(record->config_enabled, row.Get<bool>("config_enabled"));
    METAMCP_ASSIGN_OR_RETURN(const std::string lists, row.Get<std::string>("lists"));
    ReadLists(lists, record.get());
    METAMCP_ASSIGN_OR_RETURN(const int64_t revision, row.Get<int64_t>("revision"));
    out->upstreams.push_back({std::move(record), revision});
  }
  return absl::OkStatus();
}

absl::StatusOr<AnalyzedItem> ReadItem(const Row& row, std::string_view slug) {
  METAMCP_ASSIGN_OR_RETURN(const std::string upstream, row.Get<std::string>("upstream_id"));
  METAMCP_ASSIGN_OR_RETURN(const int64_t kind, row.Get<int64_t>("kind"));
  METAMCP_ASSIGN_OR_RETURN(const std::string original, row.Get<std::string>("original_name"));
  METAMCP_ASSIGN_OR_RETURN(const std::string definition, row.Get<std::string>("definition"));
  METAMCP_ASSIGN_OR_RETURN(const std::string fingerprint, row.Get<std::string>("fingerprint"));
  METAMCP_ASSIGN_OR_RETURN(const std::string invalid, row.Get<std::string>("invalid"));
  AnalyzedItem out;
  const auto item_kind = static_cast<pb::ItemKind>(kind);
  out = AnalyzeItem(upstream, slug, item_kind, original, definition);
  pb::Item& item = out.entry->item;
  // A refused definition is not kept; why it was refused is.
  if (!invalid.empty()) out.entry->invalid = invalid;
  item.set_fingerprint(fingerprint);
  METAMCP_ASSIGN_OR_RETURN(const int64_t version, row.Get<int64_t>("version"));
  METAMCP_ASSIGN_OR_RETURN(const int64_t first_seen, row.Get<int64_t>("first_seen_us"));
  METAMCP_ASSIGN_OR_RETURN(const bool breaking, row.Get<bool>("breaking_change"));
  item.set_version(version);
  item.set_first_seen_us(first_seen);
  item.set_breaking_change(breaking);
  return out;
}

absl::Status ReadItems(Transaction& tx, std::string_view tenant, StoredCatalog* out) {
  std::unordered_map<std::string, std::string> slugs;
  for (const auto& at : out->upstreams) {
    slugs[at.value->upstream.meta().id()] = at.value->upstream.meta().name();
  }
  METAMCP_ASSIGN_OR_RETURN(
      const db::Rows rows,
      tx.Query("SELECT upstream_id, kind, original_name, definition, fingerprint, version, "
               "first_seen_us, breaking_change, invalid, revision FROM catalog_items "
               "WHERE tenant_id = :tenant",
               {{"tenant", tenant}}));
  out->items.reserve(rows.size());
  for (const Row& row : rows) {
    METAMCP_ASSIGN_OR_RETURN(const std::string upstream, row.Get<std::string>("upstream_id"));
    METAMCP_ASSIGN_OR_RETURN(AnalyzedItem item, ReadItem(row, slugs[upstream]));
    METAMCP_ASSIGN_OR_RETURN(const int64_t revision, row.Get<int64_t>("revision"));
    out->items.push_back({std::move(item), revision});
  }
  return absl::OkStatus();
}

absl::Status ReadServers(Transaction& tx, std::string_view tenant, StoredCatalog* out) {
  METAMCP_ASSIGN_OR_RETURN(
      const db::Rows rows,
      tx.Query("SELECT enabled, config_enabled, meta, spec, revision FROM catalog_virtual_servers "
               "WHERE tenant_id = :tenant ORDER BY name",
               {{"tenant", tenant}}));
  for (const Row& row : rows) {
    auto record = std::make_shared<VirtualServerRecord>();
    METAMCP_RETURN_IF_ERROR(ReadMessage(row, "meta", record->server.mutable_meta()));
    METAMCP_RETURN_IF_ERROR(ReadMessage(row, "spec", record->server.mutable_spec()));
    METAMCP_ASSIGN_OR_RETURN(const bool enabled, row.Get<bool>("enabled"));
    record->server.set_enabled(enabled);
    METAMCP_ASSIGN_OR_RETURN(record->config_enabled, row.Get<bool>("config_enabled"));
    METAMCP_ASSIGN_OR_RETURN(const int64_t revision, row.Get<int64_t>("revision"));
    out->servers.push_back({std::move(record), revision});
  }
  return absl::OkStatus();
}

absl::Status ReadPins(Transaction& tx, std::string_view tenant, StoredCatalog* out) {
  METAMCP_ASSIGN_OR_RETURN(
      const db::Rows rows,
      tx.Query("SELECT item_id, upstream_id, original_name, fingerprint, definition, approved_by, "
               "approved_us FROM catalog_pins WHERE tenant_id = :tenant",
               {{"tenant", tenant}}));
  for (const Row& row : rows) {
    StoredPin pin;
    METAMCP_ASSIGN_OR_RETURN(pin.item_id, row.Get<std::string>("item_id"));
    METAMCP_ASSIGN_OR_RETURN(pin.upstream_id, row.Get<std::string>("upstream_id"));
    METAMCP_ASSIGN_OR_RETURN(pin.original_name, row.Get<std::string>("original_name"));
    METAMCP_ASSIGN_OR_RETURN(pin.fingerprint, row.Get<std::string>("fingerprint"));
    METAMCP_ASSIGN_OR_RETURN(pin.definition, row.Get<std::string>("definition"));
    METAMCP_ASSIGN_OR_RETURN(pin.by, row.Get<std::string>("approved_by"));
    METAMCP_ASSIGN_OR_RETURN(pin.at_us, row.Get<int64_t>("approved_us"));
    out->pins.push_back(std::move(pin));
  }
  return absl::OkStatus();
}

absl::Status ReadHistory(Transaction& tx, std::string_view tenant, StoredCatalog* out) {
  METAMCP_ASSIGN_OR_RETURN(const db::Rows removed,
                           tx.Query("SELECT object_type, object_key, revision, version, "
                                    "first_seen_us, fingerprint FROM catalog_removed "
                                    "WHERE tenant_id = :tenant ORDER BY revision, object_key",
                                    {{"tenant", tenant}}));
  for (const Row& row : removed) {
    Tombstone t;
    METAMCP_ASSIGN_OR_RETURN(const int64_t type, row.Get<int64_t>("object_type"));
    t.type = static_cast<ObjectType>(type);
    METAMCP_ASSIGN_OR_RETURN(t.key, row.Get<std::string>("object_key"));
    METAMCP_ASSIGN_OR_RETURN(t.revision, row.Get<int64_t>("revision"));
    METAMCP_ASSIGN_OR_RETURN(t.item.version, row.Get<int64_t>("version"));
    METAMCP_ASSIGN_OR_RETURN(t.item.first_seen_us, row.Get<int64_t>("first_seen_us"));
    METAMCP_ASSIGN_OR_RETURN(t.item.fingerprint, row.Get<std::string>("fingerprint"));
    out->tombstones.push_back(std::move(t));
  }
  METAMCP_ASSIGN_OR_RETURN(const db::Rows requests,
                           tx.Query("SELECT request_id, object_id FROM catalog_requests "
                                    "WHERE tenant_id = :tenant ORDER BY revision",
                                    {{"tenant", tenant}}));
  for (const Row& row : requests) {
    CreateRequest r;
    METAMCP_ASSIGN_OR_RETURN(r.request_id, row.Get<std::string>("request_id"));
    METAMCP_ASSIGN_OR_RETURN(r.object_id, row.Get<std::string>("object_id"));
    out->requests.push_back(std::move(r));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SqlStore::MigrateBlocking(db::Database& database) {
  METAMCP_RETURN_IF_ERROR(db::MigrateBlocking(database, "catalog", Migrations()).status());
  return db::MigrateBlocking(database, "pins", pins::Migrations()).status();
}

absl::StatusOr<StoredCatalog> SqlStore::Load(std::string_view tenant) {
  return database_.Read([tenant](Transaction& tx) -> absl::StatusOr<StoredCatalog> {
    StoredCatalog out;
    METAMCP_RETURN_IF_ERROR(ReadHead(tx, tenant, &out));
    METAMCP_RETURN_IF_ERROR(ReadUpstreams(tx, tenant, &out));
    METAMCP_RETURN_IF_ERROR(ReadItems(tx, tenant, &out));
    METAMCP_RETURN_IF_ERROR(ReadServers(tx, tenant, &out));
    METAMCP_RETURN_IF_ERROR(ReadPins(tx, tenant, &out));
    METAMCP_RETURN_IF_ERROR(ReadHistory(tx, tenant, &out));
    return out;
  });
}

absl::StatusOr<int64_t> SqlStore::Head(std::string_view tenant) {
  return database_.Read([tenant](Transaction& tx) { return ReadRevision(tx, tenant); });
}

absl::StatusOr<int64_t> SqlStore::Apply(std::string_view tenant, const ChangeSet& changes) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<int64_t> {
    METAMCP_ASSIGN_OR_RETURN(const int64_t revision, NextRevision(tx, tenant, changes.expected));
    METAMCP_RETURN_IF_ERROR(WriteRemovals(tx, tenant, changes));
    METAMCP_RETURN_IF_ERROR(WriteObjects(tx, tenant, changes, revision));
    METAMCP_RETURN_IF_ERROR(WriteHistory(tx, tenant, changes, revision));
    return revision;
  });
}

}  // namespace metamcp::catalog
