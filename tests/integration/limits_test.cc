// Limits: gateways that share them through a database, and one program from outside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <thread>

#include "common/async/task_group.h"
#include "common/db/testing.h"
#include "gateway/limits/exchange.h"
#include "services/catalog/limits/quota_service.h"
#include "services/catalog/limits/quota_store.h"
#include "tests/support/gateway.h"

namespace metamcp::testing {
namespace {

namespace asio = boost::asio;
namespace limits = gateway::limits;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

config::LimitRuleConfig RuleOf(const std::string& rate, int64_t burst) {
  config::LimitRuleConfig rule;
  rule.name = "all";
  rule.scope = "global";
  rule.rate = rate;
  rule.burst = burst;
  return rule;
}

// One gateway with a connection to the database of its own, and a thread that calls.
class SharingGateway {
 public:
  SharingGateway(const std::string& url, int index, size_t gateways, config::LimitRuleConfig rule)
      : database_(Open(url)),
        executor_(*database_),
        catalog_(executor_),
        tasks_(io_.get_executor()) {
    limits::Limiter::Options options;
    options.shared = true;
    limiter_ = std::make_unique<limits::Limiter>(std::move(options));
    limiter_->SetRules({std::move(rule)});
    limits::Exchange::Options names;
    names.gateway = "gateway-" + std::to_string(index);
    names.gateways = [gateways] { return gateways; };
    exchange_ = std::make_unique<limits::Exchange>(io_.get_executor(), *limiter_, &catalog_,
                                                   std::move(names));
    limiter_->SetGateways(gateways);
  }
  // Calls `per_ms` times in each millisecond for `time`; what passed.
  void Drive(milliseconds time, int per_ms) {
    thread_ = std::thread([this, time, per_ms] {
      tasks_.Spawn("exchange", exchange_->Run());
      const auto start = Clock::now();
      int64_t asked = 0;
      while (Clock::now() - start < time) {
        io_.poll();
        const auto ms = std::chrono::duration_cast<milliseconds>(Clock::now() - start).count();
        for (; asked < ms * per_ms; ++asked) {
          limits::Ticket ticket;
          const limits::Subject subject;
          passed_ += limiter_->Acquire(limits::Surface::kCalls, subject, false, ticket).ok();
          limiter_->Release(ticket);
        }
        std::this_thread::sleep_for(milliseconds(1));
      }
      seconds_ = std::chrono::duration<double>(Clock::now() - start).count();
      tasks_.CancelAll();
      io_.run();
    });
  }
  int64_t Join() {
    thread_.join();
    return passed_;
  }
  double seconds() const { return seconds_; }

 private:
  static std::unique_ptr<db::Database> Open(const std::string& url) {
    auto database = db::OpenDatabaseBlocking(url);
    EXPECT_TRUE(database.ok()) << database.status();
    return *std::move(database);
  }

  asio::io_context io_;
  std::unique_ptr<db::Database> database_;
  db::DbExecutor executor_;
  catalog::QuotaService catalog_;
  TaskGroup tasks_;
  std::unique_ptr<limits::Limiter> limiter_;
  std::unique_ptr<limits::Exchange> exchange_;
  std::thread thread_;
  int64_t passed_ = 0;
  double seconds_ = 0;
};

class SharedLimitsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    scratch_ = std::make_unique<db::ScratchDatabase>(db::TestBackend::kPostgres);
    if (scratch_->url().empty()) {
      if (db::ScratchDatabase::PostgresRequired()) FAIL() << "no PostgreSQL";
      GTEST_SKIP() << "METAMCP_TEST_POSTGRES_URL is not set";
    }
    const auto database = db::OpenDatabaseBlocking(scratch_->url());
    ASSERT_TRUE(database.ok()) << database.status();
    ASSERT_TRUE(catalog::QuotaStore::MigrateBlocking(**database).ok());
  }
  // What passed of `per_ms` calls in each millisecond, by gateway, against what should have.
  void Check(const std::vector<int>& per_ms, const config::LimitRuleConfig& rule, double rate) {
    std::vector<std::unique_ptr<SharingGateway>> gateways;
    for (size_t i = 0; i < per_ms.size(); ++i) {
      gateways.push_back(std::make_unique<SharingGateway>(scratch_->url(), static_cast<int>(i),
                                                          per_ms.size(), rule));
    }
    for (size_t i = 0; i < per_ms.size(); ++i) gateways[i]->Drive(milliseconds(4000), per_ms[i]);
    int64_t passed = 0;
    double seconds = 0;
    for (auto& each : gateways) {
      passed += each->Join();
      seconds = std::max(seconds, each->seconds());
    }
    const double allowed = static_cast<double>(rule.burst) + rate * seconds;
    RecordProperty("passed", static_cast<int>(passed));
    RecordProperty("allowed", static_cast<int>(allowed));
    EXPECT_NEAR(static_cast<double>(passed), allowed, 0.05 * allowed);
  }

