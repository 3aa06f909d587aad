#include "common/http/websocket.h"

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "common/http/http_client_fixture.h"
#include "common/http/test_certificates.h"

namespace metamcp::http {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Opened = absl::StatusOr<std::unique_ptr<WebSocket>>;
using Message = absl::StatusOr<std::optional<std::string>>;

// Sends back what it reads; "close" and "ping" are done instead. Remembers how Read ended.
struct Echo {
  Awaitable<void> Serve(HttpRequest& request, HttpResponder& responder) {
    seen_authorization = std::string(request.headers.Get("Authorization"));
    if (request.path == "/no") {
      HttpResponse refused(401);
      (void)co_await responder.Send(std::move(refused));
      co_return;
    }
    auto socket = co_await responder.Upgrade(options);
    if (!socket.ok()) co_return;
    ++open;
    for (;;) {
      Message message = co_await (*socket)->Read();
      if (!message.ok() || !message->has_value()) {
        end = message.status();
        break;
      }
      if (**message == "close") {
        co_await (*socket)->Close(WebSocketClose::kGoingAway, "bye");
        break;
      }
      if (**message == "ping") {
        (void)co_await (*socket)->Ping();
        continue;
      }
      const absl::Status sent = co_await (*socket)->Write(**message);
      if (!sent.ok()) break;
    }
    peer_close = (*socket)->peer_close();
    --open;
  }
  WebSocketOptions options;
  std::string seen_authorization;
  absl::Status end;
  uint16_t peer_close = 0;
  int open = 0;
};

class WebSocketTest : public ClientTest {
 protected:
  HttpHandler Handler() {
    return [this](HttpRequest& q, HttpResponder& r) { return echo_.Serve(q, r); };
  }
  Opened Open(std::string url) {
    HttpClientRequest request("GET", std::move(url));
    request.headers.Add("Authorization", "Bearer t");
    request.ca_file = ca_file_;
    WebSocketOptions options;
    options.domain = "upstream:x";
    options.message_bytes_max = 1 << 20;
    return Await(client().OpenWebSocket(ctx_, std::move(request), options));
  }
  std::string Ws(const HttpEndpoint& e, std::string_view path = "/ws") {
    return StrCat(e.tls ? "wss" : "ws", "://", e.tls ? "localhost" : e.host, ":", e.port, path);
  }
  // A client of raw frames.
  TestSocket Raw(const HttpEndpoint& endpoint) {
    TestSocket socket = TestSocket::Connect(endpoint);
    socket.Send(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, "
        "Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: other, mcp\r\n\r\n");
    const std::string head = socket.ReadUntil("\r\n\r\n");
    EXPECT_THAT(head, StartsWith("HTTP/1.1 101 "));
    EXPECT_THAT(head, HasSubstr("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));  // RFC 6455, 1.3
    EXPECT_THAT(head, HasSubstr("Sec-WebSocket-Protocol: mcp\r\n"));
    return socket;
  }
  static std::string Frame(uint8_t first, std::string_view payload) {
    std::string out(1, static_cast<char>(first));
    if (payload.size() < 126) {
      out.push_back(static_cast<char>(0x80 | payload.size()));
    } else {
      const bool wide = payload.size() > 0xffff;
      out.push_back(static_cast<char>(0x80 | (wide ? 127 : 126)));
      for (int shift = wide ? 56 : 8; shift >= 0; shift -= 8) {
        out.push_back(static_cast<char>(payload.size() >> shift & 0xff));
      }
    }
    out.append(4, '\0');  // a mask of zeros changes nothing
    return out.append(payload);
  }
  // The code in the close frame that ends what the server sends; 0 without one.
  static int CloseCode(TestSocket& socket) {
    const std::string all = socket.ReadToEnd();
    const size_t at = all.rfind('\x88');
    if (at == std::string::npos || at + 4 > all.size()) return 0;
    return static_cast<uint8_t>(all[at + 2]) << 8 | static_cast<uint8_t>(all[at + 3]);
  }

  Echo echo_;
  std::string ca_file_;
};

TEST_F(WebSocketTest, CarriesMessagesBothWays) {
  TestServer server(Handler());
  const HttpEndpoint endpoint = server.ListenTcp();
  Opened socket = Open(Ws(endpoint));
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_EQ(echo_.seen_authorization, "Bearer t");
  for (const std::string& text : {std::string("hello"), std::string(), std::string(900'000, 'x')}) {
    ASSERT_TRUE(Await((*socket)->Write(text)).ok());
    Message message = Await((*socket)->Read());
    ASSERT_TRUE(message.ok()) << message.status();
    EXPECT_TRUE(**message == text);
  }
  EXPECT_TRUE(Await((*socket)->Ping()).ok());
  ASSERT_TRUE(Await((*socket)->Write("ping")).ok());
  ASSERT_TRUE(Await((*socket)->Write("close")).ok());
  Message end = Await((*socket)->Read());
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_FALSE(end->has_value());
  EXPECT_EQ((*socket)->peer_close(), 1001);
}

TEST_F(WebSocketTest, SpeaksTls) {
  TestAuthority authority;
  const TestCertificate certificate = authority.Issue("localhost");
  TestServer server(Handler());
  HttpTlsServerOptions tls;
  tls.cert_file = certificate.cert_file;
  tls.key_file = certificate.key_file;
  const HttpEndpoint endpoint = server.ListenTls(tls);
  EXPECT_EQ(Reason(Open(Ws(endpoint)).status()), "UPSTREAM_UNAVAILABLE");
  ca_file_ = authority.ca_file();
  Opened socket = Open(Ws(endpoint));
  ASSERT_TRUE(socket.ok()) << socket.status();
  ASSERT_TRUE(Await((*socket)->Write("hello")).ok());
  EXPECT_EQ(**Await((*socket)->Read()), "hello");
}

TEST_F(WebSocketTest, SaysWhyItDidNotOpen) {
  TestServer server([this](HttpRequest& q, HttpResponder& r) { return echo_.Serve(q, r); });
  const HttpEndpoint endpoint = server.ListenTcp();
  EXPECT_EQ(Reason(Open(Ws(endpoint, "/no")).status()), "UPSTREAM_AUTH");
  EXPECT_EQ(Reason(Open(UrlOf(endpoint)).status()), "CONFIG_INVALID");
  const Opened plain = Open("ws://example.com/ws");
  EXPECT_EQ(Reason(plain.status()), "UPSTREAM_UNAVAILABLE");
  EXPECT_THAT(std::string(plain.status().message()), HasSubstr("use wss://"));
}

TEST_F(WebSocketTest, ClosesWithTheCodeOfWhatWasWrong) {
  echo_.options.message_bytes_max = 1000;
  echo_.options.close_time = std::chrono::milliseconds(100);
  TestServer server(Handler());
  const HttpEndpoint endpoint = server.ListenTcp();
  const auto code_after = [&](std::string frames) {
    TestSocket socket = Raw(endpoint);
    socket.Send(frames);
    return CloseCode(socket);
  };
  EXPECT_EQ(code_after(Frame(0x82, "binary")), 1003);
  EXPECT_EQ(code_after(Frame(0x81, std::string(1001, 'x'))), 1009);
  EXPECT_EQ(code_after(Frame(0x01, std::string(600, 'x')) + Frame(0x00, std::string(600, 'x'))),
            1009);
  EXPECT_EQ(code_after(Frame(0x81, "\xff\xfe")), 1007);
  EXPECT_EQ(code_after(Frame(0x80, "continues nothing")), 1002);
  EXPECT_EQ(code_after(std::string("\x81\x03"
                                   "abc",
                                   5)),
            1002);  // not masked
  EXPECT_EQ(code_after(Frame(0xc1, "compressed")), 1002);
  EXPECT_EQ(code_after(Frame(0x88, "\x03\xe8")), 1000);
}

TEST_F(WebSocketTest, TakesAMessageInPiecesAndAfterTheOpening) {
  TestServer server(Handler());
  const HttpEndpoint endpoint = server.ListenTcp();
  TestSocket socket = Raw(endpoint);
  for (const char c : Frame(0x01, "he") + Frame(0x89, "p") + Frame(0x80, "y")) {
    ASSERT_TRUE(socket.Send(std::string(1, c)));
  }
  EXPECT_THAT(socket.ReadUntil("hey"), HasSubstr("\x8a\x01p"));
}

TEST_F(WebSocketTest, CutsOffFloods) {
  TestServer server(Handler());
  const HttpEndpoint endpoint = server.ListenTcp();
  std::string pings, empty = Frame(0x01, "");
  for (int i = 0; i < 300; ++i) pings += Frame(0x89, "");
  for (int i = 0; i < 600'000; ++i) empty += Frame(0x00, "");
  for (const std::string& flood : {pings, empty}) {
    TestSocket socket = Raw(endpoint);
    socket.Send(flood);
    (void)socket.ReadToEnd();
    // It is over: nothing can be sent for long.
    bool open = true;
    for (int i = 0; i < 10'000 && open; ++i) open = socket.Send(Frame(0x89, ""));
    EXPECT_FALSE(open);
  }
}

TEST_F(WebSocketTest, EndsWhenThePeerVanishesStallsOrTheServerStops) {
  echo_.options.message_time = std::chrono::milliseconds(100);
  TestServer server(Handler());
  const HttpEndpoint endpoint = server.ListenTcp();
  {
    TestSocket gone = Raw(endpoint);
    gone.Reset();
    TestSocket half = Raw(endpoint);
    half.ShutdownSend();
    EXPECT_EQ(half.ReadToEnd(), "");
    TestSocket unfinished = Raw(endpoint);
    unfinished.Send(Frame(0x01, "begun"));
    EXPECT_EQ(CloseCode(unfinished), 0);
  }
  TestSocket idle = Raw(endpoint);
  server.Stop(std::chrono::milliseconds(0));
  EXPECT_EQ(echo_.open, 0);
}

TEST_F(WebSocketTest, CutsOffWhoeverDoesNotRead) {
  echo_.options.write_stall = std::chrono::milliseconds(200);
  echo_.options.message_bytes_max = 8 << 20;
  TestServer server(Handler());
  const HttpEndpoint endpoint = server.ListenTcp();
  TestSocket socket = Raw(endpoint);
  const std::string big = Frame(0x81, std::string(4 << 20, 'x'));
  bool open = true;
  for (int i = 0; i < 64 && open; ++i) open = socket.Send(big);
  EXPECT_FALSE(open);
}

TEST_F(WebSocketTest, AnUnansweredPingIsTheEnd) {
  TestServer server([this](HttpRequest& request, HttpResponder& responder) -> Awaitable<void> {
    (void)request;
    auto socket = co_await responder.Upgrade(echo_.options);
    if (!socket.ok()) co_return;
    const absl::Status first = co_await (*socket)->Ping();
    EXPECT_TRUE(first.ok()) << first;
    const absl::Status second = co_await (*socket)->Ping();
    EXPECT_THAT(std::string(second.message()), HasSubstr("no pings"));
  });
  const HttpEndpoint endpoint = server.ListenTcp();
  TestSocket socket = Raw(endpoint);
  EXPECT_EQ(socket.ReadToEnd(), std::string("\x89\x00", 2));
}

TEST_F(WebSocketTest, GoesThroughAProxyByConnect) {
  TestServer server(Handler());
  const HttpEndpoint endpoint = server.ListenTcp();
  // What a proxy would do: answer CONNECT, then be the server.
  std::string asked;
  std::thread proxy;
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  socklen_t size = sizeof(address);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  proxy = std::thread([&] {
    TestSocket peer(::accept(listener, nullptr, nullptr));
    asked = peer.ReadUntil("\r\n\r\n");
    peer.Send("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
  });
  environment_["http_proxy"] = StrCat("http://127.0.0.1:", ntohs(address.sin_port));
  HttpClientRequest request("GET", "ws://upstream.example/ws");
  request.allow_plain_http = true;
  const Opened opened = Await(client().OpenWebSocket(ctx_, std::move(request), WebSocketOptions()));
  proxy.join();
  ::close(listener);
  EXPECT_THAT(asked, StartsWith("CONNECT upstream.example:80 HTTP/1.1\r\n"));
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr("502"));
}

}  // namespace
}  // namespace metamcp::http
