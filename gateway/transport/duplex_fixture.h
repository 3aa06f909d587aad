#pragma once

#include <gmock/gmock.h>

#include <deque>

#include "common/base/strings.h"
#include "common/http/sse.h"
#include "gateway/transport/endpoint_fixture.h"

// Clients of connections that carry messages both ways, for tests.
namespace metamcp::gateway {

// A client of one connection. Hear gives "" at the end.
class Peer {
 public:
  virtual ~Peer() = default;
  virtual Awaitable<void> Say(std::string message) = 0;
  virtual Awaitable<std::string> Hear() = 0;
  virtual void Leave() = 0;
};

class WsPeer final : public Peer {
 public:
  explicit WsPeer(std::unique_ptr<http::WebSocket> socket) : socket_(std::move(socket)) {}
  Awaitable<void> Say(std::string message) override { (void)co_await socket_->Write(message); }
  Awaitable<std::string> Hear() override {
    auto message = co_await socket_->Read();
    co_return message.ok() ? message->value_or("") : "";
  }
  void Leave() override { socket_->Abort(); }
  http::WebSocket& socket() { return *socket_; }

 private:
  std::unique_ptr<http::WebSocket> socket_;
};

class SsePeer final : public Peer {
 public:
  SsePeer(http::HttpClient& client, std::string base,
          std::unique_ptr<http::HttpClientResponse> stream)
      : client_(client), base_(std::move(base)), stream_(std::move(stream)) {}
  Awaitable<void> Say(std::string message) override {
    http::HttpClientRequest request("POST", base_ + endpoint);
    request.headers.Add("Content-Type", "application/json");
    request.body = std::move(message);
    const CallContext ctx(nullptr, CallContext::Clock::now() + std::chrono::seconds(30));
    auto response = co_await client_.Send(ctx, std::move(request));
    if (response.ok()) last_status = (*response)->status();
    if (response.ok()) (void)co_await (*response)->ReadAll(1 << 20);
  }
  Awaitable<std::string> Hear() override {
    while (events_.empty()) {
      if (stream_ == nullptr) co_return "";
      auto piece = co_await stream_->ReadSome();
      if (!piece.ok() || !piece->has_value()) co_return "";
      comments += (*piece)->find(":\n\n") == 0 ? 1 : 0;
      (void)parser_.Feed(**piece, [this](http::SseMessage& event) {
        if (event.event == "endpoint") {
          endpoint = event.data;
        } else {
          EXPECT_EQ(event.event, "message");
          events_.push_back(event.data);
        }
      });
      if (!endpoint.empty() && !greeted_) {
        greeted_ = true;
        co_return endpoint;
      }
    }
    std::string message = std::move(events_.front());
    events_.pop_front();
    co_return message;
  }
  void Leave() override { stream_.reset(); }

  std::string endpoint;
  int last_status = 0;
  int comments = 0;

 private:
  http::HttpClient& client_;
  const std::string base_;
  std::unique_ptr<http::HttpClientResponse> stream_;
  http::SseParser parser_;
  std::deque<std::string> events_;
  bool greeted_ = false;
};

class DuplexTest : public EndpointTest {
 public:
  CallContext Soon() const {
    return CallContext(nullptr, CallContext::Clock::now() + std::chrono::seconds(30));
  }
  Awaitable<std::unique_ptr<WsPeer>> OpenWs(std::string path, Headers headers) {
    http::HttpClientRequest request("GET", StrCat("ws", base_.substr(4), path));
    for (const auto& [name, value] : headers) request.headers.Add(name, value);
    const CallContext ctx = Soon();
    http::WebSocketOptions options;
    options.message_bytes_max = 16 << 20;
    auto socket = co_await client_->OpenWebSocket(ctx, std::move(request), std::move(options));
    refused = socket.status();
    if (!socket.ok()) co_return nullptr;
    co_return std::make_unique<WsPeer>(*std::move(socket));
  }
  Awaitable<std::unique_ptr<SsePeer>> OpenSse(std::string path, Headers headers) {
    http::HttpClientRequest request("GET", base_ + path);
    request.headers.Add("Accept", "text/event-stream");
    for (const auto& [name, value] : headers) request.headers.Add(name, value);
    const CallContext ctx = Soon();
    auto stream = co_await client_->Send(ctx, std::move(request));
    refused = stream.status();
    if (!stream.ok()) co_return nullptr;
    status = (*stream)->status();
    auto peer = std::make_unique<SsePeer>(*client_, base_, *std::move(stream));
    if (status == 200) (void)co_await peer->Hear();
    co_return peer;
  }
  // Says a message and hears the answer with its id; what comes before goes into `others`.
  Awaitable<std::string> Ask(Peer& peer, std::string message) {
    const std::string id = At(message, {"id"});
    co_await peer.Say(std::move(message));
    for (;;) {
      std::string heard = co_await peer.Hear();
      if (heard.empty()) co_return heard;
      if (At(heard, {"id"}) == id && At(heard, {"method"}).empty()) co_return heard;
      others.push_back(std::move(heard));
    }
  }
  static std::string Init(std::string_view version, std::string_view capabilities = "{}") {
    return StrCat(R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":")",
                  version, R"(","capabilities":)", capabilities,
                  R"(,"clientInfo":{"name":"t","version":"1"}}})");
  }
  static std::string Call(int id, std::string_view tool, std::string_view more = "") {
    return StrCat(R"({"jsonrpc":"2.0","id":)", id,
                  R"(,"method":"tools/call","params":{"name":"up__)", tool, "\"", more, "}}");
  }
  static std::string ModernText(std::string_view id, std::string_view method,
                                std::string_view members) {
    return StrCat(R"({"jsonrpc":"2.0","id":)", id, R"(,"method":")", method,
                  R"(","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",)",
                  R"("io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}})",
                  members.empty() ? "" : ",", members, "}}");
  }
  static Awaitable<void> Talk(Peer& peer, const std::string& big, int* said, bool* done) {
    struct End {
      bool* done;
      ~End() { *done = true; }
    } end{done};
    for (int i = 1; i <= 200; ++i) {
      const std::string modern = ModernText(
          StrCat(i), "tools/call", StrCat(R"("name":"up__echo","arguments":{"a":")", big, "\"}"));
      co_await peer.Say(modern);
      ++*said;
    }
  }
  template <typename Done>
  Awaitable<void> Until(Done done) {
    for (int i = 0; i < 5000 && !done(); ++i) {
      const bool slept = co_await Sleep(std::chrono::milliseconds(1));
      if (!slept) break;
    }
    EXPECT_TRUE(done());
  }

  absl::Status refused;
  int status = 0;
  std::vector<std::string> others;
};

}  // namespace metamcp::gateway
