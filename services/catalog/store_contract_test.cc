// One suite over every back-end; METAMCP_TEST_POSTGRES_URL names the PostgreSQL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "common/db/executor.h"
#include "common/db/testing.h"
#include "metamcp/catalog/v1/catalog_service.metamcp.h"
#include "services/catalog/app.h"
#include "services/catalog/convert.h"
#include "services/catalog/sql_store.h"
#include "services/catalog/testing.h"

namespace metamcp::catalog {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

class CatalogStoreTest : public db::DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped() || db_ == nullptr) return;
    ASSERT_TRUE(SqlStore::MigrateBlocking(*db_).ok());
  }
  StoredCatalog Load(std::string_view tenant = "default") {
    auto loaded = SqlStore(*db_).Load(tenant);
    METAMCP_CHECK(loaded.ok());
    return *std::move(loaded);
  }
  int64_t Apply(const ChangeSet& changes, std::string_view tenant = "default") {
    const auto revision = SqlStore(*db_).Apply(tenant, changes);
    EXPECT_TRUE(revision.ok()) << revision.status();
    return revision.ok() ? *revision : -1;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, CatalogStoreTest, db::AllBackends(), db::BackendName);

std::shared_ptr<UpstreamRecord> Record(const std::string& id, const std::string& name) {
  auto record = std::make_shared<UpstreamRecord>();
  record->upstream = MakeUpstream(name, 4);
  record->upstream.mutable_meta()->set_id(id);
  record->upstream.mutable_meta()->set_created_us(123);
  (*record->upstream.mutable_spec()->mutable_env())["A"] = "quote ' \" \xc3\xa4";
  record->upstream.mutable_status()->set_server_info("{\"name\":\"s\"}");
  record->config_enabled = false;
  record->lists[pb::ITEM_KIND_TOOL].seen_us = 77;
  record->lists[pb::ITEM_KIND_PROMPT].ttl_ms = 5;
  return record;
}

std::shared_ptr<ItemEntry> Entry(const std::string& upstream, const std::string& name) {
  auto entry = AnalyzeItem(upstream, "s", pb::ITEM_KIND_TOOL, name, ToolJson(name)).entry;
  entry->item.set_version(3);
  entry->item.set_first_seen_us(9);
  entry->item.set_breaking_change(true);
  return entry;
}

TEST_P(CatalogStoreTest, AnEmptyCatalogLoads) {
  RecordProperty("req", "M-UJ-A1.s4");
  const StoredCatalog stored = Load();
  EXPECT_EQ(stored.revision, 0);
  EXPECT_EQ(stored.separator, "__");
  EXPECT_THAT(stored.upstreams, SizeIs(0));
}

TEST_P(CatalogStoreTest, EverythingComesBackAsItWas) {
  RecordProperty("req", "M-COMP-Cat.2 M02-AD-4 A-L2.I2");
  ChangeSet changes;
  const auto upstream = Record("u1", "git");
  const auto item = Entry("u1", "it's \"x\"");
  auto bad =
      std::make_shared<ItemEntry>(*AnalyzeItem("u1", "s", pb::ITEM_KIND_TOOL, "bad", "[1]").entry);
  auto server = std::make_shared<VirtualServerRecord>();
  server->server.mutable_meta()->set_id("v1");
  server->server.mutable_meta()->set_name("plain");
  server->server.mutable_spec()->set_prefix("none");
  changes.put_upstreams = {upstream};
  changes.put_items = {item, bad};
  changes.put_servers = {server};
  changes.separator = "-";
  changes.request.emplace();
  changes.request->request_id = "r1";
  changes.request->object_id = "u1";
  EXPECT_EQ(Apply(changes), 1);
  const StoredCatalog stored = Load();
  EXPECT_EQ(stored.revision, 1);
  EXPECT_EQ(stored.separator, "-");
  ASSERT_THAT(stored.upstreams, SizeIs(1));
  const UpstreamRecord& got = *stored.upstreams[0].value;
  EXPECT_EQ(DeterministicBytes(got.upstream), DeterministicBytes(upstream->upstream));
  EXPECT_FALSE(got.config_enabled);
  EXPECT_EQ(got.lists[pb::ITEM_KIND_TOOL].seen_us, 77);
  EXPECT_EQ(got.lists[pb::ITEM_KIND_PROMPT].ttl_ms, 5);
  ASSERT_THAT(stored.items, SizeIs(2));
  for (const auto& at : stored.items) {
    const bool refused = at.value.entry->item.original_name() == "bad";
    const ItemEntry& expected = refused ? *bad : *item;
    EXPECT_EQ(at.value.entry->invalid, expected.invalid);
    EXPECT_EQ(DeterministicBytes(at.value.entry->item), DeterministicBytes(expected.item));
  }
  ASSERT_THAT(stored.servers, SizeIs(1));
  EXPECT_EQ(stored.servers[0].value->server.spec().prefix(), "none");
  ASSERT_THAT(stored.requests, SizeIs(1));
}

