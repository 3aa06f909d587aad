// Gateways that share limits through a catalog in memory, on a clock of their own.
#include "gateway/limits/exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <deque>
#include <map>
#include <memory>

#include "common/async/run.h"
#include "common/base/error.h"

namespace metamcp::gateway::limits {
namespace {

namespace asio = boost::asio;
constexpr int64_t kMs = 1'000'000;

// As QuotaService says, in a few lines.
class FakeCatalog final : public catalog::v1::QuotaService {
 public:
  explicit FakeCatalog(const int64_t& now) : now_(now) {}
  Awaitable<absl::StatusOr<catalog::v1::ExchangeLimitsResponse>> ExchangeLimits(
      const CallContext&, catalog::v1::ExchangeLimitsRequest request) override {
    ++asked;
    if (down) co_return absl::UnavailableError("down");
    catalog::v1::ExchangeLimitsResponse response;
    for (const auto& lease : request.rates()) {
      int64_t& full = buckets_[lease.key()];
      full = std::max(full - lease.give_back() * lease.interval_ns(), now_) +
             lease.charge() * lease.interval_ns();
      const auto left = [&] {
        return (now_ + lease.burst() * lease.interval_ns() - full) / lease.interval_ns();
      };
      auto& grant = *response.add_rates();
      grant.set_granted(std::clamp<int64_t>(left(), 0, lease.want()));
      full += grant.granted() * lease.interval_ns();
      grant.set_left(left());
      grant.set_wait_ns(
          std::max<int64_t>(0, full - now_ - (lease.burst() - 1) * lease.interval_ns()));
    }
    for (const auto& lease : request.quotas()) {
      int64_t& taken = used[{lease.day(), lease.key()}];
      taken += lease.charge() - lease.give_back();
      auto& grant = *response.add_quotas();
      grant.set_granted(std::clamp<int64_t>(lease.quota() - taken, 0, lease.want()));
      taken += grant.granted();
      grant.set_left(std::max<int64_t>(0, lease.quota() - taken));
    }
    for (const auto& lease : request.slots()) {
      auto& slots = slots_[lease.key()];
      int64_t others = 0;
      for (const auto& [gateway, count] : slots) others += gateway == request.gateway() ? 0 : count;
      auto& grant = *response.add_slots();
      grant.set_slots(std::max(lease.running(), std::min(lease.want(), lease.limit() - others)));
      slots[request.gateway()] = grant.slots();
    }
    co_return response;
  }
  Awaitable<absl::StatusOr<catalog::v1::ListQuotasResponse>> ListQuotas(
      const CallContext&, catalog::v1::ListQuotasRequest request) override {
    catalog::v1::ListQuotasResponse response;
    for (const auto& [key, count] : used) {
      if (key.first != request.day()) continue;
      auto& out = *response.add_quotas();
      out.set_key(key.second);
      out.set_used(count);
    }
    co_return response;
  }

  bool down = false;
  int asked = 0;
  std::map<std::pair<int64_t, std::string>, int64_t> used;