  std::unique_ptr<db::ScratchDatabase> scratch_;
};

TEST_F(SharedLimitsTest, ThreeGatewaysUnderABurstKeepTheLimit) {
  RecordProperty("req", "P1-Rate-1");
  Check({10, 10, 10}, RuleOf("1000/second", 1000), 1000);
}

TEST_F(SharedLimitsTest, TheSameWhereOneHasMostOfTheCalls) {
  RecordProperty("req", "P1-Rate-1");
  Check({20, 1, 0}, RuleOf("2000/second", 500), 2000);
}

HttpAnswer Request(const std::string& method, const std::string& url, const std::string& body,
                   const std::vector<std::pair<std::string, std::string>>& headers) {
  const Url target(url);
  HttpConnection connection(target.port);
  std::string text = method + " " + target.path + " HTTP/1.1\r\nHost: " + target.host + "\r\n";
  for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
  text += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  if (!connection.Send(text)) return {};
  return connection.Read().value_or(HttpAnswer());
}

class LimitsTest : public ::testing::Test {
 protected:
  Json Config(Json rules) const {
    return {{"mcpServers", {{"io", EchoServer("io")}}}, {"limits", {{"rules", std::move(rules)}}}};
  }
  HttpAnswer Call() const {
    const Json message = {{"jsonrpc", "2.0"},
                          {"id", 1},
                          {"method", "tools/call"},
                          {"params",
                           {{"name", "io__who"},
                            {"arguments", Json::object()},
                            {"_meta",
                             {{"io.modelcontextprotocol/protocolVersion", "2026-07-28"},
                              {"io.modelcontextprotocol/clientCapabilities", Json::object()}}}}}};
    return Request("POST", gateway_.base() + "/mcp", message.dump(),
                   {{"Accept", "application/json, text/event-stream"},
                    {"Content-Type", "application/json"},
                    {"MCP-Protocol-Version", "2026-07-28"},
                    {"Mcp-Method", "tools/call"},
                    {"Mcp-Name", "io__who"}});
  }

  Gateway gateway_;
};

