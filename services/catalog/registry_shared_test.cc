// Several registries on one store, as several processes have it, and writes in doubt.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "services/catalog/registry.h"
#include "services/catalog/testing.h"

namespace metamcp::catalog {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const pb::Upstream* Find(Registry& registry, const std::string& name) {
  const Model::UpstreamSlot* slot = registry.model().FindUpstream(name);
  return slot == nullptr ? nullptr : &slot->record->upstream;
}

pb::ReportRequest Ready(const std::string& upstream_id, const std::vector<pb::Item>& tools) {
  pb::ReportRequest request;
  request.set_upstream_id(upstream_id);
  request.mutable_status()->set_state("ready");
  *request.add_lists() = ListOf(pb::ITEM_KIND_TOOL, tools);
  return request;
}

TEST(SharedStoreTest, EachSeesWhatTheOtherWroteBeforeItWrites) {
  Fixture f;
  const auto other = f.MakeRegistry();
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  const auto twice = Await(f.io, other->CreateUpstream(MakeUpstream("git"), "", "ann"));
  EXPECT_EQ(twice.status().code(), absl::StatusCode::kAlreadyExists);
  ASSERT_NE(Find(*other, "git"), nullptr);
  EXPECT_EQ(Find(*other, "git")->meta().id(), id);
  ASSERT_TRUE(Await(f.io, other->DeleteUpstream("git", "")).ok());
  f.AddUpstream(MakeUpstream("web"));
  EXPECT_EQ(Find(*f.registry, "git"), nullptr);
}

TEST(SharedStoreTest, AReportDoesNotUndoWhatTheOtherChanged) {
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  const auto other = f.MakeRegistry();
  ASSERT_TRUE(Await(f.io, other->Report(Ready(id, {MakeTool("x")}))).ok());  // pending there
  ASSERT_TRUE(Await(f.io, f.registry->UpdateUpstream("git", MakeUpstream("git", 9), "ann")).ok());
  ASSERT_TRUE(Await(f.io, other->Flush()).ok());
  ASSERT_TRUE(Await(f.io, f.registry->Flush()).ok());
  for (Registry* registry : {other.get(), f.registry.get()}) {
    EXPECT_EQ(Find(*registry, "git")->spec().priority(), 9);
    EXPECT_EQ(Find(*registry, "git")->status().state(), "ready");
    EXPECT_THAT(ExposedNames(registry->model(), "default"), ElementsAre("git__x"));
  }
}

TEST(SharedStoreTest, WhoIsOvertakenBetweenLookAndWriteWritesOnTop) {
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  const auto other = f.MakeRegistry();
  ASSERT_TRUE(Await(f.io, other->Report(Ready(id, {MakeTool("x")}))).ok());
  // What a third process does in that moment.
  f.store.during_apply = [&f] { ++f.store.revision; };
  ASSERT_TRUE(Await(f.io, other->Flush()).ok());
  EXPECT_EQ(f.store.items.size(), 1u);
  EXPECT_EQ(other->model().head(), f.store.revision);
  f.store.during_apply = [&f] { ++f.store.revision; };
  const auto overtaken = Await(f.io, other->SetUpstreamEnabled("git", false, "ann"));
  EXPECT_EQ(GetErrorInfo(overtaken.status())->reason, "DATABASE_CONFLICT");
  EXPECT_TRUE(Await(f.io, other->SetUpstreamEnabled("git", false, "ann")).ok());
}

TEST(SharedStoreTest, AReaderFollowsWithoutWriting) {
  RecordProperty("req", "M-HOR-3 M-NFR-003.1");
  Fixture f;
  const auto other = f.MakeRegistry();
  boost::asio::co_spawn(f.io, other->Follow(), [](std::exception_ptr) {});
  boost::asio::co_spawn(f.io, other->Run(), [](std::exception_ptr) {});
  const uint64_t before = other->generation();
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  f.Report(id, {MakeTool("a"), MakeTool("b")});
  f.Flush();
  f.Report(id, {MakeTool("b")});
  f.Flush();
  f.io.restart();
  while (other->generation() == before || other->model().ItemCount() != 1) f.io.run_one();
  EXPECT_THAT(ExposedNames(other->model(), "default"), ElementsAre("git__b"));
  other->RequestStop();
  f.io.run();
}

TEST(SharedStoreTest, WhatIsSharedIsKnownToTheOther) {
  RecordProperty("req", "P1-DB-3");
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  const auto other = f.MakeRegistry();
  f.Report(id, {MakeTool("x")});
  const auto share = [&f](Registry& registry) {
    bool done = false;
    boost::asio::co_spawn(f.io, registry.Share(), [&done](std::exception_ptr) { done = true; });
    f.io.restart();
    while (!done) f.io.run_one();
  };
  share(*f.registry);
  EXPECT_EQ(f.store.items.size(), 1u);
  EXPECT_LT(other->model().head(), f.registry->model().head());
  share(*other);
  EXPECT_EQ(other->model().head(), f.registry->model().head());
  EXPECT_THAT(ExposedNames(other->model(), "default"), ElementsAre("git__x"));
}

TEST(SharedStoreTest, AChangeThatWaitedForTheStoreStillReachesWatchers) {
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  f.Flush();
  const int64_t seen = f.registry->model().head();
  f.Report(id, {});
  f.store.fail_call = f.store.calls + 2;  // the write itself, after the look
  EXPECT_FALSE(Await(f.io, f.registry->Flush()).ok());
  f.Flush();  // reads again first, because nobody knows whether it took effect
  EXPECT_EQ(Find(*f.registry, "git")->status().state(), "ready");
  EXPECT_GT(f.registry->model().FindUpstream("git")->revision, seen);
}

TEST(ReportTest, AnItemThatComesBackGoesOnWhereItWas) {
  RecordProperty("req", "M-FR-004.6");
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  const auto item = [&f]() -> const pb::Item& {
    return f.registry->model().FindUpstream("git")->items.begin()->second.entry->item;
  };
  f.Report(id, {MakeTool("x")});
  const int64_t first_seen = item().first_seen_us();
  for (const bool restart : {false, true}) {
    f.Report(id, {});
    f.Flush();
    if (restart) f.Restart();
    f.Report(id, {MakeTool("x")});
    EXPECT_EQ(item().version(), 1) << "the same again is no other version";
    EXPECT_EQ(item().first_seen_us(), first_seen);
  }
  f.Report(id, {});
  f.Flush();
  f.Report(id, {MakeTool("x", R"(,"description":"now it does something else")")});
  EXPECT_EQ(item().version(), 2) << "an absence does not hide a change";
}

TEST(MaskTest, WhatWasReadCanBeWrittenAndStoresNoMask) {
  Fixture f;
  pb::Upstream upstream = MakeUpstream("git");
  (*upstream.mutable_spec()->mutable_env())["TOKEN"] = "hunter2";
  f.AddUpstream(upstream);
  pb::Upstream read = MakeUpstream("git", 5);
  (*read.mutable_spec()->mutable_env())["TOKEN"] = "***";
  (*read.mutable_spec()->mutable_env())["MORE"] = "1";
  ASSERT_TRUE(Await(f.io, f.registry->UpdateUpstream("git", read, "ann")).ok());
  const auto& spec = Find(*f.registry, "git")->spec();
  EXPECT_EQ(spec.priority(), 5);
  EXPECT_EQ(spec.env().at("TOKEN"), "hunter2");
  EXPECT_EQ(spec.env().at("MORE"), "1");
  (*read.mutable_spec()->mutable_headers())["Authorization"] = "***";
  const auto refused = Await(f.io, f.registry->UpdateUpstream("git", read, "ann"));
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("spec.headers[\"Authorization\"]"));
  pb::Upstream made = MakeUpstream("web");
  (*made.mutable_spec()->mutable_env())["TOKEN"] = "***";
  EXPECT_FALSE(Await(f.io, f.registry->CreateUpstream(made, "", "ann")).ok());
}

}  // namespace
}  // namespace metamcp::catalog
