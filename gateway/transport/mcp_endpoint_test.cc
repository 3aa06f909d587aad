#include "gateway/transport/mcp_endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "common/base/strings.h"
#include "gateway/transport/endpoint_fixture.h"

namespace metamcp::gateway {
namespace {

namespace asio = boost::asio;
using ::testing::HasSubstr;
using ::testing::Not;
using Answer = std::string;

TEST_F(EndpointTest, WhatAProxyForwardsNeedsAKey) {
  Run([this]() -> Awaitable<void> {
    for (const char* name : {"Forwarded", "x-forwarded-for", "X-Real-IP"}) {
      Headers headers = {{name, "for=192.0.2.1"}};
      auto refused = co_await Modern("server/discover", "", std::move(headers));
      EXPECT_EQ(refused.status, 401) << name;
      EXPECT_THAT(refused.body, HasSubstr("came through a proxy"));
    }
  });
}

TEST_F(EndpointTest, ServesBothErasOnOneUrl) {
  RecordProperty("req", "M-FR-001.1,M-AC-5.1.2,M-FR-001.3,M-COMP-Core.4");
  Run([this]() -> Awaitable<void> {
    auto discover = co_await Modern("server/discover", "");
    EXPECT_EQ(At(discover.body, {"result", "supportedVersions"}), R"(["2026-07-28"])");
    auto tools = co_await Modern("tools/list", "");
    EXPECT_THAT(tools.body, HasSubstr(R"("name":"up__echo")"));
    EXPECT_EQ(At(tools.body, {"result", "resultType"}), "\"complete\"");
    auto call = co_await Modern("tools/call", R"("name":"up__echo","arguments":{"a":1})");
    EXPECT_THAT(call.body, HasSubstr(R"(\"arguments\":{\"a\":1})"));
    EXPECT_THAT(call.body, Not(HasSubstr("up__echo")));  // the upstream sees its own name

    const std::string session = co_await Initialize();
    EXPECT_NE(session, "");
    auto listed = co_await Legacy(session, R"({"jsonrpc":"2.0","id":2,"method":"tools/list"})");
    EXPECT_THAT(listed.body, HasSubstr(R"("name":"up__echo")"));
    EXPECT_THAT(listed.body, Not(HasSubstr("resultType")));
    auto called = co_await Legacy(
        session, R"({"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"up.echo"}})");
    EXPECT_EQ(At(called.body, {"id"}), "3");
    EXPECT_THAT(called.body, Not(HasSubstr("resultType")));
  });
}

TEST_F(EndpointTest, NegotiatesEveryLegacyRevision) {
  RecordProperty("req", "M-FR-001.1");
  Run([this]() -> Awaitable<void> {
    for (const std::string asked :
         {"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "1999-01-01", "2026-07-28"}) {
      const bool known = asked > "2000" && asked < "2026";
      std::string message =
          StrCat(R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":")",
                 asked, R"(","capabilities":{},"clientInfo":{"name":"t","version":"1"}}})");
      auto answer = co_await Legacy("", std::move(message));
      EXPECT_EQ(At(answer.body, {"result", "protocolVersion"}),
                StrCat("\"", known ? asked : "2025-11-25", "\""));
    }
  });
}

// One row of the ladder of mcp-digest 3.1.
struct Rung {
  using Headers = std::vector<std::pair<std::string, std::string>>;
  Rung(const char* w, const char* b, Headers h, int s, const char* c)
      : what(w), body(b), headers(std::move(h)), status(s), code(c) {}
  const char* what;
  const char* body;
  Headers headers;
  int status;
  const char* code;  // raw, empty: no error expected
};

class LadderTest : public EndpointTest, public ::testing::WithParamInterface<Rung> {};

TEST_P(LadderTest, Answers) {
  RecordProperty("req", "M-FR-001.5,A-P5.3,A-P6.1");
  Run([this]() -> Awaitable<void> {
    Headers headers = {{"Accept", "application/json, text/event-stream"}};
    bool typed = false;
    for (const auto& h : GetParam().headers) {
      headers.push_back(h);
      typed = typed || h.first == "Content-Type";
    }
    if (!typed) headers.push_back({"Content-Type", "application/json"});
    auto answer = co_await Send("POST", "/mcp", std::move(headers), GetParam().body);
    EXPECT_EQ(answer.status, GetParam().status) << GetParam().what << " " << answer.body;
    EXPECT_EQ(At(answer.body, {"error", "code"}), GetParam().code) << answer.body;
    if (*GetParam().code != '\0') {
      EXPECT_NE(At(answer.body, {"error", "message"}), "") << answer.body;
    }
  });
}

