// The gateway with the real catalog behind it, operated through REST over a real socket. Only the
// connector is a fake: it answers calls without upstreams.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/db/open_database.h"
#include "common/http/http_test_support.h"
#include "gateway/app.h"
#include "services/catalog/app.h"

namespace metamcp::gateway {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr std::chrono::hours kHour(1);
constexpr char kAdmin[] = "an-admin-key-of-24-bytes";
constexpr char kViewer[] = "a-viewer-key-of-24-bytes";

class FakeProvider final : public provider::v1::ProviderService {
 public:
  Awaitable<absl::Status> Call(const CallContext&, provider::v1::CallRequest request,
                               Sink<provider::v1::CallResponse>& sink) override {
    if (request.target() == "hang") {
      bool slept = true;
      while (slept) slept = co_await Sleep(kHour);
      co_return absl::CancelledError("cancelled");
    }
    if (request.target() == "boom") {
      co_return MakeError("UPSTREAM_LOST", "upstream:git", "it went away");
    }
    provider::v1::CallResponse response;
    response.mutable_result()->set_kind(provider::v1::RESULT_KIND_COMPLETE);
    response.mutable_result()->set_data(
        StrCat(R"({"content":[],"structuredContent":)", request.params(), "}"));
    response.mutable_result()->set_last(true);
    co_return co_await sink.Write(std::move(response));
  }
  Awaitable<absl::Status> Listen(const CallContext&, provider::v1::ListenRequest,
                                 Sink<provider::v1::ListenResponse>&) override {
    co_return absl::UnimplementedError("no");
  }
};

class FakeConnector final : public connector::v1::ConnectorService {
 public:
  Awaitable<absl::StatusOr<connector::v1::ListConnectionsResponse>> ListConnections(
      const CallContext&, connector::v1::ListConnectionsRequest) override {
    connector::v1::ListConnectionsResponse response;
    response.add_connections()->set_name("git");
    co_return response;
  }
  Awaitable<absl::StatusOr<connector::v1::RestartUpstreamResponse>> RestartUpstream(
      const CallContext&, connector::v1::RestartUpstreamRequest) override {
    co_return connector::v1::RestartUpstreamResponse();
  }
  Awaitable<absl::StatusOr<connector::v1::GetLogsResponse>> GetLogs(
      const CallContext&, connector::v1::GetLogsRequest) override {
    co_return connector::v1::GetLogsResponse();
  }
  Awaitable<absl::StatusOr<connector::v1::DiagnoseUpstreamResponse>> DiagnoseUpstream(
      const CallContext&, connector::v1::DiagnoseUpstreamRequest) override {
    co_return connector::v1::DiagnoseUpstreamResponse();
  }
  Awaitable<absl::StatusOr<connector::v1::ProbeUpstreamResponse>> ProbeUpstream(
      const CallContext&, connector::v1::ProbeUpstreamRequest) override {
    co_return connector::v1::ProbeUpstreamResponse();
  }
  Awaitable<absl::StatusOr<connector::v1::BeginLoginResponse>> BeginLogin(
      const CallContext&, connector::v1::BeginLoginRequest) override {
    co_return connector::v1::BeginLoginResponse();
  }
  Awaitable<absl::StatusOr<connector::v1::FinishLoginResponse>> FinishLogin(
      const CallContext&, connector::v1::FinishLoginRequest) override {
    co_return connector::v1::FinishLoginResponse();
  }
  Awaitable<absl::StatusOr<connector::v1::LogoutResponse>> Logout(
      const CallContext&, connector::v1::LogoutRequest) override {
    co_return connector::v1::LogoutResponse();
  }
  Awaitable<absl::StatusOr<connector::v1::SetSecretResponse>> SetSecret(
      const CallContext&, connector::v1::SetSecretRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }
  Awaitable<absl::StatusOr<connector::v1::ListSecretsResponse>> ListSecrets(
      const CallContext&, connector::v1::ListSecretsRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }
  Awaitable<absl::StatusOr<connector::v1::RemoveSecretResponse>> RemoveSecret(
      const CallContext&, connector::v1::RemoveSecretRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }
};

class GatewayAdminAppTest : public ::testing::Test {
 protected:
  void SetUp() override {
    database_ = *db::OpenDatabaseBlocking("sqlite::memory:");
    ASSERT_TRUE(catalog::CatalogApp::MigrateBlocking(*database_).ok());
    executor_ = std::make_unique<db::DbExecutor>(*database_);
    thread_ = std::thread([this] { io_.run(); });
    auto made = Await(catalog::CatalogApp::Create(io_.get_executor(), *executor_));
    ASSERT_TRUE(made.ok()) << made.status();
    catalog_ = *std::move(made);
    config::Config config;
    config.gateway.listen = "127.0.0.1:0";
    config.auth.keys.resize(2);
    config.auth.keys[0].name = "boss";
    config.auth.keys[0].key = kAdmin;
    config.auth.keys[0].roles = {"admin"};
    config.auth.keys[1].name = "eye";
    config.auth.keys[1].key = kViewer;
    config.auth.keys[1].roles = {"viewer"};
    config.auth.anonymous_loopback = false;
    config.gateway.cors.origins = {"https://console.example"};
    GatewayDeps deps(catalog_->service(), provider_, connector_, keys_);
    auto app = GatewayApp::Create(io_.get_executor(), config, deps);
    ASSERT_TRUE(app.ok()) << app.status();
    app_ = *std::move(app);
    ASSERT_TRUE(Await(app_->Start(std::chrono::seconds(20))).ok());
    auto url = Await(Listen(app_.get()));
    ASSERT_TRUE(url.ok()) << url.status();
    endpoint_.host = "127.0.0.1";
    endpoint_.port = static_cast<uint16_t>(std::stoi(url->substr(url->rfind(':') + 1)));
  }

