// Services in any mix of processes, with mutual TLS; what happens when one of several ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <set>
#include <sstream>
#include <thread>

#include "common/db/testing.h"
#include "tests/support/event_stream.h"
#include "tests/support/fleet.h"

namespace metamcp::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Members = std::vector<std::pair<std::string, std::string>>;

// Calls from several threads until Stop; each call has a connection of its own.
class Load {
 public:
  Load(std::string url, std::string tool, Json arguments, std::string expected, int threads)
      : url_(std::move(url)),
        tool_(std::move(tool)),
        arguments_(std::move(arguments)),
        expected_(std::move(expected)) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
  }
  ~Load() { Stop(); }
  void Stop() {
    over_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }
  int done() const { return done_; }
  // Stop first. What was answered instead of the expected text.
  const std::multiset<std::string>& wrong() const { return wrong_; }

 private:
  void Run() {
    while (!over_) {
      const std::string text = McpClient(url_, ClientEra::kModern).CallText(tool_, arguments_);
      ++done_;
      if (text == expected_) continue;
      const std::lock_guard lock(mu_);
      wrong_.insert(text);
    }
  }

  const std::string url_, tool_;
  const Json arguments_;
  const std::string expected_;
  std::atomic<bool> over_{false};
  std::atomic<int> done_{0};
  std::mutex mu_;
  std::multiset<std::string> wrong_;
  std::vector<std::thread> threads_;
};

class MixTest : public ::testing::TestWithParam<Members> {};

TEST_P(MixTest, AnyMixOfServicesWorksOverMutualTls) {
  RecordProperty("req", "M-ARCH-2");
  db::ScratchDatabase scratch(db::TestBackend::kSqliteFile);
  Fleet fleet(scratch.url(), {{"io", EchoServer("io")}}, GetParam());
  ASSERT_TRUE(fleet.StartAll()) << fleet.Log();
  for (const auto& [name, services] : GetParam()) {
    if (services.find("gateway") == std::string::npos) continue;
    ASSERT_TRUE(fleet.WaitForTools(name, {"io__echo"})) << fleet.Log();
    for (const ClientEra era : {ClientEra::kLegacy, ClientEra::kModern}) {
      McpClient client(fleet.mcp(name), era);
      EXPECT_EQ(client.CallText("io__echo", {{"text", "hello"}}), "hello") << fleet.Log();
    }
  }
  // Those that need others end before them.
  for (auto it = GetParam().rbegin(); it != GetParam().rend(); ++it) {
    EXPECT_EQ(fleet.End(it->first), 0) << it->first << fleet.Log();
  }
}

