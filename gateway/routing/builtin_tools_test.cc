#include "gateway/routing/builtin_tools.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "gateway/routing/call_chain.h"
#include "gateway/routing/mirror.h"

namespace metamcp::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// Answers every call with `result`, or refuses it.
class OneResult final : public provider::v1::ProviderService, public ProviderDirectory {
 public:
  provider::v1::ProviderService* Find(const UpstreamInfo&) override { return this; }
  Awaitable<absl::Status> Call(const CallContext&, provider::v1::CallRequest request,
                               Sink<provider::v1::CallResponse>& sink) override {
    last = std::move(request);
    if (!refuse.ok()) co_return refuse;
    provider::v1::CallResponse event;
    event.mutable_result()->set_kind(provider::v1::RESULT_KIND_COMPLETE);
    event.mutable_result()->set_data(result);
    event.mutable_result()->set_last(true);
    co_return co_await sink.Write(std::move(event));
  }
  Awaitable<absl::Status> Listen(const CallContext&, provider::v1::ListenRequest,
                                 Sink<provider::v1::ListenResponse>&) override {
    co_return absl::OkStatus();
  }
  std::string result = R"({"resultType":"complete","content":[{"type":"text","text":"done"}]})";
  provider::v1::CallRequest last;
  absl::Status refuse;
};

class NoEvents final : public CallEvents {
 public:
  Awaitable<absl::Status> Progress(std::string) override { co_return absl::OkStatus(); }
  Awaitable<absl::Status> LogMessage(std::string) override { co_return absl::OkStatus(); }
};

class BuiltinToolsTest : public ::testing::Test {
 protected:
  BuiltinToolsTest() : chain_(provider_, keys_, CallChain::Options()) {
    catalog::v1::Upstream& up = *state_.add_upstreams();
    up.mutable_meta()->set_id("u");
    up.mutable_meta()->set_name("up");
    up.set_enabled(true);
    up.mutable_status()->set_reachable(true);
    view_ = state_.add_views();
    view_->set_name("default");
    view_->set_active(true);
    view_->add_upstream_ids("u");
    Add("read", R"({"name":"read","inputSchema":{"type":"object"}})");
    Add("typed", R"({"name":"typed","inputSchema":{"type":"object"},"outputSchema":)"
                 R"({"type":"object"}})");
    state_.set_begin(true);
    state_.set_end(true);
  }
  void Add(const std::string& name, const std::string& definition) {
    auto& item = *state_.add_items();
    item.set_id(name);
    item.set_upstream_id("u");
    item.set_kind(catalog::v1::ITEM_KIND_TOOL);
    item.set_original_name(name);
    item.set_definition(definition);
    auto& exposed = *view_->add_items();
    exposed.set_kind(catalog::v1::ITEM_KIND_TOOL);
    exposed.set_name(StrCat("up__", name));
    exposed.set_qualified_name(StrCat("up.", name));
    exposed.set_item_id(name);
    exposed.add_routes()->set_upstream_id("u");
    exposed.mutable_routes(0)->set_original_name(name);
  }
  std::shared_ptr<const ServerView> View() {
    CatalogMirror mirror;
    mirror.Apply(state_);
    return mirror.snapshot()->Find("default");
  }
  std::vector<std::string> Listed() {
    std::vector<std::string> out;
    const auto view = View();
    for (const auto& entry : view->Entries(catalog::v1::ITEM_KIND_TOOL)) out.push_back(entry->name);
    return out;
  }
  absl::StatusOr<CallOutcome> Call(std::string params) {
    CallSpec spec;
    spec.view = View();
    spec.method = "tools/call";
    spec.params = std::move(params);
    const CallContext ctx(std::make_shared<Principal>(),
                          CallContext::Clock::now() + std::chrono::seconds(30));
    boost::asio::io_context io;
    NoEvents events;
    absl::StatusOr<CallOutcome> out = absl::UnknownError("did not end");
    boost::asio::co_spawn(io, chain_.Run(ctx, spec, events),
                          [&out](std::exception_ptr, absl::StatusOr<CallOutcome> result) {
                            out = std::move(result);
                          });
    io.run();
    return out;
  }

  OneResult provider_;
  KeyRing keys_ = KeyRing::Ephemeral();
  CallChain chain_;
  catalog::v1::WatchCatalogResponse state_;
  catalog::v1::VirtualServerView* view_ = nullptr;
};

