#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/connector/http_fixture.h"
#include "services/connector/upstream_fixture.h"

namespace metamcp::connector {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

// An MCP server over WebSocket whose behaviour a test sets. Runs on the test's loop.
class WsMcpServer {
 public:
  explicit WsMcpServer(boost::asio::io_context& io) {
    auto handler = [this](http::HttpRequest& request, http::HttpResponder& responder) {
      return Serve(request, responder);
    };
    server_ = http::HttpServer::Create(io.get_executor(), handler, http::HttpServerOptions());
    port_ = server_->ListenTcp("127.0.0.1", 0)->port;
  }
  std::string url() const { return "ws://127.0.0.1:" + std::to_string(port_) + "/ws"; }
  Awaitable<void> Stop() { return server_->Stop(std::chrono::milliseconds(0)); }

  bool modern = false;
  bool silent_to_discover = false;
  bool hangs_up_on_discover = false;
  int status = 0;  // answers the opening with this
  int openings = 0, open = 0;
  std::string authorization;
  std::vector<std::string> methods;
  std::vector<http::WebSocket*> sockets;

 private:
  Awaitable<void> Serve(http::HttpRequest& request, http::HttpResponder& responder) {
    ++openings;
    authorization = std::string(request.headers.Get("Authorization"));
    if (status != 0) {
      http::HttpResponse refused(status);
      auto sending = responder.Send(std::move(refused));
      (co_await std::move(sending)).IgnoreError();
      co_return;
    }
    http::WebSocketOptions options;
    auto upgrading = responder.Upgrade(std::move(options));
    auto socket = co_await std::move(upgrading);
    if (!socket.ok()) co_return;
    EXPECT_EQ(request.headers.Get("Sec-WebSocket-Protocol"), "mcp");
    ++open;
    sockets.push_back(socket->get());
    auto talking = Talk(**socket);
    co_await std::move(talking);
    std::erase(sockets, socket->get());
    --open;
  }

  Awaitable<void> Talk(http::WebSocket& socket) {
    for (;;) {
      auto reading = socket.Read();
      auto text = co_await std::move(reading);
      if (!text.ok() || !text->has_value()) break;
      const Json message = Json::parse(**text, nullptr, false);
      const std::string method = message.value("method", "");
      methods.push_back(method);
      if (method == "server/discover" && hangs_up_on_discover) break;
      if (!message.contains("id") || (method == "server/discover" && silent_to_discover)) continue;
      Json answer = {{"jsonrpc", "2.0"}, {"id", message["id"]}};
      if (method == "server/discover" && !modern) {
        answer["error"] = {{"code", -32601}, {"message", "no"}};
      } else {
        answer["result"] = Result(method, message);
      }
      if (method == "tools/call" && message["params"]["name"] == "hang") continue;
      if (method == "tools/call" && message["params"]["name"] == "die") {
        socket.Abort();
        break;
      }
      const std::string line = answer.dump();
      auto writing = socket.Write(line);
      (co_await std::move(writing)).IgnoreError();
    }
  }

  Json Result(const std::string& method, const Json& message) const {
    Json result = Json::object();
    if (method == "initialize") {
      result = {{"protocolVersion", "2025-06-18"},
                {"capabilities", {{"tools", Json::object()}}},
                {"serverInfo", {{"name", "ws"}, {"version", "1"}}}};
    } else if (method == "server/discover") {
      result = {{"supportedVersions", {"2026-07-28"}},
                {"capabilities", {{"tools", Json::object()}}}};
    } else if (method == "tools/list") {
      result = {
          {"tools", Json::array({{{"name", "echo"}, {"inputSchema", {{"type", "object"}}}}})}};
    } else if (method == "tools/call") {
      result = {{"content", Json::array({{{"type", "text"}, {"text", message["params"].dump()}}})}};
    }
    if (modern) result["resultType"] = "complete";
    return result;
  }