  void TearDown() override {
    if (app_) Await(Stop(&app_));
    if (catalog_) Await(Stop(&catalog_));
    work_.reset();
    thread_.join();
  }

  template <typename T>
  T Await(Awaitable<T> op) {
    return boost::asio::co_spawn(io_, std::move(op), boost::asio::use_future).get();
  }

  http::TestSocket::Response Send(const std::string& method, const std::string& target,
                                  const std::string& body = "", const std::string& key = kAdmin) {
    http::TestSocket socket = http::TestSocket::Connect(endpoint_);
    std::string head = StrCat(method, " ", target, " HTTP/1.1\r\nHost: localhost:", endpoint_.port,
                              "\r\nContent-Length: ", body.size(), "\r\n");
    if (!key.empty()) head += StrCat("Authorization: Bearer ", key, "\r\n");
    if (!body.empty()) head += "Content-Type: application/json\r\n";
    EXPECT_TRUE(socket.Send(StrCat(head, "\r\n", body)));
    return socket.ReadResponse();
  }
  json Json(const std::string& method, const std::string& target, const std::string& body = "") {
    const auto response = Send(method, target, body);
    EXPECT_EQ(response.status, 200) << target << " " << response.body;
    return json::parse(response.body, nullptr, false);
  }

  // An event stream whose first event has been read.
  http::TestSocket Follow() {
    http::TestSocket socket = http::TestSocket::Connect(endpoint_);
    socket.Send(StrCat("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ",
                       kViewer, "\r\n\r\n"));
    EXPECT_THAT(socket.ReadUntil("\n\n"), HasSubstr("event: snapshot"));
    return socket;
  }

  // Makes the upstream "git" with the tools "echo", "boom" and "hang", and waits until they are
  // served.
  void AddGit() {
    http::TestSocket events = Follow();
    const json made = Json("POST", "/api/v1/servers",
                           R"({"meta":{"name":"git"},"enabled":true,"spec":{"type":"stdio",
                           "command":"git-mcp","env":{"TOKEN":"hunter2"}}})");
    catalog::v1::ReportRequest report;
    report.set_upstream_id(made["upstream"]["meta"]["id"].get<std::string>());
    report.mutable_status()->set_state("ready");
    report.mutable_status()->set_reachable(true);
    auto& list = *report.add_lists();
    list.set_kind(catalog::v1::ITEM_KIND_TOOL);
    for (const std::string name : {"echo", "boom", "hang"}) {
      auto& item = *list.add_items();
      item.set_kind(catalog::v1::ITEM_KIND_TOOL);
      item.set_original_name(name);
      item.set_definition(StrCat(R"({"name":")", name, R"(","inputSchema":{"type":"object"}})"));
    }
    const CallContext ctx;
    ASSERT_TRUE(Await(catalog_->service().Report(ctx, std::move(report))).ok());
    EXPECT_THAT(events.ReadUntil("list_changed"), HasSubstr("event: upstream\n"));
  }

  static Awaitable<absl::StatusOr<std::string>> Listen(GatewayApp* app) {
    co_return app->Listen("");
  }
  // Both stop and destroy on the io thread.
  static Awaitable<bool> Stop(std::unique_ptr<GatewayApp>* app) {
    co_await (*app)->Stop(std::chrono::seconds(10));
    app->reset();
    co_return true;
  }
  static Awaitable<bool> Stop(std::unique_ptr<catalog::CatalogApp>* catalog) {
    const absl::Status stopped = co_await (*catalog)->Stop();
    EXPECT_TRUE(stopped.ok()) << stopped;
    catalog->reset();
    co_return true;
  }

  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::thread thread_;
  KeyRing keys_ = KeyRing::Ephemeral();
  FakeProvider provider_;
  FakeConnector connector_;
  std::unique_ptr<db::Database> database_;
  std::unique_ptr<db::DbExecutor> executor_;
  std::unique_ptr<catalog::CatalogApp> catalog_;
  std::unique_ptr<GatewayApp> app_;
  http::HttpEndpoint endpoint_;
};

