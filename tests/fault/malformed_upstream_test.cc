// Upstreams that break the protocol, each beside a healthy one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/gateway.h"

namespace metamcp::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

// What a call of the tool "hurt" must come to.
enum class Expect {
  kProtocol,  // UPSTREAM_PROTOCOL, or whatever names the broken answer
  kAtOnce,    // UPSTREAM_PROTOCOL, without waiting for more
  kLost,      // the upstream is gone
  kTimeout,   // no answer in time
  kTooLarge,  // more than limits.resultBytesMax
  kRefused,   // an HTTP status
  kFirst,     // the first of two answers
  kWorks,     // the noise around it is ignored
};

struct Case {
  const char* mode;
  bool http;
  Expect expect;
};

std::vector<std::string> Reasons(Expect expect) {
  switch (expect) {
    case Expect::kProtocol:
      return {"UPSTREAM_PROTOCOL", "UPSTREAM_TIMEOUT", "UPSTREAM_LOST"};
    case Expect::kAtOnce:
      return {"UPSTREAM_PROTOCOL"};
    case Expect::kLost:
      return {"UPSTREAM_LOST", "UPSTREAM_UNAVAILABLE"};
    case Expect::kTimeout:
      return {"UPSTREAM_TIMEOUT", "DEADLINE_EXCEEDED"};
    case Expect::kTooLarge:
      return {"UPSTREAM_RESULT_TOO_LARGE", "UPSTREAM_PROTOCOL"};
    case Expect::kRefused:
      return {"UPSTREAM_PROTOCOL", "UPSTREAM_UNAVAILABLE", "UPSTREAM_HTTP", "UPSTREAM_LOST"};
    case Expect::kFirst:
    case Expect::kWorks:
      break;
  }
  return {};
}

class MalformedUpstreamTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    Json bad;
    if (GetParam().http) {
      fixture_ = std::make_unique<HttpFixture>("metamcp-fixture-hostile",
                                               std::vector<std::string>{GetParam().mode});
      bad = UrlServer(fixture_->url());
    } else {
      bad = HostileServer(GetParam().mode);
    }
    bad["timeoutMs"] = GetParam().expect == Expect::kTimeout ? 1500 : 20000;
    bad["era"] = "legacy";
    gateway_.ConfigureServers({{"bad", bad}, {"good", EchoServer("good")}});
    ASSERT_TRUE(gateway_.Start()) << gateway_.Log();
    ASSERT_TRUE(gateway_.WaitForTools({"good__echo", "bad__hurt"})) << gateway_.Log();
  }

  std::unique_ptr<HttpFixture> fixture_;
  Gateway gateway_;
};

TEST_P(MalformedUpstreamTest, CostsItsCallersOneClearErrorAndNobodyElse) {
  RecordProperty("req", "M-AC-5.1.3");
  for (const ClientEra era : {ClientEra::kLegacy, ClientEra::kModern}) {
    McpClient victim = gateway_.Client(era);
    McpClient other = gateway_.Client(era);
    ASSERT_TRUE(victim.ok() && other.ok());
    victim.Start("tools/call", {{"name", "bad__hurt"}, {"arguments", {{"text", "asked"}}}});
    for (int i = 0; i < 50; ++i) {
      ASSERT_EQ(other.CallText("good__echo", {{"text", std::to_string(i)}}), std::to_string(i));
    }
    const Json answer = victim.Finish();
    const std::string text = answer.value(Json::json_pointer("/result/content/0/text"), "");
    if (GetParam().expect == Expect::kWorks) {
      EXPECT_EQ(text, "asked") << answer;
    } else if (GetParam().expect == Expect::kFirst) {
      EXPECT_EQ(text, "first") << answer;
    } else {
      const std::string reason = answer.value(Json::json_pointer("/error/data/reason"), "");
      EXPECT_THAT(Reasons(GetParam().expect), Contains(reason))
          << EraName(era) << " " << answer.dump().substr(0, 2000);
      EXPECT_EQ(answer.value(Json::json_pointer("/error/data/source"), ""), "upstream:bad");
      EXPECT_NE(answer.value(Json::json_pointer("/error/data/hint"), ""), "");
    }
    EXPECT_EQ(other.CallText("good__echo", {{"text", "after"}}), "after");
    // It is not given up: what still works, works (again).
    EXPECT_TRUE(Eventually(kPatience,
                           [&] {
                             return other.CallText("bad__echo", {{"text", "back"}}) == "back";
                           }))
        << other.CallText("bad__echo", {{"text", "back"}}) << gateway_.Log();
  }
  EXPECT_EQ(gateway_.Stop(), 0) << gateway_.Log();
}