#define META(version)                                               \
  R"("_meta":{"io.modelcontextprotocol/protocolVersion":")" version \
  R"(","io.modelcontextprotocol/clientCapabilities":{}})"

std::vector<Rung> Rungs() {
  std::vector<Rung> rungs;
  rungs.emplace_back("not json", "{", Rung::Headers{}, 400, "-32700");
  rungs.emplace_back("empty", "", Rung::Headers{}, 400, "-32700");
  rungs.emplace_back("no object", "3", Rung::Headers{}, 400, "-32600");
  rungs.emplace_back("duplicate method",
                     R"({"jsonrpc":"2.0","id":1,"method":"a","m\u0065thod":"b"})", Rung::Headers{},
                     400, "-32600");
  rungs.emplace_back("content type", "{}", Rung::Headers{{"Content-Type", "text/plain"}}, 415,
                     "-32600");
  rungs.emplace_back("batch without session", R"([{"jsonrpc":"2.0","id":1,"method":"ping"}])",
                     Rung::Headers{}, 400, "-32600");
  rungs.emplace_back("response without session", R"({"jsonrpc":"2.0","id":1,"result":{}})",
                     Rung::Headers{}, 400, "-32600");
  rungs.emplace_back("no session", R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})",
                     Rung::Headers{}, 400, "-32600");
  rungs.emplace_back("unknown session", R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})",
                     Rung::Headers{{"Mcp-Session-Id", "nope"}}, 404, "-31004");
  rungs.emplace_back("modern header, no claim", R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})",
                     Rung::Headers{{"MCP-Protocol-Version", "2026-07-28"}}, 400, "-32602");
  rungs.emplace_back("initialize with modern header",
                     R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{}})",
                     Rung::Headers{{"MCP-Protocol-Version", "2026-07-28"}}, 400, "-32020");
  rungs.emplace_back(
      "claim without header",
      R"({"jsonrpc":"2.0","id":1,"method":"tools/list","params":{)" META("2026-07-28") "}}",
      Rung::Headers{}, 400, "-32020");
  rungs.emplace_back(
      "claim and other header",
      R"({"jsonrpc":"2.0","id":1,"method":"tools/list","params":{)" META("2026-07-28") "}}",
      Rung::Headers{{"MCP-Protocol-Version", "2025-11-25"}, {"Mcp-Method", "tools/list"}}, 400,
      "-32020");
  rungs.emplace_back(
      "unknown version",
      R"({"jsonrpc":"2.0","id":1,"method":"tools/list","params":{)" META("2099-01-01") "}}",
      Rung::Headers{{"MCP-Protocol-Version", "2099-01-01"}, {"Mcp-Method", "tools/list"}}, 400,
      "-32022");
  rungs.emplace_back(
      "no capabilities",
      R"({"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":)"
      R"({"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}})",
      Rung::Headers{{"MCP-Protocol-Version", "2026-07-28"}, {"Mcp-Method", "tools/list"}}, 400,
      "-32602");
  rungs.emplace_back(
      "no method header",
      R"({"jsonrpc":"2.0","id":1,"method":"tools/list","params":{)" META("2026-07-28") "}}",
      Rung::Headers{{"MCP-Protocol-Version", "2026-07-28"}}, 400, "-32020");
  rungs.emplace_back(
      "unknown modern method",
      R"({"jsonrpc":"2.0","id":1,"method":"ping","params":{)" META("2026-07-28") "}}",
      Rung::Headers{{"MCP-Protocol-Version", "2026-07-28"}, {"Mcp-Method", "ping"}}, 404, "-32601");
  rungs.emplace_back(
      "modern notification",
      R"({"jsonrpc":"2.0","method":"notifications/x","params":{)" META("2026-07-28") "}}",
      Rung::Headers{{"MCP-Protocol-Version", "2026-07-28"}}, 202, "");
  return rungs;
}

INSTANTIATE_TEST_SUITE_P(Rungs, LadderTest, ::testing::ValuesIn(Rungs()));

