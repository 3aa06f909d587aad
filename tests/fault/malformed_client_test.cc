// Clients that break HTTP, JSON-RPC or MCP, beside one that does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/gateway.h"

namespace metamcp::testing {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

const char kEnvelope[] = R"("_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",)"
                         R"("io.modelcontextprotocol/clientCapabilities":{}})";

// One gateway for all: what one of them breaks, the next would notice.
class MalformedClientTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    gateway_ = std::make_unique<Gateway>();
    Json config = {{"mcpServers", {{"good", EchoServer("good")}}},
                   {"gateway", {{"headerTimeoutMs", 1000}}},
                   {"limits", {{"bodyBytesMax", 1 << 20}}}};
    gateway_->Configure(config);
    ASSERT_TRUE(gateway_->Start()) << gateway_->Log();
    ASSERT_TRUE(gateway_->WaitForTools({"good__echo"})) << gateway_->Log();
  }
  static void TearDownTestSuite() {
    EXPECT_EQ(gateway_->Stop(), 0) << gateway_->Log();
    gateway_.reset();
  }
  void SetUp() override {
    RecordProperty("req", "M-AC-5.1.3");
    host_ = Url(gateway_->base()).host;
    for (int i = 0; i < 2; ++i) {
      bystanders_.push_back(gateway_->Client(i == 0 ? ClientEra::kLegacy : ClientEra::kModern));
    }
  }
  // Whoever was connected before is still served.
  void TearDown() override {
    for (McpClient& each : bystanders_) {
      EXPECT_EQ(each.CallText("good__echo", {{"text", "unmoved"}}), "unmoved");
    }
  }

  std::string Head(const std::string& more = "Content-Type: application/json\r\n") const {
    return "POST /mcp HTTP/1.1\r\nHost: " + host_ +
           "\r\nAccept: application/json, text/event-stream\r\n" + more;
  }
  std::string Message(const std::string& body,
                      const std::string& more = "Content-Type: application/json\r\n") const {
    return Head(more) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  HttpAnswer Post(const std::string& text) const {
    HttpConnection connection(gateway_->port());
    connection.Send(text);
    return connection.Read().value_or(HttpAnswer());
  }
  // The error's code, 0 where the body is no JSON-RPC error.
  static int CodeOf(const HttpAnswer& answer) {
    const Json body = Json::parse(answer.body, nullptr, false);
    return body.is_object() ? body.value(Json::json_pointer("/error/code"), 0) : 0;
  }
  static Json IdOf(const HttpAnswer& answer) {
    const Json body = Json::parse(answer.body, nullptr, false);
    return body.is_object() ? body.value("id", Json("no id member")) : Json("no object");
  }
  void ExpectError(const std::string& body, int status, int code, const Json& id) {
    const HttpAnswer answer = Post(Message(body));
    EXPECT_EQ(answer.status, status) << body.substr(0, 200) << "\n" << answer.body;
    EXPECT_EQ(CodeOf(answer), code) << body.substr(0, 200) << "\n" << answer.body;
    EXPECT_EQ(IdOf(answer), id) << body.substr(0, 200) << "\n" << answer.body;
  }

  static std::unique_ptr<Gateway> gateway_;
  std::string host_;
  std::vector<McpClient> bystanders_;
};
std::unique_ptr<Gateway> MalformedClientTest::gateway_;

TEST_F(MalformedClientTest, BrokenJson) {
  ExpectError(R"({"jsonrpc":"2.0","id":1,"method":)", 400, -32700, nullptr);
  ExpectError("", 400, -32700, nullptr);
  ExpectError("\xff\xfe{}", 400, -32700, nullptr);
  ExpectError("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\xff\"}", 400, -32700, nullptr);
  ExpectError("not json at all", 400, -32700, nullptr);
}

TEST_F(MalformedClientTest, WrongEnvelope) {
  ExpectError("17", 400, -32600, nullptr);
  ExpectError(R"({"jsonrpc":"1.0","id":7,"method":"ping"})", 400, -32600, 7);
  ExpectError(R"({"jsonrpc":"2.0","id":null,"method":"ping"})", 400, -32600, nullptr);
  ExpectError(R"({"jsonrpc":"2.0","id":1.5,"method":"ping"})", 400, -32600, nullptr);
  ExpectError(R"({"jsonrpc":"2.0","id":"x","method":7})", 400, -32600, "x");
}

