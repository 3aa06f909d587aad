#include "common/http/http_test_support.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <cstring>
#include <future>

#include "common/http/http_types.h"

namespace metamcp::http {

namespace asio = boost::asio;

TestServer::TestServer(HttpHandler handler, HttpServerOptions options)
    : work_(asio::make_work_guard(io_)),
      server_(HttpServer::Create(io_.get_executor(), std::move(handler), options)),
      thread_([this] { io_.run(); }) {}

TestServer::~TestServer() {
  if (!stopped_) Stop(std::chrono::milliseconds(0));
  work_.reset();
  thread_.join();
  server_.reset();
}

void TestServer::Run(std::function<void()> call) {
  std::promise<void> done;
  asio::post(io_, [&] {
    call();
    done.set_value();
  });
  done.get_future().wait();
}

HttpEndpoint TestServer::ListenTcp(const std::string& host) {
  HttpEndpoint out;
  Run([&] {
    auto endpoint = server_->ListenTcp(host, 0);
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    out = *endpoint;
  });
  return out;
}

HttpEndpoint TestServer::ListenTls(const HttpTlsServerOptions& tls) {
  HttpEndpoint out;
  Run([&] {
    auto endpoint = server_->ListenTls("127.0.0.1", 0, tls);
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    out = *endpoint;
  });
  return out;
}

absl::StatusOr<HttpEndpoint> TestServer::ListenUnix(const std::string& path) {
  absl::StatusOr<HttpEndpoint> out = absl::UnknownError("");
  Run([&] { out = server_->ListenUnix(path); });
  return out;
}

void TestServer::Stop(std::chrono::milliseconds grace) {
  stopped_ = true;
  asio::co_spawn(io_, server_->Stop(grace), asio::use_future).wait();
}

TestSocket TestSocket::Connect(const HttpEndpoint& endpoint) {
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (!endpoint.unix_path.empty()) {
    auto& a = reinterpret_cast<sockaddr_un&>(storage);
    a.sun_family = AF_UNIX;
    std::memcpy(a.sun_path, endpoint.unix_path.data(), endpoint.unix_path.size());
    size = sizeof(a);
  } else if (endpoint.host.find(':') != std::string::npos) {
    auto& a = reinterpret_cast<sockaddr_in6&>(storage);
    a.sin6_family = AF_INET6;
    a.sin6_port = htons(endpoint.port);
    inet_pton(AF_INET6, endpoint.host.c_str(), &a.sin6_addr);
    size = sizeof(a);
  } else {
    auto& a = reinterpret_cast<sockaddr_in&>(storage);
    a.sin_family = AF_INET;
    a.sin_port = htons(endpoint.port);
    inet_pton(AF_INET, endpoint.host.c_str(), &a.sin_addr);
    size = sizeof(a);
  }
  const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit{20, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&storage), size), 0);
  return TestSocket(fd);
}

bool TestSocket::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

void TestSocket::ShutdownSend() { ::shutdown(fd_, SHUT_WR); }

void TestSocket::Close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void TestSocket::Reset() {
  const linger hard{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  Close();
}

bool TestSocket::Fill() {
  char buffer[16384];
  const ssize_t n = ::recv(fd_, buffer, sizeof(buffer), 0);
  if (n <= 0) return false;
  rest_.append(buffer, static_cast<size_t>(n));
  return true;
}

std::string TestSocket::ReadToEnd(bool* closed) {
  char byte;
  while (Fill()) {
  }
  if (closed != nullptr) *closed = ::recv(fd_, &byte, 1, MSG_DONTWAIT) == 0;
  return std::exchange(rest_, std::string());
}

std::string TestSocket::ReadUntil(std::string_view mark) {
  size_t at;
  while ((at = rest_.find(mark)) == std::string::npos) {
    if (!Fill()) return std::exchange(rest_, std::string());
  }
  std::string out = rest_.substr(0, at + mark.size());
  rest_.erase(0, out.size());
  return out;
}

std::string TestSocket::ReadBytes(size_t bytes) {
  while (rest_.size() < bytes && Fill()) {
  }
  std::string out = rest_.substr(0, bytes);
  rest_.erase(0, out.size());
  return out;
}

TestSocket::Response TestSocket::ReadResponse(bool head_request) {
  Response r;
  for (;;) {
    r.head = ReadUntil("\r\n\r\n");
    if (r.head.size() < 16) return Response();
    r.status = std::atoi(r.head.c_str() + 9);
    if (r.status >= 200) break;
    ++r.interim;
  }
  if (head_request || r.status == 204) return r;
  if (r.head.find("Transfer-Encoding: chunked") != std::string::npos) {
    for (;;) {
      const std::string line = ReadUntil("\r\n");
      const size_t size = std::strtoul(line.c_str(), nullptr, 16);
      if (line.empty()) break;
      r.body += ReadBytes(size);
      ReadUntil("\r\n");
      if (size == 0) break;
    }
    return r;
  }
  const size_t at = r.head.find("Content-Length: ");
  if (at == std::string::npos) {
    r.body = ReadToEnd();
  } else {
    r.body = ReadBytes(std::strtoul(r.head.c_str() + at + 16, nullptr, 10));
  }
  return r;
}

}  // namespace metamcp::http