TEST_F(EndpointTest, MirroredHeadersMustMatch) {
  Run([this]() -> Awaitable<void> {
    const std::string params = R"("name":"up__echo")";
    const Headers none = {{"Mcp-Name", ""}};
    const Headers wrong = {{"Mcp-Name", "up__other"}};
    const Headers base64 = {{"Mcp-Name", "=?base64?dXBfX2VjaG8=?="}};
    auto missing = co_await Modern("tools/call", params, none);
    EXPECT_EQ(missing.status, 400);
    EXPECT_EQ(At(missing.body, {"error", "code"}), "-32020");
    EXPECT_EQ(At(missing.body, {"id"}), "7");
    auto other = co_await Modern("tools/call", params, wrong);
    EXPECT_EQ(At(other.body, {"error", "code"}), "-32020");
    auto encoded = co_await Modern("tools/call", params, base64);
    EXPECT_EQ(encoded.status, 200) << encoded.body;
  });
}

TEST_F(EndpointTest, ErrorsSayWhoFailedAndWhatToDo) {
  RecordProperty("req", "M02-US-004.4,M-NFR-005.3");
  Run([this]() -> Awaitable<void> {
    auto lost = co_await Modern("tools/call", R"("name":"up__lost")");
    EXPECT_EQ(lost.status, 200);
    EXPECT_EQ(At(lost.body, {"error", "data", "source"}), "\"upstream:up\"");
    EXPECT_EQ(At(lost.body, {"error", "data", "reason"}), "\"UPSTREAM_LOST\"");
    EXPECT_NE(At(lost.body, {"error", "data", "hint"}), "");
    auto unknown = co_await Modern("tools/call", R"("name":"up__nope")");
    EXPECT_EQ(At(unknown.body, {"error", "code"}), "-32602");
    auto upstream = co_await Modern("tools/call", R"("name":"up__refuse")");
    EXPECT_EQ(At(upstream.body, {"error", "message"}), "\"no such thing\"");
    const std::string session = co_await Initialize();
    auto legacy = co_await Legacy(
        session, R"({"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"nope"}})");
    EXPECT_EQ(At(legacy.body, {"error", "code"}), "-32602");
  });
}

TEST_F(EndpointTest, ProgressTravelsOnTheRequestsStream) {
  Run([this]() -> Awaitable<void> {
    auto answer = co_await Modern("tools/call", R"("name":"up__progress")");
    EXPECT_EQ(answer.headers["content-type"], "text/event-stream");
    EXPECT_EQ(answer.messages.size(), 4u);
    if (answer.messages.size() != 4) co_return;
    EXPECT_EQ(At(answer.messages[2], {"params", "progressToken"}), "\"tok\"");
    EXPECT_EQ(At(answer.messages[2], {"params", "progress"}), "3");
    EXPECT_EQ(At(answer.messages[3], {"id"}), "7");
  });
}

TEST_F(EndpointTest, AnUnfinishedCallIsResumedByItsSealedStateOnly) {
  RecordProperty("req", "A-P6.4");
  Run([this]() -> Awaitable<void> {
    const std::string call = R"("name":"up__ask","arguments":{"x":1})";
    auto first = co_await Modern("tools/call", call);
    const std::string state = At(first.body, {"result", "requestState"});
    EXPECT_EQ(At(first.body, {"result", "resultType"}), "\"input_required\"");
    EXPECT_THAT(state, Not(HasSubstr("inner-state")));
    const std::string answers = R"("inputResponses":{"q":{"action":"accept"}})";
    auto second =
        co_await Modern("tools/call", StrCat(call, ",", answers, ",\"requestState\":", state));
    EXPECT_THAT(second.body, HasSubstr(R"({\"q\":{\"action\":\"accept\"}})")) << second.body;
    EXPECT_EQ(provider_.calls.back().request_state(), "inner-state");
    // Another method's parameters, an edited state, no state of ours.
    for (const std::string& bad :
         {StrCat(R"("name":"up__ask","arguments":{"x":2},"requestState":)", state),
          StrCat(R"("name":"up__echo","arguments":{"x":1},"requestState":)", state),
          StrCat(call, R"(,"requestState":"AAAA")")}) {
      auto refused = co_await Modern("tools/call", bad);
      EXPECT_EQ(At(refused.body, {"error", "code"}), "-32602") << refused.body;
      EXPECT_EQ(At(refused.body, {"error", "data", "reason"}), "\"STATE_INVALID\"");
    }
  });
}

