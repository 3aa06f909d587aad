#include "cli/bridge_fixture.h"

namespace metamcp::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TEST_F(BridgeTest, CarriesALegacySession) {
  RecordProperty("req", "M-FR-008 M-COMP-Core.4");
  options_.authorization = "Bearer secret";
  Begin();
  Handshake();
  Send(Request(1, "echo", R"({"a":1})"));
  EXPECT_EQ(Read(), R"({"jsonrpc":"2.0","id":1,"result":{"a":1}})");
  const auto seen = gateway_.WaitForBody("\"echo\"");
  EXPECT_EQ(seen.session, "s1");
  EXPECT_EQ(seen.version, "2025-11-25");
  EXPECT_EQ(seen.authorization, "Bearer secret");
  gateway_.WaitFor([](const auto& s) { return s.method == "GET" && s.session == "s1"; });
  End();
  gateway_.WaitFor([](const auto& s) { return s.method == "DELETE" && s.session == "s1"; });
}

TEST_F(BridgeTest, WritesEventsAsSingleLinesInOrder) {
  Begin();
  Handshake();
  Send(Request(1, "events"));
  EXPECT_THAT(Read(), HasSubstr("notifications/progress"));
  EXPECT_THAT(Read(), HasSubstr(R"("id":1)"));
}

TEST_F(BridgeTest, CarriesServerRequestsAndTheirAnswers) {
  Begin();
  Handshake();
  Send(Request(1, "ask"));
  const std::string question = Read();
  EXPECT_EQ(question, R"({"jsonrpc":"2.0", "id":"srv-1","method":"roots/list"})");
  Send(R"({"jsonrpc":"2.0","id":"srv-1","result":{"roots":[]}})");
  EXPECT_THAT(Read(), HasSubstr(R"("id":1)"));
  EXPECT_EQ(gateway_.WaitForBody("\"roots\":[]").session, "s1");
}

TEST_F(BridgeTest, PassesOnWhatTheListeningStreamSays) {
  Begin();
  Handshake();
  gateway_.Push(R"({"jsonrpc":"2.0","method":"notifications/tools/list_changed"})");
  EXPECT_THAT(Read(), HasSubstr("tools/list_changed"));
}

TEST_F(BridgeTest, RunsManyRequestsAtOnce) {
  RecordProperty("req", "A-P6.5 A-PO1");
  Begin();
  Handshake();
  for (int i = 0; i < 40; ++i) Send(Request(i, "hold"));
  gateway_.WaitForBody("\"hold\"", 40);
  Send(Request(100, "echo"));
  EXPECT_THAT(Read(), HasSubstr(R"("id":100)"));
  gateway_.Release();
  std::set<std::string> answers;
  for (int i = 0; i < 40; ++i) answers.insert(Read());
  EXPECT_EQ(answers.size(), 40u);
}