TEST_F(MalformedClientTest, DuplicateKeysAlsoWhenEscaped) {
  ExpectError(R"({"jsonrpc":"2.0","id":1,"id":2,"method":"ping"})", 400, -32600, nullptr);
  const std::string call = R"({"jsonrpc":"2.0","id":3,"method":"tools/call","params":{)";
  ExpectError(call + R"("name":"good__echo","name":"good__who",)" + kEnvelope + "}}", 400, -32600,
              3);
  ExpectError(call + R"("name":"good__echo","n\u0061me":"good__who",)" + kEnvelope + "}}", 400,
              -32600, 3);
  ExpectError(call + "\"name\":\"good__echo\"," + kEnvelope + "," + kEnvelope + "}}", 400, -32600,
              3);
}

TEST_F(MalformedClientTest, DeepNesting) {
  const std::string deep = std::string(50000, '[') + std::string(50000, ']');
  const HttpAnswer answer = Post(
      Message(R"({"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"a":)" + deep + "}}"));
  EXPECT_EQ(answer.status, 400) << answer.body;
  EXPECT_EQ(CodeOf(answer), -32700) << answer.body;
}

TEST_F(MalformedClientTest, HugeBodyIsRefusedBeforeItIsRead) {
  HttpConnection announced(gateway_->port());
  announced.Send(Head() + "Content-Length: 1073741824\r\n\r\n");
  EXPECT_EQ(announced.Read(seconds(10)).value_or(HttpAnswer()).status, 413);

  HttpConnection chunked(gateway_->port());
  chunked.Send(Head() + "Transfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "10000\r\n" + std::string(0x10000, ' ') + "\r\n";
  for (int i = 0; i < 64 && chunked.Send(chunk); ++i) {
  }
  EXPECT_EQ(chunked.Read(seconds(10)).value_or(HttpAnswer()).status, 413);
}

TEST_F(MalformedClientTest, WrongContentTypeAndAccept) {
  const std::string ping = R"({"jsonrpc":"2.0","id":1,"method":"ping"})";
  EXPECT_EQ(Post(Message(ping, "Content-Type: text/plain\r\n")).status, 415);
  EXPECT_EQ(Post(Message(ping, "")).status, 415);
  HttpConnection connection(gateway_->port());
  connection.Send("POST /mcp HTTP/1.1\r\nHost: " + host_ +
                  "\r\nContent-Type: application/json\r\nAccept: image/png\r\nContent-Length: " +
                  std::to_string(ping.size()) + "\r\n\r\n" + ping);
  EXPECT_EQ(connection.Read().value_or(HttpAnswer()).status, 406);
}

TEST_F(MalformedClientTest, SlowHeadersAreCutOff) {
  HttpConnection connection(gateway_->port());
  connection.Send("POST /mcp HTTP/1.1\r\nHost: " + host_ + "\r\nX-");
  const auto answer = connection.Read(seconds(20));  // headerTimeoutMs is 1000
  EXPECT_EQ(answer.value_or(HttpAnswer()).status, 408);
  EXPECT_TRUE(connection.Closes(seconds(10)));
}

TEST_F(MalformedClientTest, HalfClosedClientGetsItsAnswer) {
  McpClient client = gateway_->Client(ClientEra::kModern);
  client.Start("tools/call", {{"name", "good__slow"}, {"arguments", {{"ms", 500}, {"text", "t"}}}});
  client.connection().ShutdownWrite();
  const Json answer = client.Finish();
  EXPECT_EQ(answer.value(Json::json_pointer("/result/content/0/text"), ""), "t") << answer;
}

TEST_F(MalformedClientTest, VanishedModernClientCancelsItsCall) {
  McpClient asker = gateway_->Client(ClientEra::kModern);
  const auto cancelled = [&] {
    return Json::parse(asker.CallText("good__stats"), nullptr, false).value("cancelled", -1);
  };
  const int before = cancelled();
  ASSERT_GE(before, 0);
  McpClient client = gateway_->Client(ClientEra::kModern);
  client.Start("tools/call", {{"name", "good__slow"}, {"arguments", {{"ms", 60000}}}});
  ASSERT_TRUE(Eventually(kPatience, [&] {
    return asker.CallText("good__stats").find("\"waiting\":1") != std::string::npos;
  }));
  client.connection().Reset();
  EXPECT_TRUE(Eventually(kPatience, [&] { return cancelled() == before + 1; })) << cancelled();
}

TEST_F(MalformedClientTest, PipelinedGarbageEndsOnlyItsConnection) {
  HttpConnection connection(gateway_->port());
  McpClient shape = gateway_->Client(ClientEra::kModern);
  const std::string good = shape.RequestText(
      "tools/call", {{"name", "good__echo"}, {"arguments", {{"text", "first"}}}}, 1);
  connection.Send(good + good + "\x01\x02 GARBAGE \xff\r\n\r\n" + good);
  for (int i = 0; i < 2; ++i) {
    const auto answer = connection.Read(seconds(20));
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status, 200);
    EXPECT_THAT(answer->body, HasSubstr("first"));
  }
  EXPECT_EQ(connection.Read(seconds(20)).value_or(HttpAnswer()).status, 400);
  EXPECT_TRUE(connection.Closes(seconds(10)));
}

