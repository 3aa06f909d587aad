#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <future>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/http_client_fixture.h"

namespace metamcp::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
// Echoes, and counts the connections it has seen.
struct EchoServer {
  std::atomic<int> requests{0};
  HttpHandler Handler() {
    return [this](HttpRequest& q, HttpResponder& r) { return Run(q, r); };
  }
  Awaitable<void> Run(HttpRequest& request, HttpResponder& responder) {
    ++requests;
    HttpResponse response(
        200, "text/plain",
        StrCat(request.method, " ", request.path, " ", request.headers.Get("X-A"), request.body));
    if (request.path == "/302") {
      response.status = 302;
      response.headers.Add("Location", "/elsewhere");
    }
    co_await responder.Send(std::move(response));
  }
};

TEST_F(ClientTest, SendsAndReusesTheConnection) {
  RecordProperty("req", "M-FR-002.6");
  EchoServer echo;
  TestServer server(echo.Handler());
  const HttpEndpoint endpoint = server.ListenTcp();
  for (int i = 0; i < 200; ++i) {
    HttpClientRequest request("POST", UrlOf(endpoint, "/p"));
    request.headers.Add("X-A", "v:");
    request.body = StrCat("body", i);
    const auto body = Fetch(std::move(request));
    ASSERT_TRUE(body.ok()) << body.status();
    ASSERT_EQ(*body, StrCat("POST /p v:body", i));
  }
  EXPECT_EQ(server.server().connections(), 1u);
}

TEST_F(ClientTest, ReturnsRedirectsAsTheyAre) {
  EchoServer echo;
  TestServer server(echo.Handler());
  const HttpEndpoint endpoint = server.ListenTcp();
  HttpClientRequest request("GET", UrlOf(endpoint, "/302"));
  SentResponse response = Await(client().Send(ctx_, std::move(request)));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ((*response)->status(), 302);
  EXPECT_EQ((*response)->headers().Get("location"), "/elsewhere");
  EXPECT_EQ(echo.requests, 1);
}

TEST_F(ClientTest, SpeaksOverAUnixSocketAndIpv6) {
  EchoServer echo;
  TestServer server(echo.Handler());
  const std::string path = StrCat("/tmp/metamcp_client_", ::getpid(), ".sock");
  ASSERT_TRUE(server.ListenUnix(path).ok());
  HttpClientRequest request("GET", "http://gateway.internal/a");
  request.unix_socket = path;
  auto body = Fetch(std::move(request));
  ASSERT_TRUE(body.ok()) << body.status();
  EXPECT_EQ(*body, "GET /a ");
  HttpClientRequest six("GET", UrlOf(server.ListenTcp("::1"), "/six"));
  body = Fetch(std::move(six));
  ASSERT_TRUE(body.ok()) << body.status();
  EXPECT_EQ(*body, "GET /six ");
}

