// What dies, and who notices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "tests/support/gateway.h"

namespace metamcp::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

class CrashTest : public ::testing::TestWithParam<ClientEra> {
 protected:
  void SetUp() override {
    gateway_.ConfigureServers({{"victim", EchoServer("victim")}, {"other", EchoServer("other")}});
    ASSERT_TRUE(gateway_.Start()) << gateway_.Log();
    ASSERT_TRUE(gateway_.WaitForTools({"victim__who", "other__who"})) << gateway_.Log();
  }
  Gateway gateway_;
};

TEST_P(CrashTest, KilledChildFailsItsCallsOnlyAndComesBack) {
  RecordProperty("req", "M02-AC-F.5 M-FR-002.3");
  constexpr int kCalls = 20;
  std::vector<McpClient> victims, others;
  for (int i = 0; i < kCalls; ++i) {
    victims.push_back(gateway_.Client(GetParam()));
    others.push_back(gateway_.Client(GetParam()));
    ASSERT_TRUE(victims.back().ok() && others.back().ok());
  }
  for (int i = 0; i < kCalls; ++i) {
    const auto call = [](const std::string& tool, int ms) {
      return Json{{"name", tool}, {"arguments", {{"ms", ms}, {"text", "done"}}}};
    };
    victims[i].Start("tools/call", call("victim__slow", 60000));
    others[i].Start("tools/call", call("other__slow", 1500));
  }
  const pid_t child = gateway_.ChildWith("victim");
  ASSERT_NE(child, 0);
  // All 40 calls are on their way when the upstreams say that they wait.
  McpClient asker = gateway_.Client(GetParam());
  for (const std::string tool : {"victim__stats", "other__stats"}) {
    ASSERT_TRUE(Eventually(kPatience, [&] {
      return asker.CallText(tool).find("\"waiting\":20") != std::string::npos;
    })) << asker.CallText(tool);
  }
  ::kill(child, SIGKILL);  // the gateway's child: named by its own command line
  const auto killed = std::chrono::steady_clock::now();

  for (McpClient& client : victims) {
    const Json answer = client.Finish();
    ASSERT_TRUE(answer.contains("error")) << answer;
    EXPECT_EQ(answer.value(Json::json_pointer("/error/data/source"), ""), "upstream:victim");
    EXPECT_EQ(answer.value(Json::json_pointer("/error/data/reason"), ""), "UPSTREAM_LOST");
  }
  const auto told = std::chrono::steady_clock::now() - killed;
  ASSERT_TRUE(Eventually(kPatience, [&] {
    return asker.CallText("victim__echo", {{"text", "back"}}) == "back";
  })) << gateway_.Log();
  const auto back = std::chrono::steady_clock::now() - killed;
  EXPECT_NE(gateway_.ChildWith("victim"), child);
  for (McpClient& client : others) {
    const Json answer = client.Finish();
    EXPECT_EQ(answer.value(Json::json_pointer("/result/content/0/text"), ""), "done") << answer;
  }
  std::cout << "errors after " << std::chrono::duration_cast<milliseconds>(told).count()
            << " ms, back after " << std::chrono::duration_cast<milliseconds>(back).count()
            << " ms\n";
}

INSTANTIATE_TEST_SUITE_P(Eras, CrashTest, ::testing::Values(ClientEra::kLegacy, ClientEra::kModern),
                         [](const auto& test) { return EraName(test.param); });

TEST(GatewayCrashTest, AfterKillItServesTheLastListAtOnceAndReconnects) {
  Gateway gateway;
  const Json good = {{"one", EchoServer("one")}, {"two", EchoServer("two")}};
  gateway.ConfigureServers(good);
  ASSERT_TRUE(gateway.Start()) << gateway.Log();
  ASSERT_TRUE(gateway.WaitForTools({"one__who", "two__who"}));
  const std::vector<pid_t> children = ChildrenOf(gateway.pid());
  std::vector<std::string> before = gateway.Client(ClientEra::kModern).ToolNames();
  gateway.Kill();
  for (const pid_t child : children) {
    EXPECT_TRUE(Eventually(kPatience, [&] { return ::kill(child, 0) != 0; })) << child;
  }

  ASSERT_TRUE(gateway.Start()) << gateway.Log();
  McpClient client = gateway.Client(ClientEra::kModern);
  EXPECT_EQ(client.ToolNames(), before) << "not the last known list";
  ASSERT_TRUE(Eventually(kPatience, [&] {
    return client.CallText("two__echo", {{"text", "again"}}) == "again";
  })) << gateway.Log();
  EXPECT_EQ(gateway.Stop(), 0);
}

TEST(GatewayCrashTest, LegacySessionSurvivesARestart) {
  Gateway gateway;
  gateway.ConfigureServers({{"one", EchoServer("one")}});
  ASSERT_TRUE(gateway.Start()) << gateway.Log();
  ASSERT_TRUE(gateway.WaitForTools({"one__who"}));
  const std::string session = gateway.Client(ClientEra::kLegacy).session();
  ASSERT_NE(session, "");
  gateway.Kill();
  ASSERT_TRUE(gateway.Start()) << gateway.Log();
  ASSERT_TRUE(gateway.WaitForTools({"one__who"}));
  const Url url(gateway.base() + "/mcp");
  const std::string body = R"({"jsonrpc":"2.0","id":5,"method":"ping"})";
  HttpConnection connection(url.port);
  connection.Send("POST /mcp HTTP/1.1\r\nHost: " + url.host +
                  "\r\nContent-Type: application/json\r\n"
                  "Accept: application/json, text/event-stream\r\nMcp-Session-Id: " +
                  session + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                  body);
  const auto answer = connection.Read();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 200) << answer->body;
}

}  // namespace
}  // namespace metamcp::testing
