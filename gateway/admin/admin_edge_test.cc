#include "gateway/admin/admin_edge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "common/http/url.h"
#include "gateway/admin/admin_test_support.h"
#include "gateway/admin/metrics.h"

namespace metamcp::gateway::admin {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

catalog::v1::Upstream MakeUpstream(const std::string& name, const std::string& state) {
  catalog::v1::Upstream upstream;
  upstream.mutable_meta()->set_id(StrCat("id-", name));
  upstream.mutable_meta()->set_name(name);
  upstream.set_enabled(true);
  upstream.mutable_status()->set_state(state);
  upstream.mutable_status()->set_reachable(state == "ready");
  upstream.mutable_status()->set_tools(2);
  return upstream;
}

std::shared_ptr<const ServerView> MakeView(const std::string& name, int tools) {
  ServerView::Parts parts;
  parts.name = name;
  for (int i = 0; i < tools; ++i) {
    auto entry = std::make_shared<ExposedEntry>();
    entry->kind = catalog::v1::ITEM_KIND_TOOL;
    entry->name = StrCat("t", i);
    entry->definition = "{}";
    parts.entries.push_back(std::move(entry));
  }
  return std::make_shared<ServerView>(std::move(parts));
}

std::shared_ptr<const Snapshot> MakeSnapshot(int64_t revision, int tools) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->revision = revision;
  snapshot->views["default"] = MakeView("default", tools);
  snapshot->views["dev"] = MakeView("dev", 1);
  return snapshot;
}

void Feed(AdminServer& server, std::vector<catalog::v1::Upstream> upstreams, int64_t revision,
          int tools, bool begin = false) {
  catalog::v1::WatchCatalogResponse message;
  message.set_begin(begin);
  message.set_end(true);
  for (auto& upstream : upstreams) *message.add_upstreams() = std::move(upstream);
  const auto snapshot = MakeSnapshot(revision, tools);
  server.Run([&] { server.edge->OnCatalog(message, snapshot); });
}

FinishedCall MakeCall(std::string_view upstream, std::string_view outcome) {
  FinishedCall call;
  call.virtual_server = "default";
  call.upstream = upstream;
  call.method = "tools/call";
  call.outcome = outcome;
  call.duration = std::chrono::milliseconds(3);
  return call;
}

TEST(AdminEdgeTest, OwnsItsPathsOnly) {
  AdminServer server;
  for (const std::string path : {"/api/v1", "/api/v1/x", "/metrics", "/openapi.json"}) {
    EXPECT_TRUE(server.edge->Owns(path)) << path;
  }
  for (const std::string path : {"/", "/mcp", "/api/v10/x", "/api/v2", "/metrics/x", "/ready"}) {
    EXPECT_FALSE(server.edge->Owns(path)) << path;
  }
}

TEST(AdminEdgeTest, StatusCountsUpstreamsAndItems) {
  RecordProperty("req", "M-UJ-A2.s4");
  AdminServer server;
  Feed(server, {MakeUpstream("gh", "ready"), MakeUpstream("fs", "connecting")}, 7, 3, true);
  const auto status = server.Json("GET", "/api/v1/status");
  EXPECT_EQ(status["revision"], 7);
  EXPECT_EQ(status["upstreams"]["total"], 2);
  EXPECT_EQ(status["upstreams"]["reachable"], 1);
  EXPECT_EQ(status["upstreams"]["byState"]["connecting"], 1);
  EXPECT_EQ(status["servers"][0]["name"], "fs");
  EXPECT_EQ(status["virtualServers"][0]["name"], "default");
  EXPECT_EQ(status["virtualServers"][0]["tools"], 3);
  EXPECT_EQ(status["connections"], 3);
  EXPECT_EQ(status["sessions"], 2);
  const auto version = server.Json("GET", "/api/v1/version");
  EXPECT_EQ(version["api"], "v1");
  EXPECT_THAT(version["protocolVersions"].dump(), HasSubstr("2026-07-28"));
}

