// Bad configurations at start and at reload, what a reload leaves alone, and a second gateway.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <thread>
#include <vector>

#include "tests/support/gateway.h"

namespace metamcp::testing {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

struct BadConfig {
  const char* name;
  const char* text;
  const char* where;    // line:column
  const char* message;  // part of it
};

class BadConfigTest : public ::testing::TestWithParam<BadConfig> {};

TEST_P(BadConfigTest, EndsWithCode2AndNamesThePlaceAndAMend) {
  RecordProperty("req", "M-AC-5.6.2");
  Gateway gateway;
  gateway.WriteConfigText(GetParam().text);
  EXPECT_FALSE(gateway.Start());
  EXPECT_EQ(gateway.process().Wait(seconds(20)), 2) << gateway.Log();
  EXPECT_THAT(gateway.Log(), HasSubstr("config.json:" + std::string(GetParam().where)));
  EXPECT_THAT(gateway.Log(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadConfigTest,
    ::testing::Values(
        BadConfig{"NotJson", "{\n  \"version\": 1,\n  oops\n}", "3:", "oops"},
        BadConfig{"UnknownKey", "{\n  \"version\": 1,\n  \"mcpServer\": {}\n}", "3:3",
                  "mcpServers"},
        BadConfig{"WrongType", "{\n  \"version\": 1,\n  \"mcpServers\": []\n}", "3:", "object"},
        BadConfig{"NoCommand", "{\n  \"mcpServers\": {\n    \"a\": {}\n  }\n}", "3:", "command"},
        BadConfig{"SameSlug",
                  "{\n  \"mcpServers\": {\n    \"a b\": {\"command\": \"x\"},\n"
                  "    \"A-b\": {\"command\": \"x\"}\n  }\n}",
                  "4:", "a-b"},
        BadConfig{"MissingVariable",
                  "{\n  \"gateway\": {\"listen\": \"${METAMCP_TEST_NOT_SET}\"}\n}",
                  "2:", "METAMCP_TEST_NOT_SET"},
        BadConfig{"OutOfRange", "{\n  \"limits\": {\n    \"jsonDepthMax\": -1\n  }\n}",
                  "3:", "jsonDepthMax"}),
    [](const auto& test) { return test.param.name; });

class ReloadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    gateway_.ConfigureServers({{"stays", EchoServer("stays")}, {"goes", EchoServer("goes")}});
    ASSERT_TRUE(gateway_.Start()) << gateway_.Log();
    ASSERT_TRUE(gateway_.WaitForTools({"stays__who", "goes__who"})) << gateway_.Log();
  }
  Gateway gateway_;
};

TEST_F(ReloadTest, SighupAppliesTheDifferenceAndLeavesTheRestAlone) {
  RecordProperty("req", "M-AC-5.6.3 M-FR-003.2 M-FR-002.3");
  const pid_t before = gateway_.ChildWith("stays");
  ASSERT_NE(before, 0);
  McpClient client = gateway_.Client(ClientEra::kLegacy);
  client.Start("tools/call",
               {{"name", "stays__slow"}, {"arguments", {{"ms", 1500}, {"text", "t"}}}});

  gateway_.ConfigureServers({{"stays", EchoServer("stays")}, {"comes", EchoServer("comes")}});
  gateway_.process().Signal(SIGHUP);
  EXPECT_TRUE(gateway_.WaitForTools({"stays__who", "comes__who"})) << gateway_.Log();
  EXPECT_TRUE(gateway_.WaitUntilGone("goes__who"));
  EXPECT_TRUE(Eventually(kPatience, [&] { return gateway_.ChildWith("goes") == 0; }));

  EXPECT_EQ(gateway_.ChildWith("stays"), before);
  const Json answer = client.Finish();  // the call in flight was not disturbed
  EXPECT_EQ(answer.value(Json::json_pointer("/result/content/0/text"), ""), "t") << answer;
  EXPECT_EQ(client.CallText("comes__echo", {{"text", "new"}}), "new");
}

TEST_F(ReloadTest, ABadFileChangesNothingAndIsReported) {
  RecordProperty("req", "M-FR-003.2");
  const pid_t before = gateway_.ChildWith("stays");
  gateway_.WriteConfigText("{\n  \"mcpServers\": {\"stays\": {\"comand\": \"x\"}}\n}");
  gateway_.process().Signal(SIGHUP);
  ASSERT_TRUE(Eventually(kPatience, [&] {
    return gateway_.Log().find("config.reload_failed") != std::string::npos;
  })) << gateway_.Log();
  EXPECT_THAT(gateway_.Log(), HasSubstr("2:28"));
  EXPECT_EQ(gateway_.ChildWith("stays"), before);
  McpClient client = gateway_.Client(ClientEra::kModern);
  EXPECT_EQ(client.CallText("goes__echo", {{"text", "still"}}), "still");
}

TEST_F(ReloadTest, SeveralAtOnceTakeTurnsAndAllHold) {
  RecordProperty("req", "M-FR-003.2");
  gateway_.ConfigureServers({{"stays", EchoServer("stays")}, {"comes", EchoServer("comes")}});
  std::vector<std::thread> callers;
  std::array<int, 8> status{};
  for (int& one : status) {
    callers.emplace_back([this, &one] { one = gateway_.Rest("POST", "/config:reload").status; });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_THAT(status, ::testing::Each(200));
  EXPECT_TRUE(gateway_.WaitForTools({"stays__who", "comes__who"})) << gateway_.Log();
}

TEST_F(ReloadTest, AChangedFileIsTakenByItself) {
  gateway_.ConfigureServers({{"stays", EchoServer("stays")}});
  EXPECT_TRUE(gateway_.WaitUntilGone("goes__who")) << gateway_.Log();
  EXPECT_TRUE(gateway_.WaitForTools({"stays__who"}));
}

TEST_F(ReloadTest, EndsCleanlyOnSigterm) {
  const std::vector<pid_t> children = ChildrenOf(gateway_.pid());
  EXPECT_EQ(children.size(), 2u);
  EXPECT_EQ(gateway_.Stop(), 0) << gateway_.Log();
  for (const pid_t child : children) EXPECT_NE(::kill(child, 0), 0) << "left behind: " << child;
}

TEST(SecondGatewayTest, EndsAndStartsNoServer) {
  Gateway first;
  const std::string started = first.data_dir() + ".started";
  const Json echo = EchoServer("one");
  const std::string script = "echo >>'" + started + "'; exec \"$0\" \"$@\"";
  Json args = {"-c", script, echo["command"]};
  for (const Json& argument : echo["args"]) args.push_back(argument);
  first.ConfigureServers({{"one", {{"command", "/bin/sh"}, {"args", args}}}});
  ASSERT_TRUE(first.Start()) << first.Log();
  ASSERT_TRUE(first.WaitForTools({"one__who"})) << first.Log();

  Process second({BinaryPath("meta-mcp"), "serve", "--config", first.config_path(), "--data-dir",
                  first.data_dir(), "--listen", "127.0.0.1:0"},
                 Process::Options());
  EXPECT_EQ(second.Wait(kPatience), 1);
  EXPECT_EQ(ReadFile(started), "\n");
  EXPECT_TRUE(first.WaitForTools({"one__who"}));
}

}  // namespace
}  // namespace metamcp::testing
