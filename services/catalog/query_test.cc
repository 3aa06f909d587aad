#include "services/catalog/query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "services/catalog/testing.h"

namespace metamcp::catalog {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> Words(const std::string& text) {
  std::vector<std::string> out;
  Tokenize(text, 100, [&out](std::string&& word) { out.push_back(std::move(word)); });
  return out;
}

TEST(SearchIndexTest, SplitsWords) {
  EXPECT_THAT(Words("createPullRequest"), ElementsAre("create", "pull", "request"));
  EXPECT_THAT(Words("HTTPServer_list-files.v2"),
              ElementsAre("http", "server", "list", "file", "v2"));
  EXPECT_THAT(Words("\xe5\xb7\xa5 class  "), ElementsAre("\xe5\xb7\xa5", "class"));
  EXPECT_THAT(Words(""), IsEmpty());
}

TEST(SearchIndexTest, ForgetsRemovedDocumentsAndReusesTheirPlace) {
  SearchIndex index;
  std::vector<SearchIndex::DocId> docs;
  const SearchDoc words = {{"common", 1.0f}};
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 200; ++i) docs.push_back(index.Add(std::make_shared<ItemEntry>(), words));
    EXPECT_EQ(index.Search("common").size(), 200u);
    for (const auto doc : docs) index.Remove(doc);
    docs.clear();
    EXPECT_THAT(index.Search("common"), IsEmpty());
  }
  EXPECT_EQ(index.size(), 0u);
}

class QueryTest : public testing::Test {
 protected:
  QueryTest() {
    pb::Upstream git = MakeUpstream("git");
    git.mutable_meta()->add_tags("code");
    git_ = f_.AddUpstream(git);
    const std::string web = f_.AddUpstream(MakeUpstream("web"));
    f_.AddUpstream(MakeUpstream("silent"));
    f_.Report(git_, {MakeTool("create_branch", R"(,"description":"Makes a branch to search in")"),
                     MakeTool("log", R"(,"annotations":{"readOnlyHint":true})"),
                     MakeItem(pb::ITEM_KIND_TOOL, "broken", "{}")});
    f_.Report(web, {MakeTool("search", R"(,"title":"Find pages")"), MakeTool("log")});
  }
  std::vector<std::string> Search(const std::function<void(pb::SearchItemsRequest&)>& set) {
    pb::SearchItemsRequest request;
    set(request);
    const auto response = SearchItems(f_.registry->model(), request);
    METAMCP_CHECK(response.ok());
    std::vector<std::string> out;
    for (const auto& item : response->items()) out.push_back(item.name());
    return out;
  }
  std::vector<pb::ItemSummary> Explain(const std::string& name, const std::string& view = "") {
    pb::ExplainItemRequest request;
    request.set_name(name);
    request.set_virtual_server(view);
    const auto response = ExplainItem(f_.registry->model(), request);
    METAMCP_CHECK(response.ok());
    return {response->items().begin(), response->items().end()};
  }

  Fixture f_;
  std::string git_;
};

TEST_F(QueryTest, SearchPutsExactNamesFirstThenRanks) {
  RecordProperty("req", "M-FR-004.5");
  EXPECT_THAT(Search([](auto& r) { r.set_query("search"); }),
              ElementsAre("web__search", "git__create_branch"));
  EXPECT_THAT(Search([](auto& r) { r.set_query("web__log"); })[0], "web__log");
  EXPECT_THAT(Search([](auto& r) { r.set_query("git.log"); })[0], "git__log");
  EXPECT_THAT(Search([](auto& r) { r.set_query("branches page"); }),
              testing::UnorderedElementsAre("git__create_branch", "web__search"));
  EXPECT_THAT(Search([](auto& r) { r.set_query("nothing-like-it"); }), IsEmpty());
}