TEST_F(EndpointTest, AModernClientThatLeavesCancelsItsCall) {
  Run([this]() -> Awaitable<void> {
    asio::cancellation_signal leave;
    auto call = [](EndpointTest* test) -> Awaitable<void> {
      co_await static_cast<EndpointTest_AModernClientThatLeavesCancelsItsCall_Test*>(test)->Modern(
          "tools/call", R"("name":"up__hang")");
    };
    auto done = [](std::exception_ptr) {};
    asio::co_spawn(io_, call(this), asio::bind_cancellation_slot(leave.slot(), done));
    while (provider_.calls.empty()) co_await Sleep(std::chrono::milliseconds(1));
    leave.emit(asio::cancellation_type::terminal);
    while (provider_.cancelled == 0) co_await Sleep(std::chrono::milliseconds(1));
  });
}

TEST_F(EndpointTest, ALegacySessionLivesUntilDelete) {
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize();
    auto pong = co_await Legacy(session, R"({"jsonrpc":"2.0","id":"p","method":"ping"})");
    EXPECT_EQ(At(pong.body, {"result"}), "{}");
    auto taken =
        co_await Legacy(session, R"({"jsonrpc":"2.0","method":"notifications/initialized"})");
    EXPECT_EQ(taken.status, 202);
    Headers id = {{"Mcp-Session-Id", session}};
    auto ended = co_await Send("DELETE", "/mcp", id, "");
    EXPECT_EQ(ended.status, 204);
    auto after = co_await Legacy(session, R"({"jsonrpc":"2.0","id":1,"method":"ping"})");
    EXPECT_EQ(after.status, 404);
  });
}

TEST_F(EndpointTest, ASessionIdOutlivesTheProcessThatMadeIt) {
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize();
    sessions_->Clear();  // as after a restart
    auto pong = co_await Legacy(session, R"({"jsonrpc":"2.0","id":1,"method":"ping"})");
    EXPECT_EQ(pong.status, 200);
    std::string edited = session;
    edited[edited.size() / 2] = edited[edited.size() / 2] == 'A' ? 'B' : 'A';
    auto refused = co_await Legacy(edited, R"({"jsonrpc":"2.0","id":1,"method":"ping"})");
    EXPECT_EQ(refused.status, 404);
  });
}

TEST_F(EndpointTest, ALegacyClientIsAskedOnItsOwnStream) {
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize("2025-11-25", R"({"elicitation":{}})");
    bool ended = false;
    std::vector<std::string> messages;
    auto call = [](EndpointTest* base, std::string id, bool& done,
                   std::vector<std::string>& out) -> Awaitable<void> {
      auto* test = static_cast<EndpointTest_ALegacyClientIsAskedOnItsOwnStream_Test*>(base);
      auto answer = co_await test->Legacy(
          id, R"({"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"up__ask"}})");
      out = answer.messages;
      done = true;
    };
    asio::co_spawn(io_, call(this, session, ended, messages),
                   [](std::exception_ptr e) { EXPECT_FALSE(e); });
    while (sessions_->List().at(0)->asks.empty()) co_await Sleep(std::chrono::milliseconds(1));
    const std::string ask = sessions_->List().at(0)->asks.begin()->first;
    auto taken = co_await Legacy(
        session, StrCat(R"({"jsonrpc":"2.0","id":")", ask,
                        R"(","result":{"action":"accept","content":{"name":"ada"}}})"));
    EXPECT_EQ(taken.status, 202);
    while (!ended) co_await Sleep(std::chrono::milliseconds(1));
    EXPECT_EQ(messages.size(), 2u);
    if (messages.size() != 2) co_return;
    EXPECT_EQ(At(messages[0], {"method"}), "\"elicitation/create\"");
    EXPECT_THAT(messages[1], HasSubstr("ada"));
    EXPECT_EQ(At(messages[1], {"id"}), "5");
  });
}