  std::unique_ptr<http::HttpServer> server_;
  int port_ = 0;
};

class WsUpstreamTest : public UpstreamFixture {
 protected:
  WsUpstreamTest() : UpstreamFixture(true), server_(io_) {}
  ~WsUpstreamTest() override {
    for (const auto& upstream : started_) AwaitVoid(io_, upstream->Stop());
    started_.clear();
    EXPECT_TRUE(Until([&] { return server_.open == 0; }));
    AwaitVoid(io_, server_.Stop());
  }
  catalog_pb::Upstream Ws() {
    catalog_pb::Upstream out;
    out.mutable_meta()->set_id("id-w");
    out.mutable_meta()->set_name("w");
    out.set_enabled(true);
    out.mutable_spec()->set_type("ws");
    out.mutable_spec()->set_url(server_.url());
    (*out.mutable_spec()->mutable_headers())["Authorization"] = "Bearer secret";
    return out;
  }
  std::shared_ptr<Upstream> Ready() {
    auto upstream = Start(Ws());
    EXPECT_TRUE(UntilState(*upstream, "ready")) << upstream->status().ShortDebugString();
    EXPECT_TRUE(Until([&] { return upstream->status().tools() == 1; }));
    return upstream;
  }
  WsMcpServer server_;
};

TEST_F(WsUpstreamTest, FindsTheEraAndCalls) {
  RecordProperty("req", "P1-Transports-3");
  for (const bool modern : {false, true}) {
    server_.modern = modern;
    auto upstream = Ready();
    EXPECT_EQ(upstream->status().era(), modern ? "modern" : "legacy");
    EXPECT_EQ(server_.authorization, "Bearer secret");
    const auto call = Finish(*upstream, Tool(*upstream, "echo", R"({"a":[1]})"));
    EXPECT_THAT(call->sink.result, HasSubstr(R"(\"a\":[1])")) << call->status;
    AwaitVoid(io_, upstream->Stop());
    EXPECT_TRUE(Until([&] { return server_.open == 0; }));
  }
}

TEST_F(WsUpstreamTest, SilenceAndHangingUpMeanLegacyButARefusalDoesNot) {
  server_.hangs_up_on_discover = true;
  auto upstream = Ready();
  EXPECT_EQ(upstream->status().era(), "legacy");
  AwaitVoid(io_, upstream->Stop());
  server_.hangs_up_on_discover = false;
  server_.status = 401;
  server_.methods.clear();
  upstream = Start(Ws());
  ASSERT_TRUE(Until([&] { return !upstream->status().detail().empty(); }));
  EXPECT_THAT(upstream->status().detail(), HasSubstr("401"));
  EXPECT_TRUE(server_.methods.empty());
}

TEST_F(WsUpstreamTest, ABreakFailsWhatRunsAndConnectsAgain) {
  auto upstream = Ready();
  auto hung = Begin(*upstream, Tool(*upstream, "hang"));
  ASSERT_TRUE(Until([&] { return server_.methods.back() == "tools/call"; }));
  const int before = server_.openings;
  for (http::WebSocket* socket : server_.sockets) socket->Abort();
  ASSERT_TRUE(Until([&] { return hung->done; }));
  EXPECT_EQ(Reason(hung->status), "UPSTREAM_LOST");
  EXPECT_EQ(Domain(hung->status), "upstream:w");
  ASSERT_TRUE(Until([&] { return server_.openings > before; }));
  ASSERT_TRUE(UntilState(*upstream, "ready"));
  EXPECT_TRUE(Finish(*upstream, Tool(*upstream, "echo"))->status.ok());
}

TEST_F(WsUpstreamTest, CancelsByNotification) {
  auto upstream = Ready();
  auto call = Begin(*upstream, Tool(*upstream, "hang"));
  ASSERT_TRUE(Until([&] { return server_.methods.back() == "tools/call"; }));
  call->cancel.emit(boost::asio::cancellation_type::terminal);
  ASSERT_TRUE(Until([&] { return server_.methods.back() == "notifications/cancelled"; }));
  EXPECT_GE(server_.open, 1);
}

}  // namespace
}  // namespace metamcp::connector