TEST_F(LimitsTest, SaysSoInHeadersAndInTheError) {
  RecordProperty("req", "P1-Rate-1 W-4.4.3");
  gateway_.Configure(Config({{{"scope", "tool"}, {"match", "io.*"}, {"rate", "2/minute"}}}));
  ASSERT_TRUE(gateway_.Start()) << gateway_.Log();
  ASSERT_TRUE(gateway_.WaitForTools({"io__who"})) << gateway_.Log();
  const HttpAnswer first = Call();
  EXPECT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(first.Header("X-RateLimit-Limit"), "2");
  EXPECT_EQ(first.Header("X-RateLimit-Remaining"), "1");
  EXPECT_EQ(Call().status, 200);
  const HttpAnswer refused = Call();
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.Header("X-RateLimit-Remaining"), "0");
  EXPECT_GE(std::stoi(refused.Header("Retry-After")), 25);
  const Json error = Json::parse(refused.body).at("error");
  EXPECT_EQ(error.at("code"), -31029);
  EXPECT_EQ(error.at("data").at("reason"), "RATE_LIMITED");
  EXPECT_EQ(error.at("data").at("source"), "policy");
  EXPECT_GT(error.at("data").at("retryAfterMs").get<int>(), 20'000);

  McpClient legacy = gateway_.Client(ClientEra::kLegacy);
  const auto answer = legacy.CallTool("io__who", Json::object());
  EXPECT_EQ(answer.value(Json::json_pointer("/error/data/reason"), answer.dump()), "RATE_LIMITED");

  const HttpAnswer shown = gateway_.Rest("GET", "/limits");
  EXPECT_THAT(shown.body, ::testing::HasSubstr(R"("value":"io.who")")) << shown.body;
  const HttpAnswer metrics = Request("GET", gateway_.base() + "/metrics", "", {});
  EXPECT_THAT(metrics.body, ::testing::HasSubstr("metamcp_limit_refusals_total{"));
}

TEST_F(LimitsTest, AQuotaOutlivesTheProgram) {
  gateway_.Configure(Config({{{"scope", "principal"}, {"dailyQuota", 5}}}));
  ASSERT_TRUE(gateway_.Start()) << gateway_.Log();
  ASSERT_TRUE(gateway_.WaitForTools({"io__who"})) << gateway_.Log();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Call().status, 200);
  const HttpAnswer refused = Call();
  EXPECT_EQ(refused.status, 429);
  EXPECT_THAT(refused.body, ::testing::HasSubstr("QUOTA_EXHAUSTED"));
  // What was spent in the last tenth of a second may not be stored yet.
  const auto stored = [this] {
    return gateway_.Rest("GET", "/limits").body.find(R"("exchangedMs":"-1")") == std::string::npos;
  };
  for (int i = 0; i < 100 && !stored(); ++i) std::this_thread::sleep_for(milliseconds(20));
  std::this_thread::sleep_for(milliseconds(300));
  gateway_.Kill();
  ASSERT_TRUE(gateway_.Start()) << gateway_.Log();
  ASSERT_TRUE(gateway_.WaitForTools({"io__who"})) << gateway_.Log();
  EXPECT_THAT(Call().body, ::testing::HasSubstr("QUOTA_EXHAUSTED"));
}

TEST_F(LimitsTest, RulesChangeWhileItRuns) {
  gateway_.Configure(Config(Json::array()));
  ASSERT_TRUE(gateway_.Start()) << gateway_.Log();
  ASSERT_TRUE(gateway_.WaitForTools({"io__who"})) << gateway_.Log();
  EXPECT_EQ(Call().Header("X-RateLimit-Limit"), "");
  gateway_.Configure(Config({{{"scope", "global"}, {"rate", "1/hour"}},
                             {{"scope", "global"}, {"surface", "admin"}, {"rate", "3/hour"}}}));
  ASSERT_EQ(gateway_.Rest("POST", "/config:reload").status, 200) << gateway_.Log();
  Call();
  EXPECT_EQ(Call().status, 429);
  int refused = 0;
  HttpAnswer last;
  for (int i = 0; i < 6; ++i) {
    const HttpAnswer answer = gateway_.Rest("GET", "/status");
    if (answer.status == 429) last = answer;
    refused += answer.status == 429 ? 1 : 0;
  }
  EXPECT_GE(refused, 3);
  EXPECT_NE(last.Header("Retry-After"), "");
  EXPECT_THAT(last.body, ::testing::HasSubstr("RATE_LIMITED"));
  // Whoever probes it is not limited.
  EXPECT_EQ(Request("GET", gateway_.base() + "/health", "", {}).status, 200);
}

}  // namespace
}  // namespace metamcp::testing