TEST_F(MalformedClientTest, SmugglingIsRefused) {
  const std::string ping = R"({"jsonrpc":"2.0","id":1,"method":"ping"})";
  for (const std::string framing :
       {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: -1\r\n",
        "Transfer-Encoding: chunked, identity\r\n", "Content-Length: 0x10\r\n"}) {
    HttpConnection connection(gateway_->port());
    connection.Send(Head() + framing + "\r\n" + ping);
    const int status = connection.Read(seconds(20)).value_or(HttpAnswer()).status;
    EXPECT_TRUE(status == 400 || status == 501) << framing << status;
    EXPECT_TRUE(connection.Closes(seconds(10))) << framing;
  }
}

TEST_F(MalformedClientTest, ForeignOriginAndHostAreRefused) {
  const std::string ping = R"({"jsonrpc":"2.0","id":1,"method":"ping"})";
  EXPECT_EQ(
      Post(Message(ping, "Content-Type: application/json\r\nOrigin: https://evil.example\r\n"))
          .status,
      403);
  HttpConnection connection(gateway_->port());
  connection.Send("POST /mcp HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(connection.Read().value_or(HttpAnswer()).status, 403);
}

TEST_F(MalformedClientTest, HeadersThatDifferFromTheBodyAreRefused) {
  const std::string body = std::string(R"({"jsonrpc":"2.0","id":9,"method":"tools/call",)") +
                           R"("params":{"name":"good__echo",)" + kEnvelope + "}}";
  const std::string version =
      "Content-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\n";
  for (const std::string& more : {version, version + "Mcp-Method: tools/call\r\n",
                                  version + "Mcp-Method: tools/call\r\nMcp-Name: good__who\r\n",
                                  version + "Mcp-Method: tools/list\r\nMcp-Name: good__echo\r\n",
                                  std::string("Content-Type: application/json\r\n")}) {
    const HttpAnswer answer = Post(Message(body, more));
    EXPECT_EQ(answer.status, 400) << more << answer.body;
    EXPECT_EQ(CodeOf(answer), -32020) << more << answer.body;
    EXPECT_EQ(IdOf(answer), 9) << answer.body;
  }
}

TEST_F(MalformedClientTest, UnknownSessionAndNoSession) {
  const std::string list = R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})";
  EXPECT_EQ(Post(Message(list)).status, 400);
  EXPECT_EQ(
      Post(Message(list, "Content-Type: application/json\r\nMcp-Session-Id: forged\r\n")).status,
      404);
}

TEST_F(MalformedClientTest, ClientThatNeverReadsIsCutOffOrWaitedForAlone) {
  // 64 answers of 1 MiB that nobody reads: the gateway must hold back, not hoard.
  const int64_t before = ResidentKib(gateway_->pid());
  HttpConnection connection(gateway_->port());
  McpClient shape = gateway_->Client(ClientEra::kModern);
  const std::string big = shape.RequestText(
      "tools/call", {{"name", "good__big"}, {"arguments", {{"bytes", 1 << 20}}}}, 1);
  for (int i = 0; i < 64; ++i) connection.Send(big);
  for (int i = 0; i < 20; ++i) {
    for (McpClient& each : bystanders_)
      ASSERT_EQ(each.CallText("good__echo", {{"text", "a"}}), "a");
  }
  if (kMemoryIsOurs) {
    EXPECT_LT(ResidentKib(gateway_->pid()) - before, 32 << 10);
  }
}

TEST_F(MalformedClientTest, ManyConnectionsThatSayNothing) {
  std::vector<HttpConnection> idle;
  for (int i = 0; i < 500; ++i) idle.emplace_back(gateway_->port());
  McpClient client = gateway_->Client(ClientEra::kLegacy);
  EXPECT_EQ(client.CallText("good__echo", {{"text", "served"}}), "served");
}

}  // namespace
}  // namespace metamcp::testing