TEST(AdminEdgeTest, ReloadReturnsChangesOrTheReason) {
  RecordProperty("req", "M-FR-003.2");
  absl::StatusOr<std::string> outcome = std::string(R"({"changes":[]})");
  AdminOptions options;
  options.reload = [&outcome](TraceContext) -> Awaitable<absl::StatusOr<std::string>> {
    return [](absl::StatusOr<std::string> value) -> Awaitable<absl::StatusOr<std::string>> {
      co_return value;
    }(outcome);
  };
  AdminServer server({}, std::move(options));
  EXPECT_EQ(server.Send("POST", "/api/v1/config:reload").body, R"({"changes":[]})");
  EXPECT_EQ(server.Send("GET", "/api/v1/config:reload").status, 405);
  outcome = MakeError("CONFIG_INVALID", "gateway", "line 3: no");
  const auto response = server.Send("POST", "/api/v1/config:reload");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(ErrorReason(response), "CONFIG_INVALID");

  AdminServer without;
  EXPECT_EQ(ErrorReason(without.Send("POST", "/api/v1/config:reload")), "OBJECT_READ_ONLY");
}

std::map<std::string, nlohmann::json> ByClient(const nlohmann::json& info) {
  std::map<std::string, nlohmann::json> out;
  for (const auto& client : info["clients"]) out[client["client"]] = client;
  return out;
}

TEST(AdminEdgeTest, ConnectGivesEveryClientItsText) {
  RecordProperty("req", "P1-Virt-4");
  AdminServer server;
  Feed(server, {}, 1, 1, true);
  const auto info = server.Json("GET", "/api/v1/virtual-servers/dev/connect");
  EXPECT_EQ(info["url"], "http://127.0.0.1:8931/servers/dev/mcp");
  const auto clients = ByClient(info);
  const auto text = [&](const std::string& client) {
    return nlohmann::json::parse(clients.at(client)["text"].get<std::string>());
  };
  EXPECT_EQ(text("claude-desktop")["mcpServers"]["meta-mcp-dev"]["args"],
            nlohmann::json({"stdio", "--virtual", "dev"}));
  EXPECT_EQ(text("claude-code")["mcpServers"]["meta-mcp-dev"]["url"], info["url"]);
  EXPECT_EQ(text("vscode")["servers"]["meta-mcp-dev"]["type"], "http");
  EXPECT_EQ(text("cursor")["mcpServers"]["meta-mcp-dev"]["url"], info["url"]);
  EXPECT_EQ(clients.at("url")["text"], info["url"]);
  EXPECT_EQ(clients.at("sse")["text"], "http://127.0.0.1:8931/servers/dev/sse");
  EXPECT_EQ(info["wsUrl"], "ws://127.0.0.1:8931/servers/dev/ws");
  EXPECT_EQ(clients.at("stdio")["text"], "meta-mcp stdio --virtual dev");
  EXPECT_EQ(clients.at("claude-code")["command"],
            "claude mcp add --transport http meta-mcp-dev http://127.0.0.1:8931/servers/dev/mcp");
  const std::string link = clients.at("cursor")["link"];
  const auto config = http::PercentDecode(link.substr(link.rfind('=') + 1));
  std::string decoded;
  ASSERT_TRUE(absl::Base64Unescape(*config, &decoded));
  EXPECT_EQ(nlohmann::json::parse(decoded)["url"], info["url"]);
  EXPECT_EQ(server.Json("GET", "/api/v1/virtual-servers/default/connect")["url"],
            "http://127.0.0.1:8931/mcp");
  EXPECT_EQ(server.Send("GET", "/api/v1/virtual-servers/none/connect").status, 404);
}

