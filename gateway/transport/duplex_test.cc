// Connections that carry messages both ways: HTTP+SSE and WebSocket, with real sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "gateway/transport/duplex_fixture.h"

namespace metamcp::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// What holds whatever carries the messages.
class EachDuplexTest : public DuplexTest, public ::testing::WithParamInterface<const char*> {
 public:
  Awaitable<std::unique_ptr<Peer>> Open() {
    const std::string path = StrCat("/", GetParam());
    if (path == "/ws") {
      std::unique_ptr<Peer> peer = co_await OpenWs(path, Headers());
      co_return peer;
    }
    std::unique_ptr<Peer> peer = co_await OpenSse(path, Headers());
    co_return peer;
  }
};

TEST_P(EachDuplexTest, CarriesBothErasMixed) {
  RecordProperty("req", "P1-Transports-5,M-FR-001.1");
  Run([this]() -> Awaitable<void> {
    auto peer = co_await Open();
    const auto got1 = co_await Ask(*peer, R"({"jsonrpc":"2.0","id":"p","method":"ping"})");
    EXPECT_THAT(got1, HasSubstr(R"("result":{})"));
    const auto got2 = co_await Ask(*peer, Call(1, "echo"));
    EXPECT_THAT(got2, HasSubstr("send initialize first"));
    const std::string modern = ModernText("2", "tools/call", R"("name":"up__echo")");
    const auto got3 = co_await Ask(*peer, modern);
    EXPECT_THAT(got3, HasSubstr(R"("resultType":"complete")"));
    const auto opened = co_await Ask(*peer, Init("2024-11-05"));
    EXPECT_EQ(At(opened, {"result", "protocolVersion"}), "\"2024-11-05\"");
    const auto got4 = co_await Ask(*peer, Init("2025-06-18"));
    EXPECT_THAT(got4, HasSubstr("initialized already"));
    co_await peer->Say(R"({"jsonrpc":"2.0","method":"notifications/initialized"})");
    const auto called = co_await Ask(*peer, Call(3, "echo"));
    EXPECT_THAT(called, Not(HasSubstr("resultType")));
    EXPECT_THAT(called, HasSubstr("content"));
    const auto got5 = co_await Ask(*peer, modern);
    EXPECT_THAT(got5, HasSubstr(R"("resultType":"complete")"));
    const auto got6 = co_await Ask(*peer, ModernText("4", "initialize", ""));
    EXPECT_THAT(got6, HasSubstr("-32601"));
    const std::string future =
        R"({"jsonrpc":"2.0","id":5,"method":"tools/list","params":{"_meta":{)"
        R"("io.modelcontextprotocol/protocolVersion":"2099-01-01",)"
        R"("io.modelcontextprotocol/clientCapabilities":{}}}})";
    const auto got7 = co_await Ask(*peer, future);
    EXPECT_THAT(got7, HasSubstr("-32022"));
    EXPECT_EQ(sessions_->List().size(), 1u);
    EXPECT_EQ(sessions_->List()[0]->transport, GetParam());
  });
}

TEST_P(EachDuplexTest, NegotiatesEveryLegacyRevision) {
  RecordProperty("req", "M-AC-5.1.1");
  Run([this]() -> Awaitable<void> {
    for (const char* version : {"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"}) {
      auto peer = co_await Open();
      const auto opened = co_await Ask(*peer, Init(version));
      EXPECT_EQ(At(opened, {"result", "protocolVersion"}), StrCat("\"", version, "\""));
      const auto got8 = co_await Ask(*peer, R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})");
      EXPECT_THAT(got8, HasSubstr("up__echo"));
      const bool batches = std::string_view(version) <= "2025-03-26";
      co_await peer->Say(R"([{"jsonrpc":"2.0","id":2,"method":"ping"},)"
                         R"({"jsonrpc":"2.0","method":"notifications/x"}])");
      if (batches || std::string_view(GetParam()) == "ws") {
        const auto got9 = co_await peer->Hear();
        EXPECT_THAT(got9, HasSubstr(batches ? "\"result\":{}" : "-32600"));
      }
      peer->Leave();
    }
    const auto done35 = [this] { return sessions_->List().empty() && duplex_->size() == 0; };
    co_await Until(done35);
  });
}