 private:
  const int64_t& now_;
  std::map<std::string, int64_t> buckets_;
  std::map<std::string, std::map<std::string, int64_t>> slots_;
};

class ExchangeTest : public ::testing::Test {
 protected:
  struct Gateway {
    std::unique_ptr<Limiter> limiter;
    std::unique_ptr<Exchange> exchange;
  };
  Gateway& Add(const std::vector<config::LimitRuleConfig>& rules, bool shared = true) {
    Limiter::Options options;
    options.shared = shared;
    options.now_ns = [this] { return now_; };
    options.day = [this] { return day_; };
    Gateway gateway;
    gateway.limiter = std::make_unique<Limiter>(std::move(options));
    gateway.limiter->SetRules(rules);
    Exchange::Options names;
    names.gateway = "g" + std::to_string(gateways_.size());
    names.gateways = [this] { return gateways_.size(); };
    gateway.exchange = std::make_unique<Exchange>(io_.get_executor(), *gateway.limiter, &catalog_,
                                                  std::move(names));
    gateways_.push_back(std::move(gateway));
    for (auto& each : gateways_) each.limiter->SetGateways(gateways_.size());
    return gateways_.back();
  }
  static config::LimitRuleConfig RuleOf(const std::string& rate, int64_t burst) {
    config::LimitRuleConfig rule;
    rule.name = "shared";
    rule.scope = "global";
    rule.rate = rate;
    rule.burst = burst;
    return rule;
  }
  void Await(Awaitable<void> op) {
    asio::co_spawn(io_, std::move(op), [](std::exception_ptr) {});
    io_.restart();
    io_.run();
  }
  absl::Status Round(Gateway& gateway) {
    absl::Status out;
    const auto run = [](Exchange& exchange, absl::Status& status) -> Awaitable<void> {
      auto round = exchange.Round();
      status = co_await std::move(round);
    };
    Await(run(*gateway.exchange, out));
    return out;
  }
  static bool Ask(Gateway& gateway) {
    Ticket ticket;
    return gateway.limiter->Acquire(Surface::kCalls, Subject(), false, ticket).ok();
  }
  // Calls at every gateway, `each` in a millisecond, with a round every 100 of them.
  int Drive(int64_t ms, const std::vector<int>& each) {
    int passed = 0;
    for (int64_t i = 0; i < ms; ++i) {
      now_ += kMs;
      for (size_t g = 0; g < gateways_.size(); ++g) {
        for (int k = 0; k < each[g]; ++k) passed += Ask(gateways_[g]) ? 1 : 0;
        if (i % 100 != static_cast<int64_t>(10 * g)) continue;
        EXPECT_TRUE(Round(gateways_[g]).ok());
      }
    }
    return passed;
  }