TEST(AdminEdgeTest, ConnectUsesThePublicUrlAndNamesTheKey) {
  RecordProperty("req", "P1-Virt-4");
  AdminOptions options;
  options.public_url = "https://mcp.example.com/";
  options.needs_key = [] { return true; };
  AdminServer server({}, std::move(options));
  Feed(server, {}, 1, 1, true);
  const auto info = server.Json("GET", "/api/v1/virtual-servers/default/connect");
  EXPECT_EQ(info["url"], "https://mcp.example.com/mcp");
  EXPECT_TRUE(info["needsKey"]);
  const auto clients = ByClient(info);
  EXPECT_THAT(clients.at("cursor")["text"].get<std::string>(),
              HasSubstr("Bearer ${env:META_MCP_TOKEN}"));
  EXPECT_THAT(clients.at("claude-desktop")["text"].get<std::string>(),
              HasSubstr("https://mcp.example.com"));
}

TEST(AdminEdgeTest, ConnectRefusesAForgedHost) {
  AdminServer server;
  Feed(server, {}, 1, 1, true);
  http::TestSocket socket = server.Open();
  socket.Send(
      "GET /api/v1/virtual-servers/dev/connect HTTP/1.1\r\nX-Role: viewer\r\n"
      "Host: u:p@evil.example/x\r\n\r\n");
  EXPECT_EQ(socket.ReadResponse().status, 400);
}

TEST(AdminEdgeTest, EventsTellWhatChanges) {
  AdminServer server;
  Feed(server, {MakeUpstream("gh", "connecting")}, 1, 1, true);
  http::TestSocket socket = server.Open();
  socket.Send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nX-Role: viewer\r\n\r\n");
  EXPECT_THAT(socket.ReadUntil("\n\n"), HasSubstr("event: snapshot"));
  Feed(server, {MakeUpstream("gh", "connecting")}, 2, 1);  // says nothing new
  Feed(server, {MakeUpstream("gh", "ready")}, 3, 4);
  const std::string changed = socket.ReadUntil("list_changed");
  EXPECT_THAT(changed, HasSubstr("event: upstream\n"));
  EXPECT_THAT(changed, HasSubstr("id: 3\n"));
  EXPECT_THAT(changed, Not(HasSubstr("id: 2\n")));
  EXPECT_THAT(changed, HasSubstr(R"("state":"ready")"));
  EXPECT_THAT(socket.ReadUntil("\n\n"), HasSubstr(R"("tools":true,"resources":false)"));
  Feed(server, {}, 4, 4, true);
  EXPECT_THAT(socket.ReadUntil("\n\n"), HasSubstr(R"("name":"gh")"));
  server.Run([&] { server.edge->Close(); });
  EXPECT_THAT(socket.ReadUntil("0\r\n\r\n"), HasSubstr("0\r\n\r\n"));  // ended in order
}

TEST(AdminEdgeTest, EventsAndStatusNameOnlyWhatTheCallerMaySee) {
  RecordProperty("req", "M-NFR-004.3");
  AdminServer server;
  const auto shared = [](const std::string& visibility) {
    auto upstream = MakeUpstream("secret", "ready");
    upstream.mutable_meta()->set_visibility(visibility);
    upstream.mutable_meta()->set_team("core");
    return upstream;
  };
  Feed(server, {MakeUpstream("gh", "ready"), shared("team")}, 1, 1, true);
  http::TestSocket viewer = server.Open();
  viewer.Send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nX-Role: viewer\r\n\r\n");
  EXPECT_THAT(viewer.ReadUntil("\n\n"), Not(HasSubstr("secret")));
  const auto status = [&](const std::string& role) {
    return server.Send("GET", "/api/v1/status", "", role).body;
  };
  EXPECT_THAT(status("viewer"), Not(HasSubstr("secret")));
  EXPECT_THAT(status("viewer"), HasSubstr(R"("total":1)"));
  EXPECT_THAT(status("operator"), HasSubstr("secret"));
  // It comes and goes as it is shared.
  Feed(server, {shared("public")}, 2, 1);
  EXPECT_THAT(viewer.ReadUntil("\n\n"), HasSubstr("event: upstream\n"));
  Feed(server, {shared("team")}, 3, 1);
  EXPECT_THAT(viewer.ReadUntil("\n\n"), HasSubstr("event: upstream_removed\n"));
  Feed(server, {MakeUpstream("gh", "failed")}, 4, 1);
  const std::string last = viewer.ReadUntil("\n\n");
  EXPECT_THAT(last, HasSubstr("gh"));
  EXPECT_THAT(last, Not(HasSubstr("secret")));
}

