#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <csignal>
#include <string>
#include <thread>

#include "cli/bridge.h"
#include "cli/fake_gateway.h"

namespace metamcp::cli {

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
    EXPECT_THAT(Read(), ::testing::HasSubstr(R"("id":"init")"));
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

}  // namespace metamcp::cli
