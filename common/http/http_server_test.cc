#include "common/http/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "common/base/strings.h"
#include "common/http/http_test_support.h"

namespace metamcp::http {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

// Answers with what it understood of the request.
Awaitable<void> Echo(HttpRequest& request, HttpResponder& responder) {
  HttpResponse response(
      200, "text/plain",
      StrCat(request.method, " ", request.path, "?", request.query, "\n", request.body));
  co_await responder.Send(std::move(response));
}

// A stream of three pieces.
Awaitable<void> Pieces(HttpRequest&, HttpResponder& responder) {
  HttpHeaders headers;
  headers.Add("Content-Type", "text/plain");
  co_await responder.StartStream(200, std::move(headers));
  co_await responder.Write("one,");
  co_await responder.Write("");
  co_await responder.Write("two,");
  co_await responder.Write("three");
  co_await responder.Finish();
}

HttpServerOptions SmallLimits() {
  HttpServerOptions o;
  o.body_bytes_max = 100;
  o.header_bytes_max = 1000;
  o.header_count_max = 10;
  o.target_bytes_max = 200;
  o.sweep_interval = milliseconds(10);
  return o;
}

std::string Post(std::string_view body, std::string_view headers = "") {
  return StrCat("POST /mcp?a=b HTTP/1.1\r\nHost: localhost\r\n", headers,
                "Content-Length: ", body.size(), "\r\n\r\n", body);
}

TEST(HttpServerTest, AnswersAndKeepsTheConnection) {
  RecordProperty("req", "P1-Transports-1");
  TestServer server(Echo);
  TestSocket socket = TestSocket::Connect(server.ListenTcp());
  for (int i = 0; i < 1000; ++i) {
    const std::string body = StrCat("{\"n\":", i, "}");
    ASSERT_TRUE(socket.Send(Post(body)));
    const auto r = socket.ReadResponse();
    ASSERT_EQ(r.status, 200);
    ASSERT_EQ(r.body, StrCat("POST /mcp?a=b\n", body));
    ASSERT_THAT(r.head, HasSubstr("\r\nDate: "));
    ASSERT_THAT(r.head, Not(HasSubstr("Connection: close")));
  }
}

TEST(HttpServerTest, ServesManyConnectionsAtOnce) {
  TestServer server(Echo);
  const HttpEndpoint endpoint = server.ListenTcp();
  std::vector<TestSocket> sockets;
  for (int i = 0; i < 64; ++i) sockets.push_back(TestSocket::Connect(endpoint));
  for (int round = 0; round < 5; ++round) {
    for (size_t i = 0; i < sockets.size(); ++i) {
      ASSERT_TRUE(sockets[i].Send(Post(StrCat(round, "/", i))));
    }
    for (size_t i = 0; i < sockets.size(); ++i) {
      ASSERT_EQ(sockets[i].ReadResponse().body, StrCat("POST /mcp?a=b\n", round, "/", i));
    }
  }
}

TEST(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  TestServer server(Echo);
  TestSocket socket = TestSocket::Connect(server.ListenTcp());
  std::string all;
  for (int i = 0; i < 50; ++i) all += Post(StrCat("p", i));
  ASSERT_TRUE(socket.Send(all));
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(socket.ReadResponse().body, StrCat("POST /mcp?a=b\np", i));
  }
}

TEST(HttpServerTest, ReadsAMessageThatComesByteByByte) {
  TestServer server(Echo);
  TestSocket socket = TestSocket::Connect(server.ListenTcp());
  const std::string text =
      "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nTrailer: x\r\n\r\n";
  for (char c : text) ASSERT_TRUE(socket.Send(std::string_view(&c, 1)));
  EXPECT_EQ(socket.ReadResponse().body, "POST /x?\nabcdefg");
  ASSERT_TRUE(socket.Send(Post("again")));
  EXPECT_EQ(socket.ReadResponse().body, "POST /mcp?a=b\nagain");
}

