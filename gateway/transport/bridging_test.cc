// What an upstream does that its client knows by another name, or not at all: URL elicitation as an
// error, extensions, MCP Apps, and lists that come a moment after the gateway.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/strings.h"
#include "gateway/transport/endpoint_fixture.h"

namespace metamcp::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kCallUrl = R"("name":"up__url","arguments":{})";

std::string LegacyCall(std::string_view tool) {
  return StrCat(R"({"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":")", tool,
                R"(","arguments":{}}})");
}

TEST_F(EndpointTest, AModernClientOpensTheUrlAndItsCallIsMadeAgain) {
  RecordProperty("req", "A12");
  capabilities_ = R"({"elicitation":{"url":{}}})";
  Run([this]() -> Awaitable<void> {
    auto asked = co_await Modern("tools/call", kCallUrl);
    EXPECT_EQ(At(asked.body, {"result", "resultType"}), "\"input_required\"") << asked.body;
    const std::string params = At(asked.body, {"result", "inputRequests", "url1", "params"});
    EXPECT_EQ(At(params, {"url"}), "\"https://a.example/x\"");
    EXPECT_EQ(At(params, {"elicitationId"}), "");
    const std::string state = At(asked.body, {"result", "requestState"});
    const std::string retry =
        StrCat(kCallUrl, R"(,"requestState":)", state, R"(,"inputResponses":{"url1":{"action":)");
    auto declined = co_await Modern("tools/call", StrCat(retry, R"("decline"}})"));
    EXPECT_EQ(At(declined.body, {"result", "isError"}), "true") << declined.body;
    EXPECT_EQ(provider_.calls.size(), 1u);

    auto early = co_await Modern("tools/call", StrCat(retry, R"("accept"}})"));
    EXPECT_EQ(At(early.body, {"result", "resultType"}), "\"input_required\"");
    provider_.opened = true;
    auto done = co_await Modern("tools/call", StrCat(retry, R"("accept"}})"));
    EXPECT_EQ(At(done.body, {"result", "resultType"}), "\"complete\"") << done.body;
    EXPECT_FALSE(provider_.calls.back().has_request_state());
    EXPECT_EQ(provider_.calls.back().input_responses(), "");
  });
}

TEST_F(EndpointTest, WhoCannotOpenUrlsIsToldTheLink) {
  RecordProperty("req", "A12");
  capabilities_ = R"({"elicitation":{"form":{}}})";
  Run([this]() -> Awaitable<void> {
    auto modern = co_await Modern("tools/call", kCallUrl);
    EXPECT_EQ(modern.status, 400);
    EXPECT_EQ(At(modern.body, {"error", "code"}), "-32021");
    EXPECT_EQ(At(modern.body, {"error", "data", "requiredCapabilities"}),
              R"({"elicitation":{"url":{}}})");
    EXPECT_THAT(modern.body, HasSubstr("https://a.example/x"));
    for (const char* revision : {"2024-11-05", "2025-06-18", "2025-11-25"}) {
      const std::string session = co_await Initialize(revision, R"({"elicitation":{}})");
      auto legacy = co_await Legacy(session, LegacyCall("up__url"));
      EXPECT_EQ(At(legacy.body, {"result", "isError"}), "true") << legacy.body;
      EXPECT_THAT(legacy.body, HasSubstr("https://a.example/x"));
    }
  });
}

TEST_F(EndpointTest, AClientOf20251125GetsItsOwnErrorForUrls) {
  RecordProperty("req", "A12");
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize("2025-11-25", R"({"elicitation":{"url":{}}})");
    auto answer = co_await Legacy(session, LegacyCall("up__url"));
    EXPECT_EQ(At(answer.body, {"error", "code"}), "-32042") << answer.body;
    EXPECT_THAT(answer.body, HasSubstr("elicitationId"));
  });
}