INSTANTIATE_TEST_SUITE_P(
    Stdio, MalformedUpstreamTest,
    ::testing::Values(
        Case{"garbage", false, Expect::kWorks}, Case{"stray", false, Expect::kWorks},
        Case{"drip", false, Expect::kWorks}, Case{"stderr", false, Expect::kWorks},
        Case{"bad-tools", false, Expect::kWorks}, Case{"die", false, Expect::kLost},
        Case{"broken", false, Expect::kAtOnce}, Case{"endless", false, Expect::kTooLarge},
        Case{"wrong-id", false, Expect::kAtOnce}, Case{"duplicate-id", false, Expect::kFirst},
        Case{"huge", false, Expect::kTooLarge}, Case{"silence", false, Expect::kTimeout},
        Case{"no-result", false, Expect::kProtocol}),
    [](const auto& test) {
      std::string name = test.param.mode;
      name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
      return name;
    });

INSTANTIATE_TEST_SUITE_P(
    Http, MalformedUpstreamTest,
    ::testing::Values(
        Case{"bad-tools", true, Expect::kWorks}, Case{"broken", true, Expect::kProtocol},
        Case{"endless-event", true, Expect::kTooLarge}, Case{"wrong-id", true, Expect::kProtocol},
        Case{"duplicate-id", true, Expect::kFirst}, Case{"huge", true, Expect::kTooLarge},
        Case{"no-result", true, Expect::kProtocol}, Case{"slow-head", true, Expect::kTimeout},
        Case{"html", true, Expect::kProtocol}, Case{"cut", true, Expect::kLost},
        Case{"status-500", true, Expect::kRefused}, Case{"redirect", true, Expect::kRefused},
        Case{"no-answer", true, Expect::kLost}, Case{"silence", true, Expect::kTimeout}),
    [](const auto& test) {
      std::string name = test.param.mode;
      name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
      return name;
    });

TEST(HostileStartTest, WhoNeverGetsReadyIsNamedWithItsReason) {
  Gateway gateway;
  gateway.ConfigureServers({{"exits", HostileServer("exit")},
                            {"hangs", HostileServer("hang")},
                            {"nolist", HostileServer("bad-list")},
                            {"nowhere", {{"command", "/nonexistent/program"}}},
                            {"good", EchoServer("good")}});
  ASSERT_TRUE(gateway.Start()) << gateway.Log();
  ASSERT_TRUE(gateway.WaitForTools({"good__echo"}));
  const auto detail_of = [&](const std::string& name) -> std::string {
    const Json body = Json::parse(gateway.Rest("GET", "/servers/" + name).body, nullptr, false);
    return body.value(Json::json_pointer("/upstream/status/detail"), "");
  };
  EXPECT_TRUE(Eventually(kPatience, [&] {
    return detail_of("exits").find("exited with code 3") != std::string::npos;
  })) << detail_of("exits");
  EXPECT_TRUE(Eventually(kPatience, [&] {
    return detail_of("nowhere").find("/nonexistent/program") != std::string::npos;
  })) << detail_of("nowhere");
  EXPECT_TRUE(Eventually(kPatience, [&] { return !detail_of("nolist").empty(); }));
  McpClient client = gateway.Client(ClientEra::kModern);
  EXPECT_EQ(client.CallText("good__echo", {{"text", "fine"}}), "fine");
}

TEST(HostileStartTest, InvalidToolsAreLeftOutAndNamed) {
  Gateway gateway;
  gateway.ConfigureServers({{"bad", HostileServer("bad-tools")}});
  ASSERT_TRUE(gateway.Start()) << gateway.Log();
  ASSERT_TRUE(gateway.WaitForTools({"bad__echo", "bad__hurt"})) << gateway.Log();
  const std::vector<std::string> tools = gateway.Client(ClientEra::kModern).ToolNames();
  EXPECT_EQ(tools, (std::vector<std::string>{"bad__echo", "bad__hurt"}));
  const std::string log = gateway.Rest("GET", "/servers/bad/logs").body;
  EXPECT_THAT(log, AllOf(HasSubstr("number_schema"), HasSubstr("no_schema"), HasSubstr("12")));
}

}  // namespace
}  // namespace metamcp::testing
