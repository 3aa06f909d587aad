// Many upstreams behind one gateway, some of which hang or refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/gateway.h"

namespace metamcp::testing {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kStdio = 50;
constexpr int kHttp = 10;
constexpr int kBad = 5;  // of each kind

// 50 stdio and 10 HTTP upstreams; 5 more hang and 5 more refuse.
class UpstreamsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Json servers = Json::object();
    for (int i = 0; i < kStdio; ++i) Healthy("io" + std::to_string(i), &servers);
    for (int i = 0; i < kHttp; ++i) {
      const std::string name = "web" + std::to_string(i);
      fixtures_.push_back(std::make_unique<HttpFixture>("metamcp-fixture-echo",
                                                        std::vector<std::string>{"--name", name}));
      servers[name] = UrlServer(fixtures_.back()->url());
      names_.push_back(name);
    }
    for (int i = 0; i < kBad; ++i) {
      servers["hangs" + std::to_string(i)] = HostileServer("hang");
      servers["refuses" + std::to_string(i)] =
          i % 2 == 0 ? HostileServer("exit") : UrlServer("http://127.0.0.1:1/mcp");
    }
    gateway_.ConfigureServers(servers);
    ASSERT_TRUE(gateway_.Start()) << gateway_.Log();
  }

  void Healthy(const std::string& name, Json* servers) {
    (*servers)[name] = EchoServer(name);
    names_.push_back(name);
  }

  // Runs the load generator, which judges each answer.
  Json Load(ClientEra era, const std::string& mix, size_t calls) {
    Process load(
        {BinaryPath("metamcp-load"), "--url", gateway_.base() + "/mcp", "--era", EraName(era),
         "--connections", "16", "--calls", std::to_string(calls), "--mix", mix},
        Process::Options());
    return Json::parse(load.ReadLine(seconds(240)).value_or("{}"), nullptr, false);
  }

  TempDir dir_;
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<HttpFixture>> fixtures_;
  Gateway gateway_;
};

TEST_F(UpstreamsTest, HealthyOnesAreUsableAndEveryCallReachesItsOwn) {
  RecordProperty(
      "req",
      "M02-AC-F.1 M02-AC-F.2 M02-AC-F.4 M-AC-5.2.1 M-AC-5.2.2 M-B1 M-B2 M-FR-001.4 M-AC-5.1.0 "
      "M-AC-5.2.0 M02-SM-1 M02-US-004.1 M02-US-004.3 A-CP4 M-UJ-A2.c1 M-UJ-A2.c2");
  RecordProperty("ready_ms", static_cast<int>(gateway_.ready_after().count()));
  const auto begun = std::chrono::steady_clock::now();
  std::vector<std::string> tools;
  for (const std::string& name : names_) tools.push_back(name + "__who");
  ASSERT_TRUE(gateway_.WaitForTools(tools)) << gateway_.Log();
  const auto all_after = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begun);
  RecordProperty("all_usable_ms", static_cast<int>(all_after.count()));
  std::cout << "ready after " << gateway_.ready_after().count() << " ms, " << names_.size()
            << " upstreams usable " << all_after.count() << " ms later\n";

  const std::string mix = dir_.File("mix");
  std::ofstream out(mix);
  for (const std::string& name : names_) {
    out << "call " << name << "__who\nread echo://" << name << "/one \"text\":\"" << name
        << "\"\ncall " << name << "__who\nprompt " << name << "__greet \"text\":\"" << name
        << "\"\n";
  }
  out.close();
  const size_t calls = std::getenv("METAMCP_TEST_FULL") != nullptr ? 100000 : 20000;
  for (const ClientEra era : {ClientEra::kLegacy, ClientEra::kModern}) {
    const Json result = Load(era, mix, calls / 2);
    EXPECT_EQ(result.value("errors", -1), 0) << EraName(era) << " " << result;
    EXPECT_GE(result.value("calls", 0), static_cast<int>(calls / 2)) << result;
  }
}

TEST_F(UpstreamsTest, OneThatHangsOrRefusesCostsItsCallerAnAttributedError) {
  RecordProperty("req", "M-AC-5.2.3");
  ASSERT_TRUE(gateway_.WaitForTools({"io0__echo"}));
  for (const ClientEra era : {ClientEra::kLegacy, ClientEra::kModern}) {
    McpClient client = gateway_.Client(era);
    ASSERT_TRUE(client.ok());
    // Never seen, so never listed: nothing is known of its tools.
    const Json answer = client.CallTool("refuses1__echo", {{"text", "x"}});
    ASSERT_TRUE(answer.contains("error")) << answer;
    EXPECT_THAT(answer["error"]["message"].get<std::string>(), HasSubstr("refuses1"));
    EXPECT_EQ(client.CallText("io0__echo", {{"text", "fine"}}), "fine");
  }
}

TEST_F(UpstreamsTest, StatesOfAllAreVisible) {
  std::vector<std::string> tools;
  for (const std::string& name : names_) tools.push_back(name + "__who");
  ASSERT_TRUE(gateway_.WaitForTools(tools)) << gateway_.Log();
  int reachable = 0, unreachable = 0;
  const bool settled = Eventually(kPatience, [&] {
    reachable = unreachable = 0;
    const HttpAnswer answer = gateway_.Rest("GET", "/servers?pageSize=1000");
    const Json body = Json::parse(answer.body, nullptr, false);
    for (const Json& each : body.value("upstreams", Json::array())) {
      const bool yes = each.value(Json::json_pointer("/status/reachable"), false);
      (yes ? reachable : unreachable) += 1;
    }
    return reachable == kStdio + kHttp;
  });
  EXPECT_TRUE(settled) << reachable;
  EXPECT_EQ(unreachable, 2 * kBad);
}

// Each legacy client has a session of its own with a legacy HTTP upstream.
TEST(LegacySessionsTest, ManyClientsAtOnceDoNotPushEachOtherOut) {
  const HttpFixture web("metamcp-fixture-echo", {"--name", "web", "--era", "legacy"});
  Gateway gateway;
  gateway.ConfigureServers({{"web", UrlServer(web.url())}});
  ASSERT_TRUE(gateway.Start()) << gateway.Log();
  ASSERT_TRUE(gateway.WaitForTools({"web__who"})) << gateway.Log();
  Process load({BinaryPath("metamcp-load"), "--url", gateway.base() + "/mcp", "--era", "legacy",
                "--connections", "200", "--calls", "4000", "--tool", "web__who"},
               Process::Options());
  const Json result = Json::parse(load.ReadLine(seconds(120)).value_or("{}"), nullptr, false);
  EXPECT_EQ(result.value("errors", -1), 0) << result;
}

}  // namespace
}  // namespace metamcp::testing