TEST_F(EndpointTest, OneUpstreamsExtensionsPassThrough) {
  RecordProperty("req", "A12");
  state_.mutable_upstreams(0)->mutable_status()->set_capabilities(
      R"({"tools":{},"extensions":{"vendor/x":{"v":2},"io.modelcontextprotocol/tasks":{}}})");
  Publish();
  capabilities_ = R"({"extensions":{"vendor/x":{}}})";
  Run([this]() -> Awaitable<void> {
    auto discover = co_await Modern("server/discover", "");
    EXPECT_EQ(At(discover.body, {"result", "capabilities", "extensions"}),
              R"({"vendor/x":{"v":2},"io.modelcontextprotocol/tasks":{}})");
    auto called = co_await Modern("vendor/do", R"("a":1)");
    EXPECT_EQ(called.messages.size(), 2u) << called.body;
    if (called.messages.size() == 2) {
      EXPECT_EQ(At(called.messages[0], {"method"}), "\"notifications/vendor/step\"");
      EXPECT_EQ(At(called.messages[1], {"result", "resultType"}), "\"vendor/x\"");
    }
    EXPECT_EQ(At(provider_.calls.back().client_capabilities(), {"extensions"}),
              R"({"vendor/x":{}})");
    const std::string session =
        co_await Initialize("2025-11-25", R"({"extensions":{"vendor/x":{"c":1}}})");
    auto legacy = co_await Legacy(session, LegacyCall("up__echo"));
    EXPECT_EQ(legacy.status, 200);
    EXPECT_EQ(At(provider_.calls.back().client_capabilities(), {"extensions"}),
              R"({"vendor/x":{"c":1}})");
  });
}

TEST_F(EndpointTest, UnknownMethodsNeedAnExtensionThatMayHaveThem) {
  RecordProperty("req", "A12");
  for (const char* declared :
       {"{}", R"({"io.modelcontextprotocol/ui":{}})", R"({"io.modelcontextprotocol/tasks":{}})"}) {
    state_.mutable_upstreams(0)->mutable_status()->set_capabilities(
        StrCat(R"({"tools":{},"extensions":)", declared, "}"));
    Publish();
    Run([this]() -> Awaitable<void> {
      auto called = co_await Modern("vendor/do", "");
      EXPECT_EQ(At(called.body, {"error", "code"}), "-32601") << called.body;
    });
  }
  state_.mutable_upstreams(0)->mutable_status()->set_capabilities(
      R"({"extensions":{"vendor/x":{},"io.modelcontextprotocol/ui":{}}})");
  Publish();
  Run([this]() -> Awaitable<void> {
    auto app = co_await Modern("ui/initialize", "");
    EXPECT_EQ(At(app.body, {"error", "code"}), "-32601") << app.body;
  });
  EXPECT_TRUE(provider_.calls.empty());
}

TEST_F(EndpointTest, OfSeveralUpstreamsOnlyMcpAppsIsPassedOn) {
  RecordProperty("req", "A12");
  constexpr const char* kBoth =
      R"({"extensions":{"vendor/x":{},"io.modelcontextprotocol/ui":{"mimeTypes":["m"]}}})";
  state_.mutable_upstreams(0)->mutable_status()->set_capabilities(kBoth);
  auto& second = *state_.add_upstreams();
  second = state_.upstreams(0);
  second.mutable_meta()->set_id("u2");
  second.mutable_meta()->set_name("u2");
  second.mutable_status()->set_listed(true);
  state_.mutable_views(0)->add_upstream_ids("u2");
  Publish();
  Run([this]() -> Awaitable<void> {
    auto discover = co_await Modern("server/discover", "");
    EXPECT_EQ(At(discover.body, {"result", "capabilities", "extensions"}),
              R"({"io.modelcontextprotocol/ui":{"mimeTypes":["m"]}})");
    auto called = co_await Modern("vendor/do", "");
    EXPECT_EQ(At(called.body, {"error", "code"}), "-32601");
  });
}