std::string MixName(const ::testing::TestParamInfo<Members>& info) {
  std::string name;
  for (const auto& [member, services] : info.param) {
    for (const char c : "_" + services) {
      if (std::isalpha(static_cast<unsigned char>(c))) name += c;
    }
    name += "X";
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(
    Mixes, MixTest,
    ::testing::Values(Members{{"all", "gateway,connector,catalog"}},
                      Members{{"c", "catalog"}, {"edge", "gateway,connector"}},
                      Members{{"gc", "gateway,catalog"}, {"n", "connector"}},
                      Members{{"nc", "connector,catalog"}, {"g", "gateway"}},
                      Members{{"c", "catalog"}, {"n", "connector"}, {"g", "gateway"}},
                      Members{{"all", "gateway,connector,catalog"}, {"g", "gateway"}},
                      Members{{"all", "gateway,connector,catalog"}, {"edge", "gateway,connector"}}),
    MixName);

class FleetTest : public ::testing::Test {
 protected:
  bool Begin(Members members) {
    const Json servers = {{"io", EchoServer("io")}, {"ni", EchoServer("ni")}};
    if (!Begin(std::move(members), servers, {})) return false;
    EXPECT_TRUE(fleet_->WaitForTools("g", {"io__slow", "ni__slow"})) << fleet_->Log();
    return true;
  }
  // Starts all but `later`.
  bool Begin(Members members, const Json& servers, const std::set<std::string>& later) {
    scratch_ = std::make_unique<db::ScratchDatabase>(db::TestBackend::kPostgres);
    if (scratch_->url().empty()) return false;
    const Members all = members;
    fleet_ = std::make_unique<Fleet>(scratch_->url(), servers, std::move(members));
    for (const auto& [name, services] : all) {
      if (later.count(name) > 0) continue;
      EXPECT_TRUE(fleet_->Start(name)) << fleet_->Log();
    }
    return true;
  }
  void TearDown() override { fleet_.reset(); }

  std::unique_ptr<db::ScratchDatabase> scratch_;
  std::unique_ptr<Fleet> fleet_;
};

#define METAMCP_NEEDS_POSTGRES(begin)                                     \
  if (!(begin)) {                                                         \
    if (db::ScratchDatabase::PostgresRequired()) FAIL() << "no database"; \
    GTEST_SKIP() << "METAMCP_TEST_POSTGRES_URL is not set";               \
  }

HttpAnswer Rest(const std::string& mcp, const std::string& method, const std::string& path,
                const std::string& body) {
  const Url url(mcp);
  HttpConnection connection(url.port);
  connection.Send(method + " /api/v1" + path + " HTTP/1.1\r\nHost: " + url.host +
                  "\r\nContent-Type: application/json\r\nContent-Length: " +
                  std::to_string(body.size()) + "\r\n\r\n" + body);
  return connection.Read().value_or(HttpAnswer());
}

TEST_F(FleetTest, ADeadCatalogIsReplacedByTheOther) {
  RecordProperty("req", "P1-DB-3");
  METAMCP_NEEDS_POSTGRES(
      Begin({{"c1", "catalog"}, {"c2", "catalog"}, {"n", "connector"}, {"g", "gateway"}}));
  int round = 0;
  for (const std::string dead : {"c1", "c2"}) {
    Load load(fleet_->mcp("g"), "io__echo", {{"text", "x"}}, "x", 2);
    fleet_->Kill(dead);
    // Within seconds what is new reaches the gateway through the other one: a watch was resumed.
    const std::string name = "late" + std::to_string(++round);
    Json spec = EchoServer(name);
    spec["type"] = "stdio";
    const Json upstream = {{"meta", {{"name", name}}}, {"enabled", true}, {"spec", spec}};
    const auto started = std::chrono::steady_clock::now();
    const HttpAnswer made = Rest(fleet_->mcp("g"), "POST", "/servers", upstream.dump());
    EXPECT_EQ(made.status, 200) << made.body << fleet_->Log();
    EXPECT_TRUE(fleet_->WaitForTools("g", {name + "__echo"})) << fleet_->Log();
    EXPECT_LT(std::chrono::steady_clock::now() - started, seconds(15));
    load.Stop();
    EXPECT_GT(load.done(), 10);
    EXPECT_THAT(load.wrong(), ::testing::IsEmpty());
    ASSERT_TRUE(fleet_->Start(dead)) << fleet_->Log();
    // The one that is back is used again before its like dies.
    std::this_thread::sleep_for(seconds(5));
  }
}

TEST_F(FleetTest, AConnectorThatEndsHandsItsServersOver) {
  RecordProperty("req", "P3-Ops-8");
  METAMCP_NEEDS_POSTGRES(
      Begin({{"c", "catalog"}, {"n1", "connector"}, {"n2", "connector"}, {"g", "gateway"}}));
  const std::string runner = fleet_->RunnerOf("io");
  ASSERT_THAT(runner, ::testing::AnyOf("n1", "n2"));
  const std::string other = runner == "n1" ? "n2" : "n1";
  Load quick(fleet_->mcp("g"), "io__echo", {{"text", "x"}}, "x", 2);
  Load slow(fleet_->mcp("g"), "io__slow", {{"text", "y"}, {"ms", 1500}}, "y", 2);
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_EQ(fleet_->End(runner), 0) << fleet_->Log();
  for (const char* server : {"io", "ni"}) {
    EXPECT_TRUE(Eventually(seconds(5), [&] { return fleet_->RunnerOf(server) == other; }))
        << server << fleet_->Log();
  }
  const int then = quick.done();
  EXPECT_TRUE(Eventually(kPatience, [&] { return quick.done() > then + 10; }));
  quick.Stop();
  slow.Stop();
  EXPECT_THAT(quick.wrong(), ::testing::IsEmpty()) << fleet_->Log();
  EXPECT_THAT(slow.wrong(), ::testing::IsEmpty()) << fleet_->Log();
}

// An echo server whose process takes its time to end. Writes "start", "stop" and "end" to `log`.
Json SlowToEnd(const std::string& name, const std::string& log) {
  const Json echo = EchoServer(name);
  std::string command =
      "echo start " + name + " >>" + log + "; " + echo["command"].get<std::string>();
  for (const Json& word : echo["args"]) command += " " + word.get<std::string>();
  command += "; echo stop " + name + " >>" + log + "; sleep 2; echo end " + name + " >>" + log;
  return {{"command", "sh"}, {"args", {"-c", command}}};
}

TEST_F(FleetTest, SlowChildrenAreHandedOverAllAtOnceAndEachHasOneOwner) {
  RecordProperty("req", "P3-Ops-8");
  const TempDir dir;
  const std::string log = dir.File("children");
  Json servers;
  std::vector<std::string> tools;
  for (const char* name : {"s1", "s2", "s3", "s4"}) {
    servers[name] = SlowToEnd(name, log);
    tools.push_back(std::string(name) + "__echo");
  }
  METAMCP_NEEDS_POSTGRES(
      Begin({{"c", "catalog"}, {"n1", "connector"}, {"n2", "connector"}, {"g", "gateway"}}, servers,
            {"n2"}));
  ASSERT_TRUE(fleet_->WaitForTools("g", tools)) << fleet_->Log();
  ASSERT_TRUE(fleet_->Start("n2")) << fleet_->Log();
  Load load(fleet_->mcp("g"), "s1__echo", {{"text", "x"}}, "x", 2);
  EXPECT_EQ(fleet_->End("n1"), 0) << fleet_->Log();
  load.Stop();
  EXPECT_THAT(load.wrong(), ::testing::IsEmpty()) << fleet_->Log();
  ASSERT_TRUE(Eventually(kPatience, [&] {
    return McpClient(fleet_->mcp("g"), ClientEra::kModern).CallText("s4__echo", {{"text", "x"}}) ==
           "x";
  })) << fleet_->Log();
  std::istringstream lines(ReadFile(log));
  std::map<std::string, std::string> last;  // by server
  int stopped = 0;
  for (std::string what, name; lines >> what >> name; last[name] = what) {
    stopped += what == "stop" ? 1 : 0;
    if (what == "start") {
      EXPECT_THAT(last[name], ::testing::AnyOf("", "end")) << ReadFile(log);
    } else if (what == "end") {
      EXPECT_EQ(stopped, 4) << ReadFile(log);
    }
  }
}

TEST_F(FleetTest, AStreamThatIsPassedOnDoesNotDelayTheEnd) {
  RecordProperty("req", "P3-Ops-8");
  METAMCP_NEEDS_POSTGRES(
      Begin({{"c", "catalog"}, {"g", "gateway,connector"}, {"h", "gateway,connector"}}));
  RovingClient client(fleet_->mcp("h"));
  EventStream stream = client.Get(fleet_->mcp("g"));
  ASSERT_EQ(stream.status(), 200) << fleet_->Log();
  Load load(fleet_->mcp("h"), "io__echo", {{"text", "x"}}, "x", 2);
  const auto started = std::chrono::steady_clock::now();
  EXPECT_EQ(fleet_->End("g"), 0) << fleet_->Log();
  EXPECT_LT(std::chrono::steady_clock::now() - started, seconds(9));  // below gateway.drainMs
  EXPECT_TRUE(stream.Ends());
  for (const char* server : {"io", "ni"}) {
    EXPECT_TRUE(Eventually(seconds(5), [&] { return fleet_->RunnerOf(server) == "h"; }))
        << server << fleet_->Log();
  }
  load.Stop();
  EXPECT_THAT(load.wrong(), ::testing::IsEmpty()) << fleet_->Log();
  EventStream again = client.Get(fleet_->mcp("h"));
  EXPECT_EQ(again.status(), 200);
}

TEST_F(FleetTest, CertificatesAreRenewedUnderRunningCalls) {
  RecordProperty("req", "M-FR-007.3");
  METAMCP_NEEDS_POSTGRES(Begin({{"c", "catalog"}, {"n", "connector"}, {"g", "gateway"}}));
  Load load(fleet_->mcp("g"), "io__slow", {{"text", "x"}, {"ms", 50}}, "x", 4);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(fleet_->Command({"cert", "renew", "--all", "--dir", fleet_->certs()}), 0);
    std::this_thread::sleep_for(milliseconds(700));
  }
  // A process that starts now meets the others with what they have read since.
  EXPECT_EQ(fleet_->End("n"), 0);
  ASSERT_TRUE(fleet_->Start("n")) << fleet_->Log();
  EXPECT_TRUE(Eventually(kPatience, [&] {
    return McpClient(fleet_->mcp("g"), ClientEra::kModern).CallText("ni__echo", {{"text", "x"}}) ==
           "x";
  })) << fleet_->Log();
  EXPECT_THAT(fleet_->Log(), ::testing::HasSubstr("certificate.in_use"));
  load.Stop();
  EXPECT_GT(load.done(), 20);
}

TEST_F(FleetTest, AnotherRolesCertificateIsRefusedAtTheStart) {
  Fleet fleet("sqlite:" + ::testing::TempDir() + "/unused.db", Json::object(),
              {{"c", "catalog"}, {"g", "gateway"}});
  ASSERT_EQ(fleet.Command({"cert", "issue", "c", "--role", "connector", "--dir", fleet.certs()}),
            0);
  EXPECT_FALSE(fleet.Start("c"));
  EXPECT_THAT(fleet.Log(), ::testing::HasSubstr("does not name the role catalog"));
}

}  // namespace
}  // namespace metamcp::testing