TEST_F(GatewayAdminAppTest, NobodyComesInWithoutAKey) {
  const auto refused = Send("GET", "/api/v1/servers", "", "");
  EXPECT_EQ(refused.status, 401);
  EXPECT_THAT(refused.head, HasSubstr("WWW-Authenticate: Bearer"));
  EXPECT_EQ(json::parse(refused.body)["error"]["reason"], "AUTH_REQUIRED");
  EXPECT_EQ(Send("GET", "/metrics", "", "").status, 401);
  EXPECT_EQ(Send("GET", "/openapi.json", "", "wrong-key-wrong-key-wrong").status, 401);
  EXPECT_EQ(Send("POST", "/api/v1/servers", "{}", kViewer).status, 403);
  EXPECT_EQ(Send("GET", "/api/v1/servers", "", kViewer).status, 200);
}

TEST_F(GatewayAdminAppTest, PagesOfOtherSitesAreRefused) {
  http::TestSocket socket = http::TestSocket::Connect(endpoint_);
  socket.Send(StrCat("POST /api/v1/config:reload HTTP/1.1\r\nHost: localhost\r\nOrigin: ",
                     "https://evil.example\r\nContent-Length: 0\r\nAuthorization: Bearer ", kAdmin,
                     "\r\n\r\n"));
  const auto refused = socket.ReadResponse();
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(json::parse(refused.body)["error"]["reason"], "ORIGIN_REFUSED");
}

TEST_F(GatewayAdminAppTest, PagesOfAllowedSitesMayReadTheAnswers) {
  const auto ask = [this](const std::string& method, const std::string& more) {
    http::TestSocket socket = http::TestSocket::Connect(endpoint_);
    socket.Send(StrCat(method, " /api/v1/servers HTTP/1.1\r\nHost: localhost\r\nOrigin: ",
                       "https://console.example\r\n", more, "\r\n"));
    return socket.ReadResponse();
  };
  const std::string allowed = "Access-Control-Allow-Origin: https://console.example";
  const auto preflight = ask("OPTIONS", "Access-Control-Request-Method: PUT\r\n");
  EXPECT_THAT(preflight.head, HasSubstr(allowed));
  EXPECT_THAT(preflight.head, HasSubstr("PUT"));
  const auto answer = ask("GET", StrCat("Authorization: Bearer ", kViewer, "\r\n"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.head, HasSubstr(allowed));
  const auto refused = ask("GET", "");
  EXPECT_EQ(refused.status, 401);
  EXPECT_THAT(refused.head, HasSubstr(allowed)) << "a page must be able to see why";
}

TEST_F(GatewayAdminAppTest, AServerLivesThroughRest) {
  RecordProperty("req", "P1-Tool-1");
  AddGit();
  json server = Json("GET", "/api/v1/servers/git")["upstream"];
  EXPECT_EQ(server["status"]["state"], "ready");
  EXPECT_EQ(server["spec"]["env"]["TOKEN"], "***");
  EXPECT_EQ(Json("GET", "/api/v1/items?kind=tool")["items"].size(), 3u);
  EXPECT_EQ(Json("GET", "/api/v1/items:search?query=echo")["items"][0]["name"], "git__echo");
  EXPECT_EQ(Send("POST", "/api/v1/servers", R"({"meta":{"name":"git"},"spec":{"type":"stdio",
                 "command":"x"}})")
                .status,
            409);
  const std::string stale = R"({"meta":{"name":"git","etag":"stale"},"spec":{"type":"stdio",
                            "command":"y"}})";
  EXPECT_EQ(Send("PUT", "/api/v1/servers/git", stale).status, 412);
  // What was read can be sent back changed; the token behind the mask stays.
  server["spec"]["priority"] = 7;
  server.erase("status");
  EXPECT_EQ(Json("PUT", "/api/v1/servers/git", server.dump())["upstream"]["spec"]["priority"], 7);
  http::TestSocket events = Follow();
  Json("POST", "/api/v1/servers/git/enabled", R"({"enabled":false})");
  EXPECT_THAT(events.ReadUntil("list_changed"), HasSubstr("\"enabled\":false"));
  Json("DELETE", "/api/v1/servers/git");
  EXPECT_THAT(events.ReadUntil("upstream_removed"), HasSubstr("upstream_removed"));
  EXPECT_EQ(Send("GET", "/api/v1/servers/git").status, 404);
}