TEST_P(CatalogStoreTest, RevisionsRiseAndRemovalsAreRemembered) {
  ChangeSet put;
  put.put_upstreams = {Record("u1", "git"), Record("u2", "web")};
  put.put_items = {Entry("u1", "a"), Entry("u1", "b"), Entry("u2", "c")};
  EXPECT_EQ(Apply(put), 1);
  ChangeSet remove;
  remove.remove_upstream_ids = {"u1"};
  remove.tombstones.push_back({0, ObjectType::kUpstream, "u1"});
  GoneItem gone;
  gone.version = 3;
  gone.first_seen_us = 9;
  gone.fingerprint = "f";
  remove.tombstones.push_back({0, ObjectType::kItem, "i1", gone});
  EXPECT_EQ(Apply(remove), 2);
  const StoredCatalog stored = Load();
  ASSERT_THAT(stored.upstreams, SizeIs(1));
  EXPECT_EQ(stored.upstreams[0].revision, 1);
  EXPECT_THAT(stored.items, SizeIs(1));
  ASSERT_THAT(stored.tombstones, SizeIs(2));
  EXPECT_EQ(stored.tombstones[0].key, "i1");
  EXPECT_EQ(stored.tombstones[0].item.version, 3);
  EXPECT_EQ(stored.tombstones[0].item.first_seen_us, 9);
  EXPECT_EQ(stored.tombstones[0].item.fingerprint, "f");
  EXPECT_EQ(stored.tombstones[1].revision, 2);
  EXPECT_EQ(stored.tombstones[1].key, "u1");
}

TEST_P(CatalogStoreTest, WritesOnlyOnTopOfWhatWasRead) {
  EXPECT_EQ(*SqlStore(*db_).Head("default"), 0);
  ChangeSet first;
  first.expected = 0;
  first.put_upstreams = {Record("u1", "git")};
  EXPECT_EQ(Apply(first), 1);
  ChangeSet late;
  late.expected = 0;
  late.put_upstreams = {Record("u2", "web")};
  const auto refused = SqlStore(*db_).Apply("default", late);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(Load().upstreams, SizeIs(1));
  EXPECT_EQ(*SqlStore(*db_).Head("default"), 1);
  late.expected = 1;
  EXPECT_EQ(Apply(late), 2);
}

TEST_P(CatalogStoreTest, AFailedWriteLeavesNothing) {
  ChangeSet put;
  put.put_upstreams = {Record("u1", "git")};
  EXPECT_EQ(Apply(put), 1);
  ChangeSet clash;
  clash.put_items = {Entry("u1", "a")};
  clash.put_upstreams = {Record("u2", "other"), Record("u3", "git")};
  const auto status = SqlStore(*db_).Apply("default", clash);
  EXPECT_EQ(status.status().code(), absl::StatusCode::kAlreadyExists);
  const StoredCatalog stored = Load();
  EXPECT_EQ(stored.revision, 1);
  EXPECT_THAT(stored.upstreams, SizeIs(1));
  EXPECT_THAT(stored.items, SizeIs(0));
}

TEST_P(CatalogStoreTest, TenantsDoNotSeeEachOther) {
  ChangeSet put;
  put.put_upstreams = {Record("u1", "git")};
  put.put_items = {Entry("u1", "a")};
  EXPECT_EQ(Apply(put, "red"), 1);
  EXPECT_EQ(Apply(put, "blue"), 1);
  ChangeSet remove;
  remove.remove_upstream_ids = {"u1"};
  EXPECT_EQ(Apply(remove, "blue"), 2);
  EXPECT_THAT(Load("red").items, SizeIs(1));
  EXPECT_THAT(Load("blue").items, SizeIs(0));
}

TEST_P(CatalogStoreTest, HistoryIsBounded) {
  ChangeSet many;
  for (size_t i = 0; i < kTombstonesMax; ++i) {
    many.tombstones.push_back({0, ObjectType::kItem, "i" + std::to_string(i)});
  }
  Apply(many);
  ChangeSet more;
  more.tombstones.push_back({0, ObjectType::kItem, "new"});
  Apply(more);
  const StoredCatalog stored = Load();
  EXPECT_THAT(stored.tombstones, SizeIs(1));
  EXPECT_EQ(stored.floor, 1);
}

// The whole service over the real store, through its interface.
TEST_P(CatalogStoreTest, TheServiceSurvivesARestart) {
  RecordProperty("req", "M-COMP-Cat.2 M-FR-004.4");
  boost::asio::io_context io;
  db::DbExecutor executor(*db_);
  const CallContext ctx;
  std::string id;
  {
    auto app = Await(io, CatalogApp::Create(io.get_executor(), executor));
    ASSERT_TRUE(app.ok()) << app.status();
    v1::CatalogService& service = (*app)->service();
    pb::CreateUpstreamRequest create;
    *create.mutable_upstream() = MakeUpstream("git");
    auto made = Await(io, service.CreateUpstream(ctx, create));
    ASSERT_TRUE(made.ok()) << made.status();
    id = made->upstream().meta().id();
    pb::ReportRequest report;
    report.set_upstream_id(id);
    *report.add_lists() = ListOf(pb::ITEM_KIND_TOOL, {MakeTool("status"), MakeTool("log")});
    ASSERT_TRUE(Await(io, service.Report(ctx, report)).ok());
    ASSERT_TRUE(Await(io, (*app)->Stop()).ok());
  }
  auto app = Await(io, CatalogApp::Create(io.get_executor(), executor));
  ASSERT_TRUE(app.ok()) << app.status();
  const auto items = Await(io, (*app)->service().ListItems(ctx, pb::ListItemsRequest()));
  ASSERT_TRUE(items.ok());
  ASSERT_EQ(items->items_size(), 2);
  EXPECT_EQ(items->items(0).name(), "git__log");
  auto stranger = std::make_shared<Principal>();
  stranger->tenant = "other";
  CallContext theirs;
  theirs.principal = stranger;
  EXPECT_EQ(Await(io, (*app)->service().ListItems(theirs, pb::ListItemsRequest())).status().code(),
            absl::StatusCode::kPermissionDenied);
  ASSERT_TRUE(Await(io, (*app)->Stop()).ok());
}

}  // namespace
}  // namespace metamcp::catalog