  asio::io_context io_;
  int64_t now_ = 1000 * kMs;
  int64_t day_ = 20'000;
  FakeCatalog catalog_{now_};
  std::deque<Gateway> gateways_;  // tests hold references
};

TEST_F(ExchangeTest, ThreeGatewaysPassWhatOneWould) {
  RecordProperty("req", "P1-Rate-1");
  for (int i = 0; i < 3; ++i) Add({RuleOf("1000/second", 500)});
  // Ten times what is allowed, the same everywhere.
  const int passed = Drive(5000, {3, 3, 3});
  EXPECT_NEAR(passed, 500 + 5000, 0.05 * 5500);
}

TEST_F(ExchangeTest, WhatOneDoesNotUseAnotherGets) {
  for (int i = 0; i < 3; ++i) Add({RuleOf("1000/second", 500)});
  const int passed = Drive(5000, {5, 0, 0});
  EXPECT_NEAR(passed, 500 + 5000, 0.05 * 5500);
  // The demand moves on.
  const int later = Drive(5000, {0, 0, 5});
  EXPECT_NEAR(later, 5000, 0.06 * 5000);
}

TEST_F(ExchangeTest, BelowTheLimitNothingIsRefused) {
  for (int i = 0; i < 3; ++i) Add({RuleOf("9000/second", 3000)});
  EXPECT_EQ(Drive(2000, {2, 1, 1}), 2000 * 4);
}

TEST_F(ExchangeTest, FirstCallsOnCreditAreChargedLater) {
  for (int i = 0; i < 3; ++i) Add({RuleOf("1/minute", 1)});
  // Nobody has heard of the others yet.
  EXPECT_EQ(Drive(1, {1, 1, 1}), 3);
  Drive(400, {0, 0, 0});
  // Two more than allowed: paid for by three minutes without.
  EXPECT_EQ(Drive(100, {1, 1, 1}), 0);
  now_ += 150'000 * kMs;
  EXPECT_EQ(Drive(200, {1, 1, 1}), 0);
}

TEST_F(ExchangeTest, SlotsOfAllTogetherAreTheLimit) {
  config::LimitRuleConfig rule = RuleOf("", 0);
  rule.concurrency = 6;
  for (int i = 0; i < 3; ++i) Add({rule});
  std::vector<std::unique_ptr<Ticket>> running;
  const auto start = [&](Gateway& gateway) {
    auto ticket = std::make_unique<Ticket>();
    const bool ok = gateway.limiter->Acquire(Surface::kCalls, Subject(), false, *ticket).ok();
    if (ok) running.push_back(std::move(ticket));
    return ok;
  };
  int started = 0;
  for (int i = 0; i < 50; ++i) {
    started += start(gateways_[0]) ? 1 : 0;
    EXPECT_TRUE(Round(gateways_[0]).ok());
    now_ += 100 * kMs;
  }
  // One gateway alone gets all of them.
  EXPECT_EQ(started, 6);
  EXPECT_TRUE(start(gateways_[1]));  // on credit, as it has not asked yet
  EXPECT_TRUE(Round(gateways_[1]).ok());
  EXPECT_FALSE(start(gateways_[1]));
  for (int i = 0; i < 6; ++i) gateways_[0].limiter->Release(*running[i]);
  int later = 0;
  for (int i = 0; i < 8; ++i) {
    now_ += 100 * kMs;
    EXPECT_TRUE(Round(gateways_[0]).ok());
    EXPECT_TRUE(Round(gateways_[1]).ok());
    later += start(gateways_[1]) ? 1 : 0;
  }
  // With the one on credit all six are its own now.
  EXPECT_EQ(later, 5);
}

TEST_F(ExchangeTest, AQuotaIsExactAndOutlivesTheGateway) {
  config::LimitRuleConfig rule = RuleOf("", 0);
  rule.daily_quota = 250;
  Add({rule}, false);
  EXPECT_EQ(Drive(3000, {1}), 250);
  EXPECT_EQ(catalog_.used.begin()->second, 250);
  // Another run of it.
  gateways_.clear();
  Gateway& again = Add({rule}, false);
  const auto load = [](Exchange& exchange) -> Awaitable<void> {
    auto loading = exchange.Load();
    const absl::Status status = co_await std::move(loading);
    EXPECT_TRUE(status.ok()) << status;
  };
  Await(load(*again.exchange));
  EXPECT_EQ(Drive(1000, {1}), 0);
  ++day_;
  EXPECT_EQ(Drive(3000, {1}), 250);
}

TEST_F(ExchangeTest, AQuotaIsSharedByAll) {
  config::LimitRuleConfig rule = RuleOf("", 0);
  rule.daily_quota = 3000;
  for (int i = 0; i < 3; ++i) Add({rule});
  // One that comes late has a little credit, as it does not know yet that nothing is left.
  const int first = Drive(5000, {2, 1, 0});
  const int late = Drive(500, {1, 1, 1});
  EXPECT_NEAR(first + late, 3000, 150);
  EXPECT_EQ(Drive(500, {1, 1, 1}), 0);
}

TEST_F(ExchangeTest, WhatIsNotUsedGoesBackAtTheEnd) {
  config::LimitRuleConfig rule = RuleOf("", 0);
  rule.daily_quota = 10'000;
  Gateway& gateway = Add({rule});
  EXPECT_EQ(Drive(300, {1}), 300);
  EXPECT_GT(catalog_.used.begin()->second, 300);
  Await(gateway.exchange->Leave());
  EXPECT_EQ(catalog_.used.begin()->second, 300);
}

TEST_F(ExchangeTest, AnExchangeThatFailsLosesNothing) {
  Gateway& gateway = Add({RuleOf("10/second", 10)});
  Add({RuleOf("10/second", 10)});
  EXPECT_TRUE(Ask(gateway));
  catalog_.down = true;
  EXPECT_FALSE(Round(gateway).ok());
  EXPECT_EQ(gateway.exchange->last_ms(), -1);
  catalog_.down = false;
  EXPECT_TRUE(Round(gateway).ok());
  EXPECT_EQ(gateway.exchange->last_ms(), 0);
}

TEST_F(ExchangeTest, WithoutTheCatalogEveryGatewayTakesItsShare) {
  Gateway& gateway = Add({RuleOf("100/second", 100)});
  Add({RuleOf("100/second", 100)});
  catalog_.down = true;
  int passed = 0;
  for (int i = 0; i < 10'000; ++i) {
    now_ += kMs;
    passed += Ask(gateway) ? 1 : 0;
    if (i % 100 == 0) Round(gateway).IgnoreError();
  }
  EXPECT_NEAR(passed, 50 + 500, 60);
}

TEST_F(ExchangeTest, NothingIsAskedWhereNothingHappens) {
  Gateway& gateway = Add({RuleOf("1000/second", 1000)});
  Drive(1000, {1});
  Drive(1000, {0});
  const int before = catalog_.asked;
  Drive(1000, {0});
  EXPECT_EQ(catalog_.asked, before);
  EXPECT_FALSE(gateway.limiter->has_active());
}

}  // namespace
}  // namespace metamcp::gateway::limits
