// Clients that break HTTP+SSE and WebSocket, or crowd them, beside some that do not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/gateway.h"

namespace metamcp::testing {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const char kEnvelope[] = R"("_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",)"
                         R"("io.modelcontextprotocol/clientCapabilities":{}})";

std::string Frame(unsigned char first, std::string_view payload) {
  std::string out(1, static_cast<char>(first));
  const bool wide = payload.size() > 0xffff;
  if (payload.size() < 126) {
    out.push_back(static_cast<char>(0x80 | payload.size()));
  } else {
    out.push_back(static_cast<char>(0x80 | (wide ? 127 : 126)));
    for (int shift = wide ? 56 : 8; shift >= 0; shift -= 8) {
      out.push_back(static_cast<char>(payload.size() >> shift & 0xff));
    }
  }
  return out.append(4, '\0').append(payload);  // a mask of zeros changes nothing
}

const char kInitialize[] =
    R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18",)"
    R"("capabilities":{},"clientInfo":{"name":"t","version":"1"}}})";

std::string ListRequest(int id) {
  return R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"method":"tools/list","params":{)" +
         kEnvelope + "}}";
}

class DuplexClientTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    gateway_ = std::make_unique<Gateway>();
    Json config = {{"mcpServers", {{"good", EchoServer("good")}}},
                   {"limits", {{"bodyBytesMax", 1 << 20}}}};
    gateway_->Configure(config);
    ASSERT_TRUE(gateway_->Start()) << gateway_->Log();
    ASSERT_TRUE(gateway_->WaitForTools({"good__echo"})) << gateway_->Log();
  }
  static void TearDownTestSuite() {
    EXPECT_EQ(gateway_->Stop(), 0) << gateway_->Log();
    gateway_.reset();
  }
  // Whatever the others did, a new client is served on either transport.
  void TearDown() override {
    HttpConnection ws = OpenWs();
    ws.Send(Frame(0x81, ListRequest(1)));
    EXPECT_THAT(ReadUntil(ws, "good__echo"), HasSubstr("\"id\":1"));
    std::string endpoint;
    HttpConnection sse = OpenSse(&endpoint);
    EXPECT_EQ(PostTo(endpoint, ListRequest(2)), 202);
    EXPECT_THAT(ReadUntil(sse, "good__echo"), HasSubstr("\"id\":2"));
    EXPECT_EQ(gateway_->Client(ClientEra::kLegacy).CallText("good__echo", {{"text", "a"}}), "a");
  }

  static std::string Host() { return Url(gateway_->base()).host; }
  static std::string ReadUntil(HttpConnection& connection, const std::string& mark) {
    std::string all;
    while (all.find(mark) == std::string::npos) {
      const std::string some = connection.ReadSome(seconds(20));
      if (some.empty()) break;
      all += some;
    }
    return all;
  }
  static std::string Opening(const std::string& more = "") {
    return "GET /ws HTTP/1.1\r\nHost: " + Host() +
           "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mcp\r\n" +
           more + "\r\n";
  }
  static HttpConnection OpenWs() {
    HttpConnection connection(gateway_->port());
    connection.Send(Opening());
    EXPECT_THAT(ReadUntil(connection, "\r\n\r\n"), StartsWith("HTTP/1.1 101"));
    return connection;
  }
  static HttpConnection OpenSse(std::string* endpoint) {
    HttpConnection connection(gateway_->port());
    connection.Send("GET /sse HTTP/1.1\r\nHost: " + Host() +
                    "\r\nAccept: text/event-stream\r\n\r\n");
    const std::string all = ReadUntil(connection, "session_id=");
    const size_t at = all.find("data: ");
    const std::string rest =
        all.find("\n\n", at) == std::string::npos ? all + ReadUntil(connection, "\n\n") : all;
    if (at == std::string::npos) return connection;
    *endpoint = rest.substr(at + 6, rest.find('\n', at) - at - 6);
    return connection;
  }
  static int PostTo(const std::string& endpoint, const std::string& body) {
    HttpConnection connection(gateway_->port());
    connection.Send("POST " + endpoint + " HTTP/1.1\r\nHost: " + Host() +
                    "\r\nContent-Type: application/json\r\nContent-Length: " +
                    std::to_string(body.size()) + "\r\n\r\n" + body);
    return connection.Read().value_or(HttpAnswer()).status;
  }
  static int Status(const std::string& request) {
    HttpConnection connection(gateway_->port());
    connection.Send(request);
    return connection.ReadHead().value_or(HttpAnswer()).status;
  }

  static std::unique_ptr<Gateway> gateway_;
};
std::unique_ptr<Gateway> DuplexClientTest::gateway_;