TEST_F(ClientTest, SaysWhyItCannotConnect) {
  HttpEndpoint dead;
  {
    EchoServer echo;
    TestServer server(echo.Handler());
    dead = server.ListenTcp();
  }
  HttpClientRequest refused("GET", UrlOf(dead));
  refused.domain = "upstream:x";
  absl::Status status = Fetch(std::move(refused)).status();
  EXPECT_EQ(Reason(status), "UPSTREAM_UNAVAILABLE");
  EXPECT_EQ(GetErrorInfo(status)->domain, "upstream:x");
  EXPECT_THAT(std::string(status.message()), HasSubstr("Connection refused"));

  HttpClientRequest unknown("GET", "https://no-such-host.invalid/");
  unknown.connect_timeout = seconds(5);
  status = Fetch(std::move(unknown)).status();
  EXPECT_THAT(Reason(status), ::testing::AnyOf("UPSTREAM_UNAVAILABLE", "UPSTREAM_TIMEOUT"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("no-such-host.invalid"));

  HttpClientRequest plain("GET", "http://192.0.2.1/");
  status = Fetch(std::move(plain)).status();
  EXPECT_EQ(Reason(status), "UPSTREAM_UNAVAILABLE");
  EXPECT_THAT(std::string(status.message()), HasSubstr("allowPlainHttp"));

  HttpClientRequest bad("GET", "ftp://x/");
  EXPECT_EQ(Reason(Fetch(std::move(bad)).status()), "CONFIG_INVALID");
  HttpClientRequest split("GET", UrlOf(dead));
  split.headers.Add("X", "a\r\nY: b");
  EXPECT_EQ(Reason(Fetch(std::move(split)).status()), "CONFIG_INVALID");
}

// Streams one piece, then waits to be released; notes when its client goes away.
struct StreamServer {
  std::promise<void> gone;
  HttpHandler Handler() {
    return [this](HttpRequest& q, HttpResponder& r) { return Run(q, r); };
  }
  Awaitable<void> Run(HttpRequest&, HttpResponder& responder) {
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, seconds(20));
    auto callback = [this, &timer] {
      gone.set_value();
      timer.cancel();
    };
    responder.OnDisconnect(std::move(callback));
    HttpHeaders headers;
    headers.Add("Content-Type", "text/event-stream");
    co_await responder.StartStream(200, std::move(headers));
    co_await responder.Write("data: 1\n\n");
    co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
};

TEST_F(ClientTest, DestroyingAnUnfinishedResponseClosesTheConnection) {
  RecordProperty("req", "M-FR-002.2");
  StreamServer stream;
  HttpServerOptions options;
  options.sweep_interval = milliseconds(5);
  TestServer server(stream.Handler(), options);
  HttpClientRequest request("GET", UrlOf(server.ListenTcp()));
  SentResponse response = Await(client().Send(ctx_, std::move(request)));
  ASSERT_TRUE(response.ok()) << response.status();
  const auto piece = Await((*response)->ReadSome());
  ASSERT_TRUE(piece.ok()) << piece.status();
  EXPECT_EQ(**piece, "data: 1\n\n");
  response->reset();
  stream.gone.get_future().wait();
}

TEST_F(ClientTest, CancellingAReadClosesTheConnection) {
  StreamServer stream;
  HttpServerOptions options;
  options.sweep_interval = milliseconds(5);
  TestServer server(stream.Handler(), options);
  HttpClientRequest request("GET", UrlOf(server.ListenTcp()));
  SentResponse response = Await(client().Send(ctx_, std::move(request)));
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_TRUE(Await((*response)->ReadSome()).ok());
  boost::asio::cancellation_signal signal;
  // The first turn of the loop starts the read, the second one cancels it.
  auto emit = [&signal] { signal.emit(boost::asio::cancellation_type::terminal); };
  boost::asio::post(io_, [&] { boost::asio::post(io_, emit); });
  const auto piece = Await((*response)->ReadSome(), &signal);
  EXPECT_TRUE(absl::IsCancelled(piece.status())) << piece.status();
  stream.gone.get_future().wait();
}

TEST_F(ClientTest, EnforcesItsTimeouts) {
  StreamServer stream;
  TestServer server(stream.Handler());
  HttpClientRequest request("GET", UrlOf(server.ListenTcp()));
  request.idle_timeout = milliseconds(50);
  SentResponse response = Await(client().Send(ctx_, std::move(request)));
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_TRUE(Await((*response)->ReadSome()).ok());
  EXPECT_EQ(Reason(Await((*response)->ReadSome()).status()), "UPSTREAM_TIMEOUT");
}

TEST_F(ClientTest, BoundsTheBody) {
  EchoServer echo;
  TestServer server(echo.Handler());
  const HttpEndpoint endpoint = server.ListenTcp();
  for (const size_t limit : {7u, 6u}) {
    HttpClientRequest request("POST", UrlOf(endpoint));  // "POST / " has 7 bytes
    SentResponse response = Await(client().Send(ctx_, std::move(request)));
    ASSERT_TRUE(response.ok()) << response.status();
    const auto body = Await((*response)->ReadAll(limit));
    EXPECT_EQ(body.ok(), limit == 7);
    if (!body.ok()) {
      EXPECT_EQ(Reason(body.status()), "UPSTREAM_RESULT_TOO_LARGE");
    }
  }
}

}  // namespace
}  // namespace metamcp::http