TEST_P(EachDuplexTest, AsksTheClientAndHearsOfProgress) {
  Run([this]() -> Awaitable<void> {
    auto peer = co_await Open();
    (void)co_await Ask(*peer, Init("2025-11-25", R"({"elicitation":{}})"));
    co_await peer->Say(Call(1, "ask"));
    const std::string question = co_await peer->Hear();
    EXPECT_EQ(At(question, {"method"}), "\"elicitation/create\"");
    const auto answer = StrCat(R"({"jsonrpc":"2.0","id":)", At(question, {"id"}),
                               R"(,"result":{"action":"accept","content":{"name":"n"}}})");
    co_await peer->Say(answer);
    const auto got10 = co_await peer->Hear();
    EXPECT_THAT(got10, HasSubstr("accept"));
    (void)co_await Ask(*peer, Call(2, "progress", R"(,"_meta":{"progressToken":9})"));
    EXPECT_EQ(others.size(), 3u);
    EXPECT_THAT(others.at(0), HasSubstr(R"("progressToken":9)"));
    // A modern client gets the question as a result.
    const auto got11 = co_await Ask(*peer, ModernText("3", "tools/call", R"("name":"up__ask")"));
    EXPECT_THAT(got11, HasSubstr("input_required"));
  });
}

TEST_P(EachDuplexTest, CancelsByNotificationAndByLeaving) {
  Run([this]() -> Awaitable<void> {
    auto peer = co_await Open();
    (void)co_await Ask(*peer, Init("2025-06-18"));
    co_await peer->Say(Call(1, "hang"));
    co_await peer->Say(ModernText("2", "tools/call", R"("name":"up__hang")"));
    const auto got12 = co_await Ask(*peer, Call(2, "echo"));
    EXPECT_THAT(got12, HasSubstr("no answer yet"));
    for (const char* id : {"1", "2"}) {
      co_await peer->Say(StrCat(R"({"jsonrpc":"2.0","method":"notifications/cancelled",)",
                                R"("params":{"requestId":)", id, "}}"));
    }
    const auto done36 = [this] { return provider_.cancelled == 2; };
    co_await Until(done36);
    // Nothing was said of them.
    const auto got13 = co_await Ask(*peer, Call(3, "echo"));
    EXPECT_THAT(got13, HasSubstr(R"("id":3)"));
    EXPECT_THAT(others, IsEmpty());
    co_await peer->Say(Call(4, "hang"));
    co_await peer->Say(ModernText("5", "tools/call", R"("name":"up__hang")"));
    const auto done37 = [this] { return provider_.calls.size() == 5; };
    co_await Until(done37);
    peer->Leave();
    const auto done38 = [this] { return provider_.cancelled == 4 && sessions_->List().empty(); };
    co_await Until(done38);
    EXPECT_EQ(duplex_->size(), 0u);
  });
}

