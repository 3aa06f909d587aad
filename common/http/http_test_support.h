#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "common/async/run.h"
#include "common/http/http_server.h"

namespace metamcp::http {

// A server on a thread of its own, for tests that talk to it with blocking sockets.
class TestServer {
 public:
  explicit TestServer(HttpHandler handler, HttpServerOptions options = HttpServerOptions());
  ~TestServer();

  HttpEndpoint ListenTcp(const std::string& host = "127.0.0.1");
  HttpEndpoint ListenTls(const HttpTlsServerOptions& tls);
  absl::StatusOr<HttpEndpoint> ListenUnix(const std::string& path);
  // Runs `call` on the server's thread and waits for it.
  void Run(std::function<void()> call);
  void Stop(std::chrono::milliseconds grace);
  HttpServer& server() { return *server_; }
  boost::asio::io_context& io() { return io_; }

 private:
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
  bool stopped_ = false;
};

// A blocking client socket. Reads give up after 20 s, so that a failing test ends.
class TestSocket {
 public:
  static TestSocket Connect(const HttpEndpoint& endpoint);
  explicit TestSocket(int fd) : fd_(fd) {}
  TestSocket(TestSocket&& other) noexcept : fd_(other.fd_), rest_(std::move(other.rest_)) {
    other.fd_ = -1;
  }
  ~TestSocket() { Close(); }

  bool Send(std::string_view bytes);  // false: the peer is gone
  void ShutdownSend();
  void Close();
  void Reset();  // close with RST
  // Everything until the peer closes; `closed` tells a close from a time-out or reset.
  std::string ReadToEnd(bool* closed = nullptr);
  // One response with its body, by Content-Length or chunked (decoded). Interim ones are skipped.
  // Empty when the connection ended.
  struct Response {
    int status = 0;
    std::string head;
    std::string body;
    int interim = 0;
  };
  Response ReadResponse(bool head_request = false);
  std::string ReadUntil(std::string_view mark);  // including the mark
  std::string ReadBytes(size_t bytes);
  int fd() const { return fd_; }

 private:
  bool Fill();
  int fd_;
  std::string rest_;
};

}  // namespace metamcp::http