TEST_F(BridgeTest, OpensALostSessionAgain) {
  Begin();
  Handshake();
  Send(Request(1, "resources/subscribe", R"({"uri":"a://b"})"));
  EXPECT_THAT(Read(), HasSubstr(R"("id":1)"));
  gateway_.ForgetSessions();
  for (int i = 2; i < 12; ++i) Send(Request(i, "echo"));
  std::set<std::string> answers;
  for (int i = 2; i < 12; ++i) answers.insert(Read());
  EXPECT_EQ(answers.size(), 10u);
  for (const std::string& answer : answers) EXPECT_THAT(answer, HasSubstr("\"result\""));
  gateway_.WaitFor([](const auto& s) {
    return s.session == "s2" && s.body.find("notifications/initialized") != std::string::npos;
  });
  gateway_.WaitFor(
      [](const auto& s) { return s.session == "s2" && s.body.find("a://b") != std::string::npos; });
  EXPECT_EQ(gateway_.Count(
                [](const auto& s) { return s.body.find("\"initialize\"") != std::string::npos; }),
            2u);
  End();
  EXPECT_THAT(Rest(), IsEmpty());
}

TEST_F(BridgeTest, KeepsTheSessionWhenOnlyTheMethodIsUnknown) {
  Begin();
  Handshake();
  Send(Request(1, "unknown"));
  EXPECT_THAT(Read(), HasSubstr("-32601"));
  Send(Request(2, "echo"));
  EXPECT_THAT(Read(), HasSubstr("\"result\""));
  EXPECT_EQ(gateway_.WaitForBody("\"echo\"").session, "s1");
}

TEST_F(BridgeTest, ResumesAStreamThatBrokeOff) {
  Begin();
  Handshake();
  Send(Request(1, "torn"));
  EXPECT_THAT(Read(), HasSubstr("notifications/progress"));
  EXPECT_EQ(Read(), R"({"jsonrpc":"2.0","id":1,"result":{}})");
}

TEST_F(BridgeTest, CarriesModernRequestsWithTheirHeaders) {
  Begin();
  Send(Modern(1, "tools/list"));
  EXPECT_THAT(Read(), HasSubstr("x-mcp-header"));
  Send(Modern(2, "tools/call", R"(,"name":"t","arguments":{"region":"eu"})"));
  EXPECT_THAT(Read(), HasSubstr(R"("id":2)"));
  const auto seen = gateway_.WaitForBody("\"tools/call\"");
  EXPECT_EQ(seen.version, "2026-07-28");
  EXPECT_EQ(seen.mcp_method, "tools/call");
  EXPECT_EQ(seen.mcp_name, "t");
  EXPECT_EQ(seen.params.at("Region"), "eu");
  EXPECT_EQ(seen.session, "");
}

TEST_F(BridgeTest, EncodesNamesThatNoHeaderCanHold) {
  Begin();
  Send(Modern(1, "tools/call", R"(,"name":"größe\r\nX: y")"));
  EXPECT_THAT(Read(), HasSubstr(R"("id":1)"));
  EXPECT_THAT(gateway_.WaitForBody("\"tools/call\"").mcp_name, HasSubstr("=?base64?"));
}

TEST_F(BridgeTest, ClosesTheExchangeOfACancelledModernRequest) {
  Begin();
  Send(Modern(1, "hold"));
  gateway_.WaitForBody("\"hold\"");
  Send(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}})");
  gateway_.WaitForAbort();
  Send(Modern(2, "echo"));
  EXPECT_THAT(Read(), HasSubstr(R"("id":2)"));
  End();
  EXPECT_THAT(Rest(), IsEmpty());
}

TEST_F(BridgeTest, PassesOnACancelledLegacyRequest) {
  Begin();
  Handshake();
  Send(Request(1, "hold"));
  gateway_.WaitForBody("\"hold\"");
  Send(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}})");
  EXPECT_EQ(gateway_.WaitForBody("notifications/cancelled").session, "s1");
  gateway_.Release();
  Send(Request(2, "echo"));
  EXPECT_THAT(Read(), HasSubstr(R"("id":2)"));
}

TEST_F(BridgeTest, AnswersEveryRequestThatTheGatewayDoesNot) {
  Begin();
  Handshake();
  for (const std::string method : {"silent", "nonsense", "unauthorized", "anonymous"}) {
    Send(Request(7, method));
    const std::string answer = Read();
    EXPECT_THAT(answer, HasSubstr(R"("id":7)")) << method;
    EXPECT_THAT(answer, HasSubstr("\"error\"")) << method;
  }
}

TEST_F(BridgeTest, AnswersGarbageAndGoesOn) {
  Begin();
  Send("hello");
  EXPECT_THAT(Read(), HasSubstr("-32700"));
  Send("");
  Send(R"({"jsonrpc":"1.0","id":3,"method":"x"})");
  EXPECT_THAT(Read(), HasSubstr("-32600"));
  Send("[[[]]]");
  EXPECT_THAT(Read(), HasSubstr("-32600"));
  Send(Modern(4, "echo"));
  EXPECT_THAT(Read(), HasSubstr(R"("id":4)"));
}