TEST(HttpServerTest, HeadHasTheLengthAndNoBody) {
  TestServer server(Echo);
  TestSocket socket = TestSocket::Connect(server.ListenTcp());
  ASSERT_TRUE(socket.Send("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n"));
  const auto r = socket.ReadResponse(true);
  EXPECT_EQ(r.status, 200);
  EXPECT_THAT(r.head, HasSubstr("Content-Length: 9\r\n"));
  ASSERT_TRUE(socket.Send("GET /y HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_EQ(socket.ReadResponse().body, "GET /y?\n");
}

TEST(HttpServerTest, StreamsInChunksAndOn10UntilTheClose) {
  RecordProperty("req", "P1-Transports-3");
  TestServer server(Pieces);
  const HttpEndpoint endpoint = server.ListenTcp();
  TestSocket socket = TestSocket::Connect(endpoint);
  ASSERT_TRUE(socket.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_EQ(socket.ReadResponse().body, "one,two,three");
  ASSERT_TRUE(socket.Send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_EQ(socket.ReadResponse(true).status, 200);
  ASSERT_TRUE(socket.Send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
  EXPECT_EQ(socket.ReadResponse().body, "one,two,three");
  EXPECT_EQ(socket.ReadToEnd(), "");

  TestSocket old = TestSocket::Connect(endpoint);
  ASSERT_TRUE(old.Send("GET / HTTP/1.0\r\n\r\n"));
  const std::string all = old.ReadToEnd();
  EXPECT_THAT(all, HasSubstr("HTTP/1.0 200 OK"));
  EXPECT_THAT(all, HasSubstr("\r\n\r\none,two,three"));
  EXPECT_THAT(all, Not(HasSubstr("chunked")));
}

TEST(HttpServerTest, TellsTheClientToContinue) {
  TestServer server(Echo, SmallLimits());
  const HttpEndpoint endpoint = server.ListenTcp();
  TestSocket socket = TestSocket::Connect(endpoint);
  ASSERT_TRUE(socket.Send(
      "POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"));
  EXPECT_EQ(socket.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(socket.Send("hello"));
  EXPECT_EQ(socket.ReadResponse().body, "POST /x?\nhello");

  TestSocket large = TestSocket::Connect(endpoint);
  ASSERT_TRUE(large.Send(
      "POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n"));
  const auto r = large.ReadResponse();
  EXPECT_EQ(r.status, 413);
  EXPECT_EQ(r.interim, 0);
}

TEST(HttpServerTest, RefusesAmbiguousOrMalformedMessages) {
  struct Case {
    const char* name;
    std::string text;
    int status;
  };
  const std::string h = "POST / HTTP/1.1\r\nHost: h\r\n";
  const std::vector<Case> cases = {
      {"both framings", h + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       400},
      {"both, other order", h + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
       400},
      {"two lengths", h + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400},
      {"the same length twice", h + "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400},
      {"length list", h + "Content-Length: 4, 4\r\n\r\nabcd", 400},
      {"signed length", h + "Content-Length: +4\r\n\r\nabcd", 400},
      {"negative length", h + "Content-Length: -4\r\n\r\nabcd", 400},
      {"hex length", h + "Content-Length: 0x4\r\n\r\nabcd", 400},
      {"length overflow", h + "Content-Length: 18446744073709551617\r\n\r\na", 400},
      {"empty length", h + "Content-Length: \r\n\r\n", 400},
      {"bad chunk size", h + "Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n", 400},
      {"chunk overflow",
       h + "Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\nabc\r\n0\r\n\r\n", 400},
      {"chunk without line end", h + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcX0\r\n\r\n", 400},
      {"unknown coding", h + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
      {"chunked lookalike", h + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
      {"coding twice",
       h + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"coding on 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"space before colon", h + "Content-Length : 4\r\n\r\nabcd", 400},
      {"bare LF", "GET / HTTP/1.1\nHost: h\n\n", 400},
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"not HTTP", "\x16\x03\x01\x02\x01\x01\x01\x01\x01\r\n\r\n", 400},
      {"control in header", "GET / HTTP/1.1\r\nHost: h\r\nX: a\x01z\r\n\r\n", 400},
      {"NUL in header", std::string("GET / HTTP/1.1\r\nHost: h\r\nX: a\0z\r\n\r\n", 35), 400},
      {"dot segments", "GET /a/%2e%2e/b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"escaped slash", "GET /a%2Fb HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"CONNECT", "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 501},
      {"unknown expectation", h + "Expect: magic\r\nContent-Length: 0\r\n\r\n", 417},
  };
  TestServer server(Echo);
  const HttpEndpoint endpoint = server.ListenTcp();
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    TestSocket socket = TestSocket::Connect(endpoint);
    ASSERT_TRUE(socket.Send(c.text + "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"));
    bool closed = false;
    const std::string all = socket.ReadToEnd(&closed);
    EXPECT_EQ(all.substr(0, 13), StrCat("HTTP/1.", all.substr(7, 1), " ", c.status, " ")) << all;
    EXPECT_THAT(all, Not(HasSubstr("smuggled")));
    EXPECT_TRUE(closed);
  }
}

TEST(HttpServerTest, EnforcesLimitsAtTheLimitAndOneAbove) {
  TestServer server(Echo, SmallLimits());
  const HttpEndpoint endpoint = server.ListenTcp();
  const auto status = [&](const std::string& text) {
    TestSocket socket = TestSocket::Connect(endpoint);
    EXPECT_TRUE(socket.Send(text));
    return socket.ReadResponse().status;
  };
  EXPECT_EQ(status(Post(std::string(100, 'x'))), 200);
  EXPECT_EQ(status(Post(std::string(101, 'x'))), 413);
  const std::string chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(status(chunked + "32\r\n" + std::string(50, 'x') + "\r\n32\r\n" + std::string(50, 'x') +
                   "\r\n0\r\n\r\n"),
            200);
  // Refused before the body is there.
  EXPECT_EQ(status(chunked + "32\r\n" + std::string(50, 'x') + "\r\n33\r\n"), 413);

  const std::string start = "GET / HTTP/1.1\r\nHost: h\r\nX: ";  // 29 bytes, then CRLF CRLF
  EXPECT_EQ(status(start + std::string(1000 - start.size() - 4, 'x') + "\r\n\r\n"), 200);
  EXPECT_EQ(status(start + std::string(1001 - start.size() - 4, 'x') + "\r\n\r\n"), 431);
  EXPECT_EQ(status(start + std::string(9000, 'x')), 431);  // without an end

  std::string many = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 9; ++i) many += "A: b\r\n";
  EXPECT_EQ(status(many + "\r\n"), 200);
  EXPECT_EQ(status(many + "A: b\r\n\r\n"), 431);

  EXPECT_EQ(status("GET /" + std::string(199, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n"), 200);
  EXPECT_EQ(status("GET /" + std::string(200, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n"), 414);
  EXPECT_EQ(status("GET /" + std::string(9000, 'x')), 414);
}

TEST(HttpServerTest, EndsSlowRequestsAndIdleConnections) {
  HttpServerOptions options = SmallLimits();
  options.header_timeout = milliseconds(60);
  options.body_timeout = milliseconds(60);
  options.idle_timeout = milliseconds(60);
  TestServer server(Echo, options);
  const HttpEndpoint endpoint = server.ListenTcp();
  TestSocket head = TestSocket::Connect(endpoint);
  ASSERT_TRUE(head.Send("GET / HTTP/1.1\r\nHo"));
  EXPECT_EQ(head.ReadResponse().status, 408);
  TestSocket body = TestSocket::Connect(endpoint);
  ASSERT_TRUE(body.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"));
  EXPECT_EQ(body.ReadResponse().status, 408);
  TestSocket idle = TestSocket::Connect(endpoint);
  bool closed = false;
  EXPECT_EQ(idle.ReadToEnd(&closed), "");
  EXPECT_TRUE(closed);
}

TEST(HttpServerTest, RefusesConnectionsAboveTheLimit) {
  HttpServerOptions options = SmallLimits();
  options.connections_max = 2;
  TestServer server(Echo, options);
  const HttpEndpoint endpoint = server.ListenTcp();
  TestSocket a = TestSocket::Connect(endpoint);
  TestSocket b = TestSocket::Connect(endpoint);
  ASSERT_TRUE(a.Send(Post("a")));
  ASSERT_TRUE(b.Send(Post("b")));
  EXPECT_EQ(a.ReadResponse().status, 200);
  EXPECT_EQ(b.ReadResponse().status, 200);
  TestSocket c = TestSocket::Connect(endpoint);
  EXPECT_EQ(c.ReadResponse().status, 503);
  EXPECT_EQ(c.ReadToEnd(), "");
}

TEST(HttpServerTest, ListensOnIpv6AndUnixSockets) {
  TestServer server(Echo);
  TestSocket v6 = TestSocket::Connect(server.ListenTcp("::1"));
  ASSERT_TRUE(v6.Send(Post("six")));
  EXPECT_EQ(v6.ReadResponse().body, "POST /mcp?a=b\nsix");

  const std::string path = StrCat("/tmp/metamcp_http_", ::getpid(), ".sock");
  const auto endpoint = server.ListenUnix(path);
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  TestSocket unix_socket = TestSocket::Connect(*endpoint);
  ASSERT_TRUE(unix_socket.Send(Post("local")));
  EXPECT_EQ(unix_socket.ReadResponse().body, "POST /mcp?a=b\nlocal");
  EXPECT_TRUE(absl::IsAlreadyExists(server.ListenUnix(path).status()));
  server.Stop(milliseconds(0));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(HttpServerTest, RefusesAnAddressThatIsTaken) {
  TestServer server(Echo);
  const HttpEndpoint endpoint = server.ListenTcp();
  server.Run([&] {
    EXPECT_TRUE(
        absl::IsUnavailable(server.server().ListenTcp("127.0.0.1", endpoint.port).status()));
  });
}

Awaitable<void> Throws(HttpRequest& request, HttpResponder&) {
  if (request.path == "/throw") throw std::runtime_error("boom");
  co_return;
}

TEST(HttpServerTest, AHandlerThatFailsGives500) {
  TestServer server(Throws);
  const HttpEndpoint endpoint = server.ListenTcp();
  for (const char* path : {"/throw", "/silent"}) {
    TestSocket socket = TestSocket::Connect(endpoint);
    ASSERT_TRUE(socket.Send(StrCat("GET ", path, " HTTP/1.1\r\nHost: h\r\n\r\n")));
    const auto r = socket.ReadResponse();
    EXPECT_EQ(r.status, 500);
    EXPECT_THAT(r.body, Not(HasSubstr("boom")));
  }
}

Awaitable<void> Splits(HttpRequest&, HttpResponder& responder) {
  HttpResponse response(200, "text/plain", "ok");
  response.headers.Add("X-Bad", "a\r\nX-Injected: yes");
  response.headers.Add("Content-Length", "99");
  response.headers.Add("X-Good", "yes");
  co_await responder.Send(std::move(response));
}

TEST(HttpServerTest, HandlersCannotSplitOrReframeAResponse) {
  TestServer server(Splits);
  TestSocket socket = TestSocket::Connect(server.ListenTcp());
  ASSERT_TRUE(socket.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  const auto r = socket.ReadResponse();
  EXPECT_EQ(r.body, "ok");
  EXPECT_THAT(r.head, Not(HasSubstr("X-Injected")));
  EXPECT_THAT(r.head, Not(HasSubstr("99")));
  EXPECT_THAT(r.head, HasSubstr("X-Good: yes"));
}

}  // namespace
}  // namespace metamcp::http