TEST_F(GatewayAdminAppTest, VirtualServersAreMadeSwitchedAndConnectedTo) {
  RecordProperty("req", "P1-Virt-2 P1-Virt-4");
  AddGit();
  http::TestSocket events = Follow();
  Json("POST", "/api/v1/virtual-servers",
       R"({"meta":{"name":"dev"},"enabled":true,"spec":{"tools":{"include":["echo"]}}})");
  // At once, whether or not the gateway's own copy of the catalog has it yet.
  EXPECT_EQ(Send("GET", "/api/v1/virtual-servers/dev/connect", "", kViewer).status, 200);
  EXPECT_EQ(Send("GET", "/api/v1/virtual-servers/none/connect", "", kViewer).status, 404);
  EXPECT_THAT(events.ReadUntil("\"virtualServer\":\"dev\""), HasSubstr("list_changed"));
  EXPECT_EQ(Json("GET", "/api/v1/virtual-servers/dev")["view"]["items"].size(), 1u);
  EXPECT_EQ(Json("GET", "/api/v1/virtual-servers/dev/connect")["url"],
            StrCat("http://localhost:", endpoint_.port, "/servers/dev/mcp"));
  const std::string call = R"({"virtualServer":"dev","target":"git__echo"})";
  EXPECT_EQ(Json("POST", "/api/v1/call", call)["upstream"], "git");
  Json("POST", "/api/v1/virtual-servers/dev/enabled", R"({"enabled":false})");
  EXPECT_EQ(Json("GET", "/api/v1/virtual-servers/dev")["virtualServer"]["enabled"], false);
}

TEST_F(GatewayAdminAppTest, CallsAreCountedByOutcome) {
  RecordProperty("req", "P1-Virt-3");
  AddGit();
  const json answer =
      Json("POST", "/api/v1/call", R"({"target":"git__echo","arguments":{"n":1.50}})");
  EXPECT_EQ(answer["result"]["structuredContent"]["arguments"]["n"], 1.5);
  EXPECT_EQ(Send("POST", "/api/v1/call", R"({"target":"git__boom"})").status, 502);
  EXPECT_EQ(Send("POST", "/api/v1/call", R"({"target":"nothing"})").status, 404);
  // What MCP does not know, and the server declares no extension for; it makes no label of its own.
  EXPECT_EQ(Send("POST", "/api/v1/call", R"({"target":"x","method":"evil/label"})").status, 404);
  const std::string text = Send("GET", "/metrics").body;
  const auto counted = [&](std::string_view outcome, std::string_view upstream,
                           std::string_view method) {
    return HasSubstr(StrCat("metamcp_calls_total{method=\"", method, "\",outcome=\"", outcome,
                            "\",upstream=\"", upstream, "\",virtual_server=\"default\"} 1"));
  };
  EXPECT_THAT(text, counted("ok", "git", "tools/call"));
  EXPECT_THAT(text, counted("upstream_lost", "git", "tools/call"));
  EXPECT_THAT(text, counted("tool_not_found", "", "tools/call"));
  EXPECT_THAT(text, counted("method_not_found", "", "other"));
  const json status = Json("GET", "/api/v1/status");
  EXPECT_EQ(status["calls"]["total"], 4);
  EXPECT_EQ(status["calls"]["failed"], 3);
  EXPECT_EQ(status["upstreams"]["byState"]["ready"], 1);
}

TEST_F(GatewayAdminAppTest, ACallEndsWithItsClient) {
  AddGit();
  {
    http::TestSocket socket = http::TestSocket::Connect(endpoint_);
    const std::string body = R"({"target":"git__hang"})";
    socket.Send(StrCat(
        "POST /api/v1/call HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ", kAdmin,
        "\r\nContent-Type: application/json\r\nContent-Length: ", body.size(), "\r\n\r\n", body));
    socket.Reset();
  }
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (Send("GET", "/metrics").body.find("outcome=\"cancelled\"") == std::string::npos) {
    ASSERT_LT(std::chrono::steady_clock::now(), limit) << "the call was not cancelled";
  }
}

TEST_F(GatewayAdminAppTest, StoppingEndsEventStreamsInOrder) {
  http::TestSocket events = Follow();
  Await(Stop(&app_));
  // The last chunk: the stream was finished, not cut off after the grace.
  EXPECT_THAT(events.ReadToEnd(), HasSubstr("0\r\n\r\n"));
}

}  // namespace
}  // namespace metamcp::gateway