TEST_F(EndpointTest, AppsKeepTheirToolsAndTheResourcesBehindThem) {
  RecordProperty("req", "A12");
  AddItem(catalog::v1::ITEM_KIND_TOOL, "app",
          R"({"name":"app","inputSchema":{"type":"object"},"_meta":{"ui":{"resourceUri":)"
          R"("ui://app/main.html","visibility":["app"]}}})");
  Run([this]() -> Awaitable<void> {
    auto tools = co_await Modern("tools/list", "");
    EXPECT_THAT(tools.body, HasSubstr(R"("visibility":["app"])"));
    EXPECT_THAT(tools.body, HasSubstr(R"("resourceUri":"ui://app/main.html")"));
    auto called = co_await Modern("tools/call", R"("name":"up__app")");
    EXPECT_EQ(At(called.body, {"result", "resultType"}), "\"complete\"");
    // Not listed, yet readable.
    auto read = co_await Modern("resources/read", R"("uri":"ui://app/main.html")");
    EXPECT_THAT(read.body, HasSubstr(R"("uri":"ui://app/main.html")"));
  });
}

TEST_F(EndpointTest, TwoAppsWithOneUriAreToldApart) {
  RecordProperty("req", "A12");
  const std::string definition =
      R"({"name":"app","inputSchema":{"type":"object"},"_meta":{"ui":{"resourceUri":)"
      R"("ui://app/main.html"},"ui/resourceUri":"ui://app/main.html"}})";
  auto& second = *state_.add_upstreams();
  second = state_.upstreams(0);
  second.mutable_meta()->set_id("u2");
  second.mutable_meta()->set_name("u2");
  second.mutable_status()->set_listed(true);
  state_.mutable_views(0)->add_upstream_ids("u2");
  AddItem(catalog::v1::ITEM_KIND_TOOL, "app", definition);
  AddItem(catalog::v1::ITEM_KIND_TOOL, "app", definition, "u2");
  Run([this]() -> Awaitable<void> {
    auto tools = co_await Modern("tools/list", "");
    EXPECT_THAT(tools.body, HasSubstr(R"({"ui":{"resourceUri":"ui://app/main.html"},"ui/)"));
    EXPECT_THAT(tools.body, HasSubstr(R"({"ui":{"resourceUri":"ui://u2+app/main.html"},)"
                                      R"("ui/resourceUri":"ui://u2+app/main.html"})"));
    auto read = co_await Modern("resources/read", R"("uri":"ui://u2+app/main.html")");
    EXPECT_EQ(provider_.calls.back().upstream_id(), "u2");
    EXPECT_EQ(provider_.calls.back().target(), "ui://app/main.html");
    EXPECT_THAT(read.body, HasSubstr(R"("uri":"ui://u2+app/main.html")"));
  });
}

class TaskTest : public EndpointTest {
 protected:
  TaskTest() {
    state_.mutable_upstreams(0)->mutable_status()->set_capabilities(
        R"({"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{}}})");
    Publish();
    capabilities_ = R"({"extensions":{"io.modelcontextprotocol/tasks":{}}})";
  }
};

TEST_F(TaskTest, IdsAreSealedAndLeadBackToTheirSession) {
  RecordProperty("req", "A12");
  Run([this]() -> Awaitable<void> {
    auto discover = co_await Modern("server/discover", "");
    EXPECT_THAT(discover.body, HasSubstr(R"("io.modelcontextprotocol/tasks":{})"));
    auto created = co_await Modern("tools/call", R"("name":"up__task")");
    EXPECT_EQ(At(created.body, {"result", "resultType"}), "\"task\"") << created.body;
    EXPECT_THAT(created.body, Not(HasSubstr("inner-1")));
    const std::string id = At(created.body, {"result", "taskId"});
    auto got = co_await Modern("tasks/get", StrCat(R"("taskId":)", id));
    EXPECT_EQ(At(got.body, {"result", "status"}), "\"completed\"") << got.body;
    EXPECT_EQ(At(got.body, {"result", "taskId"}), id);
    EXPECT_EQ(provider_.calls.back().target(), "inner-1");
    EXPECT_EQ(provider_.calls.back().instance(), "key");
    auto updated =
        co_await Modern("tasks/update", StrCat(R"("inputResponses":{"a":{}},"taskId":)", id));
    EXPECT_EQ(At(updated.body, {"result", "resultType"}), "\"complete\"");
    EXPECT_EQ(provider_.calls.back().input_responses(), R"({"a":{}})");
    const size_t calls = provider_.calls.size();
    for (const char* method : {"tasks/get", "tasks/update", "tasks/cancel"}) {
      auto unknown = co_await Modern(method, R"("taskId":"inner-1","inputResponses":{})");
      EXPECT_EQ(At(unknown.body, {"error", "code"}), "-32602") << method << unknown.body;
    }
    for (const char* method : {"tasks/list", "tasks/result"}) {
      auto gone = co_await Modern(method, StrCat(R"("taskId":)", id));
      EXPECT_EQ(gone.status, 404) << method;
      EXPECT_EQ(At(gone.body, {"error", "code"}), "-32601") << method;
    }
    EXPECT_EQ(provider_.calls.size(), calls);
    capabilities_ = "{}";
    auto undeclared = co_await Modern("tasks/get", StrCat(R"("taskId":)", id));
    EXPECT_EQ(undeclared.status, 400);
    EXPECT_EQ(At(undeclared.body, {"error", "code"}), "-32021");
    EXPECT_THAT(At(undeclared.body, {"error", "data", "requiredCapabilities", "extensions"}),
                HasSubstr("io.modelcontextprotocol/tasks"));
  });
}

TEST_F(TaskTest, AClientOf20251125SeesItsOwnFlavour) {
  RecordProperty("req", "A12");
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize();
    auto created = co_await Legacy(
        session, R"({"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"up__task",)"
                 R"("arguments":{},"task":{"ttl":1000}}})");
    const std::string id = At(created.body, {"result", "task", "taskId"});
    EXPECT_EQ(At(created.body, {"result", "task", "ttl"}), "null") << created.body;
    EXPECT_EQ(provider_.calls.back().task(), R"({"ttl":1000})");
    auto result =
        co_await Legacy(session, StrCat(R"({"jsonrpc":"2.0","id":4,"method":"tasks/result",)",
                                        R"("params":{"taskId":)", id, "}}"));
    EXPECT_EQ(At(result.body, {"result", "_meta", "io.modelcontextprotocol/related-task"}),
              StrCat("{\"taskId\":", id, "}"))
        << result.body;
    // Over at once: a task that the session keeps by itself.
    auto local = co_await Legacy(
        session, R"({"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"up__echo",)"
                 R"("arguments":{"a":1},"task":{}}})");
    EXPECT_EQ(At(local.body, {"result", "task", "status"}), "\"completed\"") << local.body;
    const std::string own = At(local.body, {"result", "task", "taskId"});
    auto kept =
        co_await Legacy(session, StrCat(R"({"jsonrpc":"2.0","id":6,"method":)",
                                        R"("tasks/result","params":{"taskId":)", own, "}}"));
    EXPECT_THAT(kept.body, HasSubstr("arguments"));
    auto listed = co_await Legacy(session, R"({"jsonrpc":"2.0","id":7,"method":"tasks/list"})");
    EXPECT_THAT(listed.body, HasSubstr(own));
    const std::string older = co_await Initialize("2025-06-18");
    auto refused = co_await Legacy(
        older, R"({"jsonrpc":"2.0","id":8,"method":"tasks/get","params":{"taskId":"x"}})");
    EXPECT_EQ(At(refused.body, {"error", "code"}), "-32601");
  });
}

// A new upstream that connects while a client lists already.
class FirstListTest : public EndpointTest {
 protected:
  FirstListTest() {
    auto& second = *state_.add_upstreams();
    second.mutable_meta()->set_id("u2");
    second.mutable_meta()->set_name("u2");
    second.set_enabled(true);
    second.mutable_status()->set_state("connecting");
    state_.mutable_views(0)->add_upstream_ids("u2");
    Publish();
  }
  void Later(std::function<void()> what) {
    auto timer = std::make_shared<boost::asio::steady_timer>(io_, std::chrono::milliseconds(30));
    timer->async_wait([timer, what = std::move(what)](boost::system::error_code) { what(); });
  }
};

TEST_F(FirstListTest, AListWaitsForANewUpstreamThatIsStillConnecting) {
  RecordProperty("req", "M-FR-004.1");
  Later([this] {
    AddItem(catalog::v1::ITEM_KIND_TOOL, "late", R"({"name":"late","inputSchema":{}})", "u2");
  });
  Run([this]() -> Awaitable<void> {
    auto tools = co_await Modern("tools/list", "");
    EXPECT_THAT(tools.body, HasSubstr("u2__late"));
    const std::string session = co_await Initialize();
    auto listed = co_await Legacy(session, R"({"jsonrpc":"2.0","id":2,"method":"tools/list"})");
    EXPECT_THAT(listed.body, HasSubstr("u2__late"));
  });
}

TEST_F(FirstListTest, AListDoesNotWaitForOneThatFailed) {
  Later([this] {
    state_.mutable_upstreams(1)->mutable_status()->set_attempts(1);
    Publish();
  });
  Run([this]() -> Awaitable<void> {
    auto tools = co_await Modern("tools/list", "");
    EXPECT_THAT(tools.body, Not(HasSubstr("u2__")));
    EXPECT_THAT(tools.body, HasSubstr("up__echo"));
  });
}

TEST_F(FirstListTest, NorForOneThatOffersNothing) {
  Later([this] {
    state_.mutable_upstreams(1)->mutable_status()->set_state("ready");
    state_.mutable_upstreams(1)->mutable_status()->set_listed(true);
    Publish();
  });
  Run([this]() -> Awaitable<void> {
    auto tools = co_await Modern("tools/list", "");
    EXPECT_EQ(tools.status, 200);
  });
}

}  // namespace
}  // namespace metamcp::gateway