TEST_F(EndpointTest, ALegacyCancellationEndsTheCallWithoutAResponse) {
  Run([this]() -> Awaitable<void> {
    const std::string session = co_await Initialize();
    bool ended = false;
    auto call = [](EndpointTest* base, std::string id, bool& done) -> Awaitable<void> {
      auto* test =
          static_cast<EndpointTest_ALegacyCancellationEndsTheCallWithoutAResponse_Test*>(base);
      auto answer = co_await test->Legacy(
          id, R"({"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"up__hang"}})");
      EXPECT_EQ(answer.status, 202);
      EXPECT_EQ(answer.body, "");
      done = true;
    };
    asio::co_spawn(io_, call(this, session, ended), [](std::exception_ptr e) { EXPECT_FALSE(e); });
    while (provider_.calls.empty()) co_await Sleep(std::chrono::milliseconds(1));
    (void)co_await Legacy(session,
                          R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":)"
                          R"({"requestId":5}})");
    while (!ended) co_await Sleep(std::chrono::milliseconds(1));
    EXPECT_EQ(provider_.cancelled, 1);
  });
}

TEST_F(EndpointTest, AListenStreamAcknowledgesAndHearsOfChanges) {
  RecordProperty("req", "M-FR-004.3");
  Run([this]() -> Awaitable<void> {
    bool ended = false;
    std::vector<std::string> messages;
    auto listen = [](EndpointTest* base, bool& done,
                     std::vector<std::string>& out) -> Awaitable<void> {
      auto* test = static_cast<EndpointTest_AListenStreamAcknowledgesAndHearsOfChanges_Test*>(base);
      auto answer = co_await test->Modern(
          "subscriptions/listen",
          R"("notifications":{"toolsListChanged":true,"resourceSubscriptions":["test://a","x:y"]})");
      out = answer.messages;
      done = true;
    };
    asio::co_spawn(io_, listen(this, ended, messages),
                   [](std::exception_ptr e) { EXPECT_FALSE(e); });
    while (provider_.listening == 0) co_await Sleep(std::chrono::milliseconds(1));
    co_await Sleep(std::chrono::milliseconds(20));
    AddItem(catalog::v1::ITEM_KIND_PROMPT, "p", R"({"name":"p"})");  // not asked for
    AddItem(catalog::v1::ITEM_KIND_TOOL, "new", R"({"name":"new","inputSchema":{}})");
    provider_.updated_uri = "test://a";
    while (!provider_.updated_uri.empty()) co_await Sleep(std::chrono::milliseconds(1));
    hub_->Close();
    while (!ended) co_await Sleep(std::chrono::milliseconds(1));
    EXPECT_EQ(messages.size(), 4u);
    if (messages.size() != 4) co_return;
    const std::string subscription = "io.modelcontextprotocol/subscriptionId";
    EXPECT_EQ(At(messages[0], {"method"}), "\"notifications/subscriptions/acknowledged\"");
    EXPECT_EQ(At(messages[0], {"params", "notifications", "toolsListChanged"}), "true");
    EXPECT_EQ(At(messages[1], {"method"}), "\"notifications/tools/list_changed\"");
    EXPECT_EQ(At(messages[2], {"params", "uri"}), "\"test://a\"");
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(At(messages[i], {"params", "_meta", subscription}), "7") << messages[i];
    }
    EXPECT_EQ(At(messages[3], {"result", "resultType"}), "\"complete\"");
  });
}

TEST_F(EndpointTest, ABatchOf20250326IsAnsweredAsABatch) {
  RecordProperty("req", "A-L2.P2");
  Run([this]() -> Awaitable<void> {
    const std::string old = co_await Initialize("2025-03-26");
    const std::string batch = R"([{"jsonrpc":"2.0","id":1,"method":"ping"},)"
                              R"({"jsonrpc":"2.0","method":"notifications/initialized"},)"
                              R"({"jsonrpc":"2.0","id":2,"method":"nope"}])";
    auto answer = co_await Legacy(old, batch);
    EXPECT_EQ(answer.status, 200);
    auto elements = json::ScanArray(answer.body);
    EXPECT_TRUE(elements.ok() && elements->size() == 2) << answer.body;
    const std::string newer = co_await Initialize("2025-11-25");
    auto refused = co_await Legacy(newer, batch);
    EXPECT_EQ(refused.status, 400);
  });
}

TEST_F(EndpointTest, AForeignCursorIsRefused) {
  Run([this]() -> Awaitable<void> {
    auto bad = co_await Modern("tools/list", R"("cursor":"nope")");
    EXPECT_EQ(At(bad.body, {"error", "code"}), "-32602");
  });
}

}  // namespace
}  // namespace metamcp::gateway
