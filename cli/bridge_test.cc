#include "cli/bridge.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <csignal>
#include <thread>

#include "cli/fake_gateway.h"

namespace metamcp::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// A bridge on its own thread between two pipes and a fake gateway.
class BridgeTest : public ::testing::Test {
 protected:
  BridgeTest() {
    std::signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(::pipe2(in_, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(out_, O_CLOEXEC), 0);
    options_.url = gateway_.Listen();
    options_.drain = std::chrono::milliseconds(2000);
    options_.reconnect_min = std::chrono::milliseconds(1);
    options_.reconnect_max = std::chrono::milliseconds(20);
  }
  ~BridgeTest() override {
    End();
    for (const int fd : {in_[0], out_[0], out_[1]}) {
      if (fd >= 0) ::close(fd);
    }
  }

  void Begin(size_t line_bytes_max = 1 << 20) {
    thread_ = std::thread([this, line_bytes_max] {
      boost::asio::io_context io(1);
      const auto client = http::NewHttpClient(io.get_executor(), http::HttpClientOptions());
      const auto source = NewFdLineSource(io.get_executor(), in_[0], line_bytes_max);
      const auto sink = NewFdLineSink(io.get_executor(), out_[1]);
      Bridge bridge(io.get_executor(), *client, *source, *sink, options_);
      boost::asio::co_spawn(io, bridge.Run(), [&io](std::exception_ptr e) {
        io.stop();
        if (e) std::rethrow_exception(e);
      });
      io.run();
    });
  }
  // Closes the input and waits for the bridge to end.
  void End() {
    if (in_[1] >= 0) ::close(in_[1]);
    in_[1] = -1;
    if (thread_.joinable()) thread_.join();
  }

  void Send(const std::string& line) {
    const std::string text = line + "\n";
    size_t sent = 0;
    while (sent < text.size()) {
      const ssize_t n = ::write(in_[1], text.data() + sent, text.size() - sent);
      ASSERT_GT(n, 0);
      sent += static_cast<size_t>(n);
    }
  }
  std::string Read() {
    for (;;) {
      const size_t end = rest_.find('\n');
      if (end != std::string::npos) {
        std::string line = rest_.substr(0, end);
        rest_.erase(0, end + 1);
        return line;
      }
      pollfd watched{out_[0], POLLIN, 0};
      char buffer[4096];
      if (::poll(&watched, 1, 20'000) <= 0) return "";
      const ssize_t n = ::read(out_[0], buffer, sizeof(buffer));
      if (n <= 0) return "";
      rest_.append(buffer, static_cast<size_t>(n));
    }
  }
  // What was written up to now, after the bridge has ended.
  std::string Rest() {
    ::close(out_[1]);
    out_[1] = -1;
    std::string out = std::move(rest_);
    char buffer[4096];
    for (ssize_t n; (n = ::read(out_[0], buffer, sizeof(buffer))) > 0;) {
      out.append(buffer, static_cast<size_t>(n));
    }
    return out;
  }

  void Handshake() {
    Send(
        R"({"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}})");
    EXPECT_THAT(Read(), HasSubstr(R"("id":"init")"));
    Send(R"({"jsonrpc":"2.0","method":"notifications/initialized"})");
  }
  static std::string Request(int id, const std::string& method, const std::string& params = "{}") {
    return StrCat(R"({"jsonrpc":"2.0","id":)", id, R"(,"method":")", method, R"(","params":)",
                  params, "}");
  }
  static std::string Modern(int id, const std::string& method, const std::string& more = "") {
    return Request(id, method,
                   StrCat(R"({"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",)",
                          R"("io.modelcontextprotocol/clientCapabilities":{}})", more, "}"));
  }

  FakeGateway gateway_;
  BridgeOptions options_;
  int in_[2] = {-1, -1};
  int out_[2] = {-1, -1};
  std::string rest_;
  std::thread thread_;
};

TEST_F(BridgeTest, CarriesALegacySession) {
  RecordProperty("req", "M-FR-008");
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
