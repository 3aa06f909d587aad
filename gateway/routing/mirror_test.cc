#include "gateway/routing/mirror.h"

#include <gtest/gtest.h>

#include "common/base/strings.h"

namespace metamcp::gateway {
namespace {

using catalog::v1::ITEM_KIND_TOOL;
using catalog::v1::WatchCatalogResponse;

// One chunk of a batch with tools `first` to `last` of the view "default".
WatchCatalogResponse Chunk(int64_t revision, int first, int last) {
  WatchCatalogResponse message;
  message.set_revision(revision);
  auto* view = message.add_views();
  view->set_name("default");
  for (int i = first; i <= last; ++i) {
    auto* item = message.add_items();
    item->set_id(StrCat("i", i));
    item->set_kind(ITEM_KIND_TOOL);
    item->set_original_name(StrCat("t", i));
    item->set_definition(StrCat("{\"name\":\"t", i, "\",\"inputSchema\":{}}"));
    auto* exposed = view->add_items();
    exposed->set_kind(ITEM_KIND_TOOL);
    exposed->set_name(StrCat("t", i));
    exposed->set_qualified_name(StrCat("up.t", i));
    exposed->set_item_id(item->id());
    exposed->add_routes()->set_upstream_id("u");
  }
  return message;
}

// The first chunk names the view in full, as the catalog does.
WatchCatalogResponse FirstChunk(int64_t revision, int first, int last, bool begin) {
  WatchCatalogResponse message = Chunk(revision, first, last);
  message.set_begin(begin);
  message.mutable_views(0)->set_active(true);
  message.mutable_views(0)->set_title("Everything");
  return message;
}

WatchCatalogResponse LastChunk(int64_t revision, int first, int last) {
  WatchCatalogResponse message = Chunk(revision, first, last);
  message.set_end(true);
  return message;
}

size_t Tools(const CatalogMirror& mirror) {
  return mirror.snapshot()->Find("default")->Entries(ITEM_KIND_TOOL).size();
}

TEST(CatalogMirrorTest, ABatchBecomesVisibleAtItsEnd) {
  CatalogMirror mirror;
  mirror.Apply(FirstChunk(7, 1, 2, true));
  EXPECT_FALSE(mirror.ready());
  mirror.Apply(LastChunk(7, 3, 3));
  ASSERT_TRUE(mirror.ready());
  EXPECT_EQ(mirror.snapshot()->revision, 7);
  EXPECT_EQ(Tools(mirror), 3u);
}

TEST(CatalogMirrorTest, AStreamThatBreaksInABatchLeavesNoTrace) {
  CatalogMirror mirror;
  mirror.Apply(FirstChunk(7, 1, 2, true));
  mirror.Apply(LastChunk(7, 3, 3));
  // A change, broken off; the next stream tells it again from the same revision on.
  mirror.Apply(FirstChunk(8, 1, 2, false));
  mirror.StartOver();
  EXPECT_EQ(mirror.resume_revision(), 7);
  mirror.Apply(FirstChunk(8, 1, 2, false));
  mirror.Apply(LastChunk(8, 3, 3));
  EXPECT_EQ(Tools(mirror), 3u);
}

TEST(CatalogMirrorTest, AfterABrokenFullBatchEverythingIsAskedForAgain) {
  CatalogMirror mirror;
  mirror.Apply(FirstChunk(7, 1, 2, true));
  mirror.Apply(LastChunk(7, 3, 3));
  mirror.Apply(FirstChunk(9, 1, 1, true));
  mirror.StartOver();
  EXPECT_EQ(mirror.resume_revision(), 0);
  EXPECT_EQ(Tools(mirror), 3u) << "what was complete is served meanwhile";
  mirror.Apply(FirstChunk(9, 1, 2, true));
  mirror.Apply(LastChunk(9, 3, 3));
  const auto view = mirror.snapshot()->Find("default");
  EXPECT_TRUE(view->active());
  EXPECT_EQ(view->title(), "Everything");
  EXPECT_EQ(mirror.resume_revision(), 9);
}

TEST(CatalogMirrorTest, WhatWaitsForAnApprovalIsKnownByBothNames) {
  CatalogMirror mirror;
  mirror.Apply(FirstChunk(7, 1, 1, true));
  catalog::v1::HiddenItem hidden;
  hidden.set_name("up__push");
  hidden.set_qualified_name("up.push");
  hidden.set_detail("it changed");
  // The head of a view, and with it what waits, comes with its first part.
  WatchCatalogResponse first = FirstChunk(8, 1, 2, false);
  *first.mutable_views(0)->add_quarantined() = hidden;
  first.set_end(true);
  mirror.Apply(LastChunk(7, 2, 2));
  mirror.Apply(first);
  const auto view = mirror.snapshot()->Find("default");
  ASSERT_NE(view->FindQuarantined("up__push"), nullptr);
  ASSERT_NE(view->FindQuarantined("up.push"), nullptr);
  EXPECT_NE(view->FindQuarantined("up.push")->find("it changed"), std::string::npos);
  EXPECT_EQ(view->FindQuarantined("t1"), nullptr);
}

TEST(CatalogMirrorTest, AnInspectorMasksAndBlocksDefinitionsAndIsAskedAgain) {
  CatalogMirror mirror;
  int asked = 0;
  std::string blocked = "up.t2";
  mirror.SetInspector([&](const std::string& name, const std::string&) {
    ++asked;
    Inspected verdict;
    if (name == blocked) verdict.blocked = "no";
    if (name == "up.t1") verdict.masked = R"({"name":"other","description":"masked"})";
    return verdict;
  });
  mirror.Apply(FirstChunk(7, 1, 2, true));
  mirror.Apply(LastChunk(7, 3, 3));
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(Tools(mirror), 2u);
  auto view = mirror.snapshot()->Find("default");
  EXPECT_EQ(view->Find(ITEM_KIND_TOOL, "t1")->definition,
            R"({"name":"t1","description":"masked"})");
  EXPECT_EQ(*view->FindQuarantined("t2"), "no");
  blocked.clear();
  mirror.InspectAgain();
  EXPECT_EQ(Tools(mirror), 3u);
  EXPECT_EQ(mirror.snapshot()->revision, 7);
  EXPECT_EQ(mirror.snapshot()->Find("default")->FindQuarantined("t2"), nullptr);
}

}  // namespace
}  // namespace metamcp::gateway
