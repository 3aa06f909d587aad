#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <future>

#include "common/base/strings.h"
#include "common/http/http_server.h"
#include "common/http/http_test_support.h"

namespace metamcp::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

HttpServerOptions Fast() {
  HttpServerOptions o;
  o.sweep_interval = milliseconds(5);
  return o;
}

// A handler that waits for the end of its client, for at most 20 s, and reports it.
struct Watcher {
  std::promise<bool> saw;
  std::promise<void> waiting;
  bool stream = false;

  HttpHandler Handler() {
    return [this](HttpRequest&, HttpResponder& responder) { return Wait(responder); };
  }
  Awaitable<void> Wait(HttpResponder& responder) {
    if (stream) {
      HttpHeaders headers;
      headers.Add("Content-Type", "text/event-stream");
      co_await responder.StartStream(200, std::move(headers));
    }
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, seconds(20));
    bool gone = false;
    auto callback = [&gone, &timer] {
      gone = true;
      timer.cancel();
    };
    responder.OnDisconnect(std::move(callback));
    waiting.set_value();
    co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    saw.set_value(gone && responder.disconnected());
    const absl::Status status = co_await responder.Write("x");
    EXPECT_FALSE(status.ok());
  }
};

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

TEST(HttpDisconnectTest, ACloseBeforeTheAnswerIsNoticed) {
  Watcher watcher;
  TestServer server(watcher.Handler(), Fast());
  TestSocket socket = TestSocket::Connect(server.ListenTcp());
  ASSERT_TRUE(socket.Send(kGet));
  watcher.waiting.get_future().wait();
  socket.Close();
  EXPECT_TRUE(watcher.saw.get_future().get());
}

TEST(HttpDisconnectTest, AResetIsNoticed) {
  Watcher watcher;
  TestServer server(watcher.Handler(), Fast());
  TestSocket socket = TestSocket::Connect(server.ListenTcp());
  ASSERT_TRUE(socket.Send(kGet));
  watcher.waiting.get_future().wait();
  socket.Reset();
  EXPECT_TRUE(watcher.saw.get_future().get());
}

TEST(HttpDisconnectTest, ACloseDuringAnEventStreamIsNoticed) {
  Watcher watcher;
  watcher.stream = true;
  TestServer server(watcher.Handler(), Fast());
  TestSocket socket = TestSocket::Connect(server.ListenTcp());
  ASSERT_TRUE(socket.Send(kGet));
  watcher.waiting.get_future().wait();
  EXPECT_THAT(socket.ReadUntil("\r\n\r\n"), HasSubstr("text/event-stream"));
  socket.Close();
  EXPECT_TRUE(watcher.saw.get_future().get());
}

TEST(HttpDisconnectTest, ACloseOfAUnixSocketIsNoticed) {
  Watcher watcher;
  TestServer server(watcher.Handler(), Fast());
  const auto endpoint = server.ListenUnix(StrCat("/tmp/metamcp_gone_", ::getpid(), ".sock"));
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  TestSocket socket = TestSocket::Connect(*endpoint);
  ASSERT_TRUE(socket.Send(kGet));
  watcher.waiting.get_future().wait();
  socket.Close();
  EXPECT_TRUE(watcher.saw.get_future().get());
}

// Answers when told to, unless the client went away first.
struct Late {
  std::promise<void> waiting;
  std::atomic<int> gone{0};
  boost::asio::steady_timer* timer = nullptr;

  HttpHandler Handler() {
    return [this](HttpRequest&, HttpResponder& responder) { return Answer(responder); };
  }
  Awaitable<void> Answer(HttpResponder& responder) {
    boost::asio::steady_timer own(co_await boost::asio::this_coro::executor, seconds(20));
    timer = &own;
    auto callback = [this] { ++gone; };
    responder.OnDisconnect(std::move(callback));
    waiting.set_value();
    co_await own.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    HttpResponse response(200, "text/plain", "late");
    co_await responder.Send(std::move(response));
  }
};