TEST_F(BridgeTest, DropsALineThatIsTooLongAndGoesOn) {
  Begin(1000);
  Send(std::string(300'000, 'x'));
  EXPECT_THAT(Read(), HasSubstr("longer than 1000 bytes"));
  Send(Modern(1, "echo"));
  EXPECT_THAT(Read(), HasSubstr(R"("id":1)"));
}

TEST_F(BridgeTest, CarriesAHugeMessageBothWays) {
  Begin(8 << 20);
  const std::string text(3 << 20, 'x');
  Send(Modern(1, "echo", StrCat(R"(,"text":")", text, "\"")));
  const std::string answer = Read();
  EXPECT_THAT(answer.size(), ::testing::Gt(text.size()));
}

TEST_F(BridgeTest, RefusesAnIdThatIsInUse) {
  options_.drain = std::chrono::milliseconds(1);
  Begin();
  Send(Modern(1, "hold"));
  Send(Modern(1, "echo"));
  EXPECT_THAT(Read(), HasSubstr("has no answer yet"));
}

TEST_F(BridgeTest, RefusesMoreThanItsLimit) {
  options_.drain = std::chrono::milliseconds(1);
  options_.in_flight_max = 2;
  Begin();
  for (int i = 0; i < 3; ++i) Send(Modern(i, "hold"));
  EXPECT_THAT(Read(), HasSubstr("-31029"));
}

TEST_F(BridgeTest, AnswersRunningRequestsAfterTheEndOfItsInput) {
  options_.drain = std::chrono::seconds(20);
  Begin();
  Handshake();
  Send(Request(1, "hold"));
  gateway_.WaitForBody("\"hold\"");
  ::close(in_[1]);
  in_[1] = -1;
  gateway_.Release();
  EXPECT_THAT(Read(), HasSubstr(R"("id":1)"));
  End();
}

TEST_F(BridgeTest, EndsAlthoughAStreamStaysOpen) {
  options_.drain = std::chrono::hours(1);
  Begin();
  Send(Modern(1, "subscriptions/listen"));
  gateway_.WaitForBody("subscriptions/listen");
  End();
  gateway_.WaitForAbort();
}

TEST_F(BridgeTest, GivesUpWaitingAfterItsTime) {
  options_.drain = std::chrono::milliseconds(1);
  Begin();
  Send(Modern(1, "hold"));
  gateway_.WaitForBody("\"hold\"");
  End();
  EXPECT_THAT(Rest(), IsEmpty());
}

TEST_F(BridgeTest, EndsARequestThatTakesTooLong) {
  options_.request_timeout = std::chrono::milliseconds(50);
  Begin();
  Handshake();
  Send(Request(1, "hold"));
  EXPECT_THAT(Read(), HasSubstr("-31009"));
  gateway_.WaitForBody("notifications/cancelled");
}

TEST_F(BridgeTest, EndsWhenNobodyReadsItsOutput) {
  Begin();
  ::close(out_[0]);
  out_[0] = -1;
  Send(Modern(1, "echo"));
  // Ends by itself: the input stays open.
  thread_.join();
}

TEST_F(BridgeTest, SaysThatNoGatewayAnswers) {
  options_.url = "http://127.0.0.1:1/mcp";
  Begin();
  Send(Modern(1, "echo"));
  const std::string answer = Read();
  EXPECT_THAT(answer, HasSubstr("GATEWAY_UNREACHABLE"));
  EXPECT_THAT(answer, HasSubstr("hint"));
}

TEST_F(BridgeTest, StartsTheGatewayAgainWhenNobodyAnswers) {
  const std::string socket = StrCat(::testing::TempDir(), "/revive-", ::getpid(), ".sock");
  options_.unix_socket = socket;
  int revived = 0;
  options_.revive = [this, &socket, &revived]() -> Awaitable<absl::Status> {
    ++revived;
    gateway_.ListenUnix(socket);
    co_return absl::OkStatus();
  };
  Begin();
  Send(Modern(1, "echo"));
  EXPECT_THAT(Read(), HasSubstr("\"result\""));
  Send(Modern(2, "echo"));
  EXPECT_THAT(Read(), HasSubstr("\"result\""));
  End();
  EXPECT_EQ(revived, 1);
}

TEST_F(BridgeTest, LetsTheGatewaySeeItsPresence) {
  options_.presence = std::chrono::milliseconds(10);
  Begin();
  gateway_.WaitFor([](const auto& s) { return s.target == "/health"; }, 3);
}

TEST_F(BridgeTest, TakesABatchApart) {
  Begin();
  Handshake();
  Send(StrCat("[", Request(1, "echo"), ",", Request(2, "echo"), "]"));
  const std::string first = Read(), second = Read();
  EXPECT_NE(first, second);
  EXPECT_THAT(first + second, HasSubstr(R"("id":1)"));
  EXPECT_THAT(first + second, HasSubstr(R"("id":2)"));
}

}  // namespace
}  // namespace metamcp::cli