TEST_F(BuiltinToolsTest, ListsThreeToolsInsteadOfAll) {
  EXPECT_THAT(Listed(), ElementsAre("up__read", "up__typed"));
  view_->set_mode("search");
  EXPECT_THAT(Listed(), ElementsAre("search_tools", "describe_tool", "call_tool"));
  view_->set_suggest(true);
  EXPECT_THAT(Listed(),
              ElementsAre("search_tools", "describe_tool", "call_tool", "suggest_workflow"));
  view_->set_mode("all");
  EXPECT_THAT(Listed(), ElementsAre("up__read", "up__typed", "suggest_workflow"));
  for (const mcp::Revision revision : {mcp::kLatestLegacy, mcp::kLatestModern}) {
    EXPECT_THAT(View()->ListPage(catalog::v1::ITEM_KIND_TOOL, revision, 0, 10),
                HasSubstr("suggest_workflow"));
  }
}

TEST_F(BuiltinToolsTest, CallsWhatIsNamed) {
  view_->set_mode("search");
  const auto outcome =
      Call(R"({"name":"call_tool","arguments":{"name":"up.read","arguments":{"x":1}}})");
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_THAT(outcome->result, HasSubstr("done"));
  EXPECT_EQ(provider_.last.target(), "read");
  EXPECT_EQ(provider_.last.params(), R"({"name":"read","arguments":{"x":1}})");
  EXPECT_EQ(outcome->upstream, "up");
}

TEST_F(BuiltinToolsTest, IsNoToolWhereItIsNotListed) {
  const auto outcome = Call(R"({"name":"call_tool","arguments":{"name":"up.read"}})");
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(GetErrorInfo(outcome.status())->reason, "TOOL_NOT_FOUND");
}

TEST_F(BuiltinToolsTest, AttributesErrorsToWhoFailed) {
  view_->set_mode("search");
  provider_.refuse = MakeError("UPSTREAM_LOST", "upstream:up", "gone");
  const auto lost = Call(R"({"name":"call_tool","arguments":{"name":"up__read"}})");
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(GetErrorInfo(lost.status())->domain, "upstream:up");
  for (const char* unknown : {"up__nothing", "call_tool", "search_tools"}) {
    const auto outcome =
        Call(StrCat(R"({"name":"call_tool","arguments":{"name":")", unknown, R"("}})"));
    ASSERT_TRUE(outcome.ok());
    EXPECT_THAT(outcome->result, HasSubstr(R"("isError":true)")) << unknown;
  }
  for (const char* bad :
       {R"({"name":"call_tool","arguments":[]})", R"({"name":"call_tool"})",
        R"({"name":"call_tool","arguments":{"name":"up__read","max_output":3}})"}) {
    EXPECT_FALSE(Call(bad).ok()) << bad;
  }
}

TEST_F(BuiltinToolsTest, CutsLongResultsAndSaysSo) {
  RecordProperty("req", "M-FR-021");
  view_->set_mode("search");
  provider_.result =
      StrCat(R"({"resultType":"complete","content":[{"type":"text","text":")",
             std::string(5000, 'x'), R"("},{"type":"image","mimeType":"image/png","data":")",
             std::string(500, 'A'), R"("}],"structuredContent":{"a":1}})");
  const auto outcome = Call(
      R"({"name":"call_tool","arguments":{"name":"up__typed","arguments":{},"max_output":100}})");
  ASSERT_TRUE(outcome.ok());
  EXPECT_LT(outcome->result.size(), 400u);
  EXPECT_THAT(outcome->result, HasSubstr("[cut: the first 100 of "));
  EXPECT_THAT(outcome->result, Not(HasSubstr("structuredContent")));
  EXPECT_TRUE(json::ScanObject(outcome->result).ok());
}

TEST_F(BuiltinToolsTest, CutsForAWholeVirtualServer) {
  view_->set_max_output(100);
  provider_.result = StrCat(R"({"resultType":"complete","content":[{"type":"text","text":")",
                            std::string(5000, 'x'), R"("}]})");
  EXPECT_THAT(Call(R"({"name":"up__read"})")->result, HasSubstr("[cut: "));
  // A client checks it against the tool's output schema.
  EXPECT_THAT(Call(R"({"name":"up__typed"})")->result, Not(HasSubstr("[cut: ")));
}

TEST(CutResultTest, CutsBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "ä";
  const std::string cut =
      CutResult(StrCat(R"({"content":[{"type":"text","text":")", text, R"("}]})"), 101);
  EXPECT_TRUE(json::ScanObject(cut).ok());
  EXPECT_THAT(cut, HasSubstr("the first 101 of 300 characters"));
  const std::string fits = StrCat(R"({"content":[{"type":"text","text":")", text, R"("}]})");
  EXPECT_EQ(CutResult(fits, 300), fits);
}

}  // namespace
}  // namespace metamcp::gateway