TEST(AdminEdgeTest, EventStreamsOfClientsThatLeftEnd) {
  AdminServer server;
  Feed(server, {}, 1, 1, true);
  {
    http::TestSocket socket = server.Open();
    socket.Send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nX-Role: viewer\r\n\r\n");
    socket.ReadUntil("snapshot");
    EXPECT_EQ(server.Json("GET", "/api/v1/status")["eventStreams"], 1);
    socket.Reset();
  }
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (server.Json("GET", "/api/v1/status")["eventStreams"] != 0) {
    ASSERT_LT(std::chrono::steady_clock::now(), limit) << "the stream never ended";
  }
}

TEST(AdminEdgeTest, MetricsCountCallsPerVirtualServer) {
  RecordProperty("req", "P1-Virt-3");
  AdminServer server;
  Feed(server, {MakeUpstream("gh", "ready")}, 1, 1, true);
  server.Run([&] {
    server.edge->observer().OnFinished(MakeCall("gh", "ok"));
    server.edge->observer().OnFinished(MakeCall("gh", "ok"));
    server.edge->observer().OnFinished(MakeCall("gh", "upstream_timeout"));
  });
  const auto response = server.Send("GET", "/metrics");
  EXPECT_THAT(response.head, HasSubstr("text/plain; version=0.0.4"));
  const std::string& text = response.body;
  EXPECT_THAT(text, HasSubstr("metamcp_calls_total{method=\"tools/call\",outcome=\"ok\","
                              "upstream=\"gh\",virtual_server=\"default\"} 2"));
  EXPECT_THAT(text, HasSubstr("outcome=\"upstream_timeout\""));
  EXPECT_THAT(text, HasSubstr("metamcp_call_duration_seconds_count{method=\"tools/call\","
                              "upstream=\"gh\",virtual_server=\"default\"} 3"));
  EXPECT_THAT(text, HasSubstr("le=\"0.0025\"} 0"));
  EXPECT_THAT(text, HasSubstr("le=\"0.005\"} 3"));
  EXPECT_THAT(text, HasSubstr("metamcp_upstream_state{upstream=\"gh\",state=\"ready\"} 1"));
  EXPECT_THAT(text, HasSubstr("metamcp_connections 3"));
  EXPECT_THAT(text, HasSubstr("metamcp_sessions 2"));
  EXPECT_THAT(text, HasSubstr("metamcp_build_info{version="));
  EXPECT_THAT(text, HasSubstr("process_resident_memory_bytes "));
  EXPECT_THAT(text, Not(HasSubstr("process_resident_memory_bytes 0\n")));
  EXPECT_THAT(text, Not(HasSubstr("process_open_fds 0\n")));
  EXPECT_EQ(server.Json("GET", "/api/v1/status")["calls"]["failed"], 1);
}

TEST(MetricsTest, LabelsAreBounded) {
  RecordProperty("req", "P1-Virt-3");
  Metrics metrics(10);
  for (int i = 0; i < 1000; ++i) metrics.OnFinished(MakeCall(StrCat("u", i), "ok"));
  const std::string text = metrics.Text(Gauges());
  size_t series = 0;
  for (size_t at = 0; (at = text.find("metamcp_calls_total{", at)) != std::string::npos; ++at) {
    ++series;
  }
  EXPECT_EQ(series, 11u);
  EXPECT_THAT(text, HasSubstr("upstream=\"other\",virtual_server=\"other\"} 990"));
  EXPECT_EQ(metrics.calls(), 1000u);
}

}  // namespace
}  // namespace metamcp::gateway::admin