TEST(HttpDisconnectTest, AHalfClosedClientStillGetsItsAnswer) {
  for (const bool unix_socket : {false, true}) {
    Late late;
    TestServer server(late.Handler(), Fast());
    const HttpEndpoint endpoint =
        unix_socket ? *server.ListenUnix(StrCat("/tmp/metamcp_half_", ::getpid(), ".sock"))
                    : server.ListenTcp();
    TestSocket socket = TestSocket::Connect(endpoint);
    ASSERT_TRUE(socket.Send(kGet));
    late.waiting.get_future().wait();
    socket.ShutdownSend();
    // On TCP the probe shows that the server has seen the FIN.
    if (!unix_socket) {
      EXPECT_EQ(socket.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    }
    server.Run([&] { late.timer->cancel(); });
    const auto r = socket.ReadResponse();
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.body, "late");
    EXPECT_EQ(late.gone, 0);
  }
}

// Writes without end and counts what was taken.
struct Flood {
  std::atomic<size_t> written{0};
  std::promise<absl::Status> ended;

  HttpHandler Handler() {
    return [this](HttpRequest&, HttpResponder& responder) { return Run(responder); };
  }
  Awaitable<void> Run(HttpResponder& responder) {
    HttpHeaders headers;
    co_await responder.StartStream(200, std::move(headers));
    const std::string piece(64 << 10, 'x');
    absl::Status status;
    while (status.ok()) {
      status = co_await responder.Write(piece);
      if (status.ok()) written += piece.size();
    }
    ended.set_value(status);
  }
};

TEST(HttpDisconnectTest, AReaderThatStallsHoldsTheWriterBackAndIsThenCutOff) {
  Flood flood;
  HttpServerOptions options = Fast();
  options.write_stall_timeout = milliseconds(100);
  TestServer server(flood.Handler(), options);
  TestSocket socket = TestSocket::Connect(server.ListenTcp());
  ASSERT_TRUE(socket.Send(kGet));
  // Ends only because the writer waits: unread data cannot grow past the socket buffers.
  EXPECT_TRUE(absl::IsCancelled(flood.ended.get_future().get()));
  EXPECT_LT(flood.written, size_t{64} << 20);
}

TEST(HttpDisconnectTest, AWriteToAClosedClientIsCancelled) {
  Flood flood;
  TestServer server(flood.Handler(), Fast());
  TestSocket socket = TestSocket::Connect(server.ListenTcp());
  ASSERT_TRUE(socket.Send(kGet));
  EXPECT_FALSE(socket.ReadUntil("\r\n\r\n").empty());
  socket.Close();
  EXPECT_TRUE(absl::IsCancelled(flood.ended.get_future().get()));
}

TEST(HttpStopTest, LetsTheRequestInHandFinishAndEndsIdleConnections) {
  Late late;
  TestServer server(late.Handler(), Fast());
  const HttpEndpoint endpoint = server.ListenTcp();
  TestSocket busy = TestSocket::Connect(endpoint);
  ASSERT_TRUE(busy.Send(kGet));
  late.waiting.get_future().wait();
  TestSocket idle = TestSocket::Connect(endpoint);
  auto stopping = std::async(std::launch::async, [&] { server.Stop(seconds(20)); });
  EXPECT_EQ(idle.ReadToEnd(), "");
  server.Run([&] { late.timer->cancel(); });
  const auto r = busy.ReadResponse();
  EXPECT_EQ(r.body, "late");
  EXPECT_THAT(r.head, HasSubstr("HTTP/1.1 200"));
  EXPECT_EQ(busy.ReadToEnd(), "");
  stopping.wait();
}

TEST(HttpStopTest, CutsOffWhatOutlastsTheGrace) {
  Late late;
  TestServer server(late.Handler(), Fast());
  TestSocket busy = TestSocket::Connect(server.ListenTcp());
  ASSERT_TRUE(busy.Send(kGet));
  late.waiting.get_future().wait();
  server.Stop(milliseconds(10));
  EXPECT_EQ(server.server().connections(), 0u);
  EXPECT_EQ(busy.ReadToEnd(), "");
}

}  // namespace
}  // namespace metamcp::http