TEST_F(QueryTest, SearchFilters) {
  RecordProperty("req", "M-FR-004.5");
  EXPECT_THAT(Search([](auto& r) { r.set_query("log"), r.set_upstream("web"); }),
              ElementsAre("web__log"));
  EXPECT_THAT(Search([](auto& r) { r.set_query("log"), r.set_tag("code"); }),
              ElementsAre("git__log"));
  EXPECT_THAT(Search([](auto& r) { r.set_query("log"), r.add_annotations("readOnlyHint"); }),
              ElementsAre("git__log"));
  EXPECT_THAT(Search([](auto& r) { r.set_query("log"), r.add_annotations("!readOnlyHint"); }),
              ElementsAre("web__log"));
  EXPECT_THAT(Search([](auto& r) { r.set_query("log"), r.set_kind(pb::ITEM_KIND_PROMPT); }),
              IsEmpty());
  EXPECT_THAT(Search([](auto& r) { r.set_query("log"), r.set_limit(1); }).size(), 1u);
}

TEST_F(QueryTest, ExplainNamesEveryCandidateAndReason) {
  const auto logs = Explain("log");
  ASSERT_EQ(logs.size(), 2u);
  EXPECT_EQ(logs[0].name(), "git__log");
  EXPECT_EQ(Explain("git.log").size(), 1u);
  EXPECT_EQ(Explain("git__log")[0].qualified_name(), "git.log");
  EXPECT_EQ(Explain("git.broken")[0].hidden_reason(), "invalid-definition");
  EXPECT_EQ(Explain("silent__anything")[0].hidden_reason(), "upstream-down");
  EXPECT_THAT(Explain("silent.x")[0].hidden_detail(), HasSubstr("meta-mcp doctor silent"));
  ASSERT_TRUE(Await(f_.io, f_.registry->SetUpstreamEnabled("git", false, "t")).ok());
  EXPECT_EQ(Explain("git__log")[0].hidden_reason(), "disabled");
  EXPECT_THAT(Explain("git__log")[0].hidden_detail(), HasSubstr("meta-mcp server enable git"));
}

TEST_F(QueryTest, ExplainSpeaksOfServersOutsideTheView) {
  pb::VirtualServerSpec spec;
  spec.add_servers("web");
  spec.set_prefix("none");
  f_.AddServer("webonly", spec);
  const auto logs = Explain("log", "webonly");
  ASSERT_EQ(logs.size(), 2u);
  EXPECT_EQ(logs[0].hidden_reason(), "");
  EXPECT_EQ(logs[1].hidden_reason(), "filtered");
}

TEST_F(QueryTest, ExplainNotFoundOffersTheNearest) {
  pb::ExplainItemRequest request;
  request.set_name("git__create_brnch");
  const auto response = ExplainItem(f_.registry->model(), request);
  EXPECT_EQ(response.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(response.status().message()), HasSubstr("git__create_branch"));
}

TEST_F(QueryTest, ListsPageByPageWithoutLossOrRepetition) {
  RecordProperty("req", "M-FR-004.1");
  std::vector<pb::Item> tools;
  for (int i = 0; i < 57; ++i) tools.push_back(MakeTool("t" + std::to_string(i)));
  f_.Report(git_, tools);
  std::vector<std::string> names;
  pb::ListItemsRequest request;
  request.set_page_size(10);
  request.set_kind(pb::ITEM_KIND_TOOL);
  do {
    const auto page = ListItems(f_.registry->model(), request);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_LE(page->items_size(), 10);
    for (const auto& item : page->items()) names.push_back(item.name());
    request.set_page_token(page->next_page_token());
    // What is added or removed behind the reader does not disturb it.
    tools.erase(tools.begin());
  } while (!request.page_token().empty());
  EXPECT_EQ(names.size(), 59u);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
}

TEST_F(QueryTest, ListShowsHiddenOnesOnRequest) {
  pb::ListItemsRequest request;
  request.set_include_hidden(true);
  request.set_upstream("git");
  const auto page = ListItems(f_.registry->model(), request);
  ASSERT_TRUE(page.ok());
  ASSERT_EQ(page->items_size(), 3);
  EXPECT_EQ(page->items(0).hidden_reason(), "invalid-definition");
  EXPECT_EQ(page->items(2).hidden_reason(), "");
  EXPECT_GT(page->items(2).last_seen_us(), 0);
}