TEST_P(EachDuplexTest, TellsOfChanges) {
  Run([this]() -> Awaitable<void> {
    auto peer = co_await Open();
    (void)co_await Ask(*peer, Init("2025-11-25"));
    const std::string subscribe =
        R"({"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"test://a"}})";
    const auto got14 = co_await Ask(*peer, subscribe);
    EXPECT_THAT(got14, HasSubstr("\"result\":{}"));
    provider_.updated_uri = "test://a";
    const auto got15 = co_await peer->Hear();
    EXPECT_THAT(got15, HasSubstr("notifications/resources/updated"));
    AddItem(catalog::v1::ITEM_KIND_TOOL, "new",
            R"({"name":"new","inputSchema":{"type":"object"}})");
    const auto got16 = co_await peer->Hear();
    EXPECT_THAT(got16, HasSubstr("notifications/tools/list_changed"));

    // Two listen streams share the connection and are told apart by their ids.
    co_await peer->Say(ModernText("\"l1\"", "subscriptions/listen",
                                  R"("notifications":{"toolsListChanged":true})"));
    const auto got17 = co_await peer->Hear();
    EXPECT_THAT(got17, HasSubstr("subscriptions/acknowledged"));
    co_await peer->Say(
        ModernText("8", "subscriptions/listen", R"("notifications":{"toolsListChanged":true})"));
    const auto got18 = co_await peer->Hear();
    EXPECT_THAT(got18, HasSubstr(R"("io.modelcontextprotocol/subscriptionId":8)"));
    AddItem(catalog::v1::ITEM_KIND_TOOL, "n2", R"({"name":"n2","inputSchema":{"type":"object"}})");
    std::string all;
    for (int i = 0; i < 3; ++i) all += co_await peer->Hear();
    EXPECT_THAT(all, HasSubstr(R"(subscriptionId":"l1")"));
    EXPECT_THAT(all, HasSubstr(R"(subscriptionId":8)"));
    co_await peer->Say(
        R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"l1"}})");
    const auto got19 = co_await Ask(*peer, Call(9, "echo"));
    EXPECT_THAT(got19, HasSubstr(R"("id":9)"));
    // The gateway ends the other one in order when it stops.
    duplex_->Drain();
    hub_->Close();
    all.clear();
    while (all.find("notifications/cancelled") == std::string::npos) {
      const std::string heard = co_await peer->Hear();
      if (heard.empty()) break;
      all += heard;
    }
    EXPECT_THAT(all, HasSubstr(R"("id":8,"result")"));
    EXPECT_THAT(all, HasSubstr(R"("requestId":8)"));
    EXPECT_THAT(all, Not(HasSubstr("l1")));
  });
}

TEST_P(EachDuplexTest, AnswersWhatRunsBeforeItStops) {
  Run([this]() -> Awaitable<void> {
    auto peer = co_await Open();
    auto idle = co_await Open();
    (void)co_await Ask(*peer, Init("2025-06-18"));
    co_await peer->Say(Call(1, "slow"));
    const auto done39 = [this] { return provider_.calls.size() == 1; };
    co_await Until(done39);
    duplex_->Drain();
    const auto got20 = co_await idle->Hear();
    EXPECT_EQ(got20, "");
    const auto got21 = co_await Ask(*peer, Call(2, "echo"));
    EXPECT_THAT(got21, HasSubstr("the gateway stops"));
    provider_.gate = true;
    const auto got22 = co_await peer->Hear();
    EXPECT_THAT(got22, HasSubstr(R"("id":1)"));
    const auto got23 = co_await peer->Hear();
    EXPECT_EQ(got23, "");
    auto late = co_await Open();
    EXPECT_TRUE(late == nullptr || status == 503);
  });
}

TEST_P(EachDuplexTest, EndsWithItsSessionAndHasBounds) {
  Run([this]() -> Awaitable<void> {
    auto peer = co_await Open();
    (void)co_await Ask(*peer, Init("2025-06-18"));
    sessions_->Remove(sessions_->List().at(0));
    const auto got24 = co_await peer->Hear();
    EXPECT_EQ(got24, "");
    const auto done40 = [this] { return duplex_->size() == 0; };
    co_await Until(done40);
    std::vector<std::unique_ptr<Peer>> peers;
    for (int i = 0; i < 8; ++i) peers.push_back(co_await Open());
    auto ninth = co_await Open();
    EXPECT_TRUE(ninth == nullptr || status == 429);
    peers.pop_back();
    const auto done41 = [this] { return duplex_->size() == 7; };
    co_await Until(done41);
    peers.push_back(co_await Open());
    const auto got25 = co_await Ask(*peers.back(), Init("2025-06-18"));
    EXPECT_THAT(got25, HasSubstr("result"));
    // Requests that nobody answers are bounded, too.
    for (int i = 1; i <= 512; ++i) {
      co_await peers[0]->Say(ModernText(StrCat(i), "tools/call", R"("name":"up__hang")"));
    }
    const auto got26 = co_await Ask(*peers[0], ModernText("600", "tools/list", ""));
    EXPECT_THAT(got26, HasSubstr("requests of this connection run"));
  });
}