TEST_F(DuplexClientTest, OriginAndHostAreCheckedBeforeTheOpening) {
  RecordProperty("req", "P1-Transports-2 P1-Transports-3");
  EXPECT_EQ(Status(Opening("Origin: https://evil.example\r\n")), 403);
  EXPECT_EQ(Status("GET /sse HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 403);
  EXPECT_EQ(
      Status("GET /sse HTTP/1.1\r\nHost: " + Host() + "\r\nOrigin: https://evil.example\r\n\r\n"),
      403);
  EXPECT_EQ(Status(Opening("X-Forwarded-For: 192.0.2.1\r\n")), 401);
  EXPECT_EQ(Status(Opening("Authorization: Bearer wrong\r\n")), 401);
  EXPECT_EQ(PostTo("/messages?session_id=forged", ListRequest(1)), 404);
}

TEST_F(DuplexClientTest, FramesThatBreakTheRules) {
  std::string control(130, 'x');
  const std::string broken[] = {
      Frame(0x82, "binary"), Frame(0x83, "reserved"), Frame(0x09, "a ping in pieces"),
      Frame(0x89, control),  Frame(0x88, "\x03"),     std::string(1 << 16, '\xff')};
  for (const std::string& bytes : broken) {
    HttpConnection connection = OpenWs();
    connection.Send(bytes);
    EXPECT_TRUE(connection.Closes(seconds(10)));
  }
}

TEST_F(DuplexClientTest, AMessageWithoutEndIsCutOff) {
  const int64_t before = ResidentKib(gateway_->pid());
  HttpConnection connection = OpenWs();
  connection.Send(Frame(0x01, "["));
  const std::string piece = Frame(0x00, std::string(60'000, '1'));
  bool open = true;
  for (int i = 0; i < 4000 && open; ++i) open = connection.Send(piece);
  EXPECT_FALSE(open);
  if (kMemoryIsOurs) {
    EXPECT_LT(ResidentKib(gateway_->pid()) - before, 16 << 10);
  }
}

TEST_F(DuplexClientTest, FloodsOfPingsAndOfEmptyFramesAreCutOff) {
  std::string pings, empty = Frame(0x01, "");
  for (int i = 0; i < 5000; ++i) pings += Frame(0x89, "");
  for (int i = 0; i < 500'000; ++i) empty += Frame(0x00, "");
  for (const std::string& flood : {pings, empty}) {
    HttpConnection connection = OpenWs();
    connection.Send(flood);
    EXPECT_TRUE(connection.Closes(seconds(20)));
  }
}

TEST_F(DuplexClientTest, ClientsThatNeverReadAreHeldBackAlone) {
  const int64_t before = ResidentKib(gateway_->pid());
  const std::string big = R"({"jsonrpc":"2.0","id":)";
  const std::string rest = std::string(R"(,"method":"tools/call","params":{"name":"good__big",)") +
                           R"("arguments":{"bytes":1048576},)" + kEnvelope + "}}";
  HttpConnection ws = OpenWs();
  for (int i = 0; i < 64; ++i) ws.Send(Frame(0x81, big + std::to_string(i) + rest));
  std::string endpoint;
  HttpConnection sse = OpenSse(&endpoint);
  int refused = 0;
  for (int i = 0; i < 64; ++i) refused += PostTo(endpoint, big + std::to_string(i) + rest) == 429;
  McpClient other = gateway_->Client(ClientEra::kModern);
  for (int i = 0; i < 20; ++i) ASSERT_EQ(other.CallText("good__echo", {{"text", "a"}}), "a");
  if (kMemoryIsOurs) {
    // Of each of 128 answers one copy waits, in a queue or with its call.
    EXPECT_LT(ResidentKib(gateway_->pid()) - before, 192 << 10);
  }
  ws.Reset();
  sse.Reset();
}

TEST_F(DuplexClientTest, ACrowdThatLeavesInEveryWayLeavesNothing) {
  std::vector<HttpConnection> crowd;
  std::vector<std::string> endpoints(200);
  for (int i = 0; i < 200; ++i) {
    crowd.push_back(OpenWs());
    crowd.back().Send(Frame(0x81, kInitialize));
    crowd.push_back(OpenSse(&endpoints[static_cast<size_t>(i)]));
  }
  // Half of them say goodbye, half vanish; some in the middle of a message.
  for (size_t i = 0; i < crowd.size(); ++i) {
    if (i % 4 == 0) crowd[i].Send(Frame(0x88, "\x03\xe8"));
    if (i % 4 == 2) crowd[i].Send(Frame(0x01, "{").substr(0, 5));
    if (i % 4 != 0) crowd[i].Reset();
  }
  crowd.clear();
  // Their sessions end with them.
  bool empty = false;
  for (int i = 0; i < 200 && !empty; ++i) {
    empty = gateway_->Rest("GET", "/sessions").body.find("\"ws\"") == std::string::npos;
    if (!empty) HttpConnection(gateway_->port()).ReadSome(std::chrono::milliseconds(50));
  }
  EXPECT_TRUE(empty);
}

TEST_F(DuplexClientTest, AClientThatHasHalfClosedIsOver) {
  HttpConnection ws = OpenWs();
  ws.ShutdownWrite();
  EXPECT_TRUE(ws.Closes(seconds(10)));
}

}  // namespace
}  // namespace metamcp::testing