TEST_F(QueryTest, TokensOfOtherListsAreRefused) {
  pb::ListItemsRequest request;
  request.set_page_size(1);
  const auto page = ListItems(f_.registry->model(), request);
  ASSERT_TRUE(page.ok());
  request.set_page_token(page->next_page_token());
  request.set_kind(pb::ITEM_KIND_PROMPT);
  EXPECT_EQ(ListItems(f_.registry->model(), request).status().code(),
            absl::StatusCode::kInvalidArgument);
  for (const char* token : {"x", "AAAA", "!!"}) {
    pb::ListUpstreamsRequest bad;
    bad.set_page_token(token);
    EXPECT_FALSE(ListUpstreams(f_.registry->model(), bad).ok()) << token;
  }
  request.set_page_size(-1);
  EXPECT_FALSE(ListItems(f_.registry->model(), request).ok());
}

TEST_F(QueryTest, UpstreamsAndServersArePaged) {
  pb::ListUpstreamsRequest request;
  request.set_page_size(2);
  const auto first = ListUpstreams(f_.registry->model(), request);
  ASSERT_TRUE(first.ok());
  ASSERT_EQ(first->upstreams_size(), 2);
  request.set_page_token(first->next_page_token());
  const auto second = ListUpstreams(f_.registry->model(), request);
  ASSERT_TRUE(second.ok());
  ASSERT_EQ(second->upstreams_size(), 1);
  EXPECT_EQ(second->upstreams(0).meta().name(), "web");
  EXPECT_EQ(second->next_page_token(), "");
  const auto servers = ListServers(f_.registry->model(), pb::ListVirtualServersRequest());
  ASSERT_TRUE(servers.ok());
  EXPECT_EQ(servers->virtual_servers(0).meta().origin(), "builtin");
}

TEST_F(QueryTest, DescribesAVirtualServer) {
  RecordProperty("req", "P1-Virt-1");
  const auto got = DescribeServer(f_.registry->model(), "default");
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->view().items_size(), 4);
  std::vector<std::string> hidden;
  for (const auto& h : got->hidden()) hidden.push_back(h.qualified_name() + " " + h.reason());
  EXPECT_THAT(hidden, ElementsAre("git.broken invalid-definition", "silent.* upstream-down"));
  EXPECT_FALSE(DescribeServer(f_.registry->model(), "nope").ok());
}

TEST(ScaleTest, TenThousandToolsOfAHundredUpstreams) {
  RecordProperty("req", "M02-AC-N.3 M-VERT-1");
  Fixture f;
  std::vector<std::string> ids;
  for (int u = 0; u < 100; ++u) {
    ids.push_back(f.AddUpstream(MakeUpstream("server-" + std::to_string(u))));
    std::vector<pb::Item> tools;
    for (int t = 0; t < 100; ++t) tools.push_back(MakeTool("tool_" + std::to_string(t)));
    f.Report(ids.back(), tools);
  }
  f.Flush();
  Model& model = f.registry->model();
  EXPECT_EQ(model.ItemCount(), 10'000u);
  const ViewPtr before = model.FindView("default");
  EXPECT_EQ(before->exposed(), 10'000u);
  // Definitions are held once: views refer to the entries of the model.
  const auto& slot = model.FindUpstream("server-7")->items.begin()->second;
  EXPECT_EQ(before->FindContribution("server-7")->candidates[0].item, slot.entry);
  // A change in one upstream leaves the others' parts of the view as they are.
  f.Report(ids[7], {MakeTool("only")});
  const ViewPtr after = model.FindView("default");
  EXPECT_EQ(after->exposed(), 9'901u);
  EXPECT_EQ(after->FindContribution("server-8"), before->FindContribution("server-8"));
  EXPECT_NE(after->FindContribution("server-7"), before->FindContribution("server-7"));
  pb::SearchItemsRequest request;
  request.set_query("only");
  EXPECT_EQ(SearchItems(model, request)->items(0).name(), "server-7__only");
}

}  // namespace
}  // namespace metamcp::catalog