TEST_P(EachDuplexTest, SurvivesWhatCannotBeRead) {
  Run([this]() -> Awaitable<void> {
    auto peer = co_await Open();
    for (const char* text : {"{", "[]", "7", R"({"jsonrpc":"2.0","id":1.5,"method":"ping"})"}) {
      co_await peer->Say(text);
      if (std::string_view(GetParam()) == "ws") {
        const auto got27 = co_await peer->Hear();
        EXPECT_THAT(got27, HasSubstr(R"("id":null,"error")")) << text;
      } else {
        EXPECT_EQ(static_cast<SsePeer&>(*peer).last_status, 400) << text;
      }
    }
    co_await peer->Say(R"({"jsonrpc":"2.0","id":99,"result":{}})");
    const std::string twice = R"({"jsonrpc":"2.0","id":3,"method":"ping","method":"x"})";
    co_await peer->Say(twice);
    const auto got28 = co_await peer->Hear();
    EXPECT_THAT(got28, HasSubstr("-32600"));
    const auto got29 = co_await Ask(*peer, R"({"jsonrpc":"2.0","id":4,"method":"ping"})");
    EXPECT_THAT(got29, HasSubstr("result"));
  });
}

TEST_P(EachDuplexTest, HoldsTheBackPressureOfAClientThatDoesNotRead) {
  Run([this]() -> Awaitable<void> {
    auto peer = co_await Open();
    const std::string big(900'000, 'x');
    // Far more than sockets hold: what is said stays bounded, and leaving frees it.
    int said = 0;
    bool done = false;
    tasks_.Spawn("talker", Talk(*peer, big, &said, &done));
    int before = -1;
    const auto done42 = [&] { return std::exchange(before, said) == said && said > 4; };
    co_await Until(done42);
    peer->Leave();
    const auto done43 = [&] { return duplex_->size() == 0; };
    co_await Until(done43);
    const auto done44 = [&] { return done; };
    co_await Until(done44);
  });
}

INSTANTIATE_TEST_SUITE_P(Transports, EachDuplexTest, ::testing::Values("sse", "ws"),
                         [](const auto& each) { return std::string(each.param); });

TEST_F(DuplexTest, TheKeyInTheUrlIsNoCredential) {
  RecordProperty("req", "M-SEC-1");
  std::vector<auth::StaticKey> keys(2);
  keys[0].name = "a";
  keys[0].secret = "0123456789abcdef-a";
  keys[1].name = "b";
  keys[1].secret = "0123456789abcdef-b";
  authenticator_ = *auth::Authenticator::Create(keys, false, keys_);
  sse_ = std::make_unique<SseEndpoint>(*duplex_, *authenticator_, EdgePaths());
  ws_ = std::make_unique<WsEndpoint>(*duplex_, *authenticator_);
  Run([this]() -> Awaitable<void> {
    const Headers a = {{"Authorization", "Bearer 0123456789abcdef-a"},
                       {"Content-Type", "application/json"}};
    const Headers b = {{"Authorization", "Bearer 0123456789abcdef-b"},
                       {"Content-Type", "application/json"}};
    const Headers nobody = {{"Content-Type", "application/json"}};
    (void)co_await OpenSse("/sse", nobody);
    EXPECT_EQ(status, 401);
    auto peer = co_await OpenSse("/sse", a);
    EXPECT_THAT(peer->endpoint, StartsWith("/messages?session_id="));
    const std::string ping = R"({"jsonrpc":"2.0","id":1,"method":"ping"})";
    const auto post = [this, &ping](std::string path, Headers headers) {
      return Send("POST", std::move(path), std::move(headers), ping);
    };
    auto accepted = co_await post(peer->endpoint, a);
    EXPECT_EQ(accepted.status, 202);
    EXPECT_EQ(accepted.body, "");
    auto anonymous = co_await post(peer->endpoint, nobody);
    EXPECT_EQ(anonymous.status, 401);
    auto foreign = co_await post(peer->endpoint, b);
    EXPECT_EQ(foreign.status, 404);
    auto elsewhere = co_await post("/servers/default" + peer->endpoint.substr(0) + "x", a);
    EXPECT_EQ(elsewhere.status, 404);
    auto none = co_await post("/messages", a);
    EXPECT_EQ(none.status, 404);
    auto got = co_await Send("GET", peer->endpoint, a, "");
    EXPECT_EQ(got.status, 405);
    const Headers text = {{"Authorization", "Bearer 0123456789abcdef-a"},
                          {"Content-Type", "text/plain"}};
    auto typed = co_await post(peer->endpoint, text);
    EXPECT_EQ(typed.status, 415);
    // A stream of a process that is no more, or another one's.
    const std::string key = keys_.Seal(SealPurpose::kSession, "ffff.1", "duplex|default|a|default");
    auto moved = co_await post("/messages?session_id=" + key, a);
    EXPECT_EQ(moved.status, 404);
    EXPECT_THAT(moved.body, HasSubstr("another gateway process"));
    const std::string endpoint = peer->endpoint;
    peer->Leave();
    const auto done45 = [this] { return duplex_->size() == 0; };
    co_await Until(done45);
    auto gone = co_await post(endpoint, a);
    EXPECT_EQ(gone.status, 404);
    EXPECT_THAT(gone.body, HasSubstr("has ended"));

    const auto got30 = co_await OpenWs("/ws", Headers());
    EXPECT_EQ(got30, nullptr);
    EXPECT_EQ(GetErrorInfo(refused)->reason, "UPSTREAM_AUTH");
    const auto got31 = co_await OpenWs("/ws", a);
    EXPECT_NE(got31, nullptr);
  });
}

TEST_F(DuplexTest, OpensOnlyWhatItServes) {
  Run([this]() -> Awaitable<void> {
    auto posted = co_await Send("POST", "/sse", Headers(), "{}");
    EXPECT_EQ(posted.status, 405);
    EXPECT_EQ(posted.headers["allow"], "GET");
    const Headers json = {{"Accept", "application/json"}};
    auto picky = co_await Send("GET", "/sse", json, "");
    EXPECT_EQ(picky.status, 406);
    auto unknown = co_await Send("GET", "/servers/nope/sse", Headers(), "");
    EXPECT_EQ(unknown.status, 404);
    auto plain = co_await Send("GET", "/ws", Headers(), "");
    EXPECT_EQ(plain.status, 426);
    EXPECT_EQ(plain.headers["upgrade"], "websocket");
    const auto got32 = co_await OpenWs("/servers/nope/ws", Headers());
    EXPECT_EQ(got32, nullptr);
    auto named = co_await OpenWs("/servers/default/ws", Headers());
    EXPECT_NE(named, nullptr);
    auto sse = co_await OpenSse("/servers/default/sse", Headers());
    EXPECT_EQ(status, 200);
    const auto got33 = co_await Ask(*sse, Init("2024-11-05"));
    EXPECT_THAT(got33, HasSubstr("result"));
  });
}

TEST_F(DuplexTest, KeepsIdleStreamsAlive) {
  Run([this]() -> Awaitable<void> {
    auto sse = co_await OpenSse("/sse", Headers());
    auto ws = co_await OpenWs("/ws", Headers());
    for (int i = 0; i < 4; ++i) (void)co_await Sleep(std::chrono::milliseconds(60));
    const auto got34 = co_await Ask(*sse, R"({"jsonrpc":"2.0","id":1,"method":"ping"})");
    EXPECT_THAT(got34, HasSubstr("result"));
    EXPECT_GE(sse->comments, 1);
    // It answers no pings, as nothing reads there: it is given up.
    const auto done46 = [this] { return duplex_->size() == 1; };
    co_await Until(done46);
  });
}

}  // namespace
}  // namespace metamcp::gateway
