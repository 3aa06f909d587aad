#include "gateway/limits/limiter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::gateway::limits {
namespace {

using config::LimitRuleConfig;

constexpr int64_t kSecond = 1'000'000'000;

LimitRuleConfig RuleOf(const std::string& scope, const std::string& rate, int64_t burst = 0) {
  LimitRuleConfig rule;
  rule.name = StrCat(scope, " ", rate);
  rule.scope = scope;
  rule.rate = rate;
  rule.burst = burst;
  return rule;
}

class LimiterTest : public ::testing::Test {
 protected:
  Limiter& Make(const std::vector<LimitRuleConfig>& rules, size_t keys_max = 1000) {
    Limiter::Options options;
    options.keys_max = keys_max;
    options.now_ns = [this] { return now_; };
    options.day = [this] { return day_; };
    limiter_ = std::make_unique<Limiter>(std::move(options));
    limiter_->SetRules(rules);
    return *limiter_;
  }
  static Subject Who(std::string_view principal, std::string_view tool = "git.status") {
    Subject subject;
    subject.tenant = "default";
    subject.principal = principal;
    subject.client = "claude";
    subject.upstream = "git";
    subject.tool = tool;
    subject.exposed = tool;
    return subject;
  }
  // The reason of a refusal, or "".
  std::string Ask(const Subject& subject, bool resumed = false) {
    Ticket ticket;
    last_ = limiter_->Acquire(Surface::kCalls, subject, resumed, ticket);
    limiter_->Release(ticket);
    const auto info = GetErrorInfo(last_);
    return info ? info->reason : "";
  }
  int Passed(const Subject& subject, int tries) {
    int passed = 0;
    for (int i = 0; i < tries; ++i) passed += Ask(subject).empty() ? 1 : 0;
    return passed;
  }
  std::string Of(const std::string& key) {
    const auto info = GetErrorInfo(last_);
    return info && info->metadata.count(key) > 0 ? info->metadata.at(key) : "";
  }

  int64_t now_ = kSecond;
  int64_t day_ = 20'000;
  std::unique_ptr<Limiter> limiter_;
  absl::Status last_;
};

TEST_F(LimiterTest, LetsABurstThroughAndThenTheRate) {
  RecordProperty("req", "P1-Rate-1");
  Make({RuleOf("principal", "10/second", 3)});
  EXPECT_EQ(Passed(Who("a"), 10), 3);
  EXPECT_EQ(Of("retryAfterMs.json"), "100");
  EXPECT_EQ(Of("limit.json"), "3");
  EXPECT_EQ(Of("resetMs.json"), "300");
  now_ += kSecond / 10 - 1;
  EXPECT_EQ(Passed(Who("a"), 10), 0);
  now_ += 1;
  EXPECT_EQ(Passed(Who("a"), 10), 1);
  now_ += 100 * kSecond;
  EXPECT_EQ(Passed(Who("a"), 10), 3);
  EXPECT_EQ(limiter_->refused(*limiter_->rules(Surface::kCalls)[0], Refusal::kRate), 33u);
}

TEST_F(LimiterTest, EachValueHasItsOwnAllowance) {
  RecordProperty("req", "P1-Rate-1");
  Make({RuleOf("principal", "1/minute")});
  EXPECT_EQ(Passed(Who("a"), 5), 1);
  EXPECT_EQ(Passed(Who("b"), 5), 1);
  Subject other = Who("a");
  other.tenant = "acme";
  EXPECT_EQ(Passed(other, 5), 1);
}

TEST_F(LimiterTest, ARefusalOfOneLevelTakesNothingOfTheOthers) {
  Make({RuleOf("global", "100/hour"), RuleOf("tool", "1/hour")});
  EXPECT_EQ(Passed(Who("a"), 50), 1);
  EXPECT_EQ(Passed(Who("a", "git.log"), 50), 1);
  int64_t remaining = 0;
  limiter_->ForEach([&](const Bucket& bucket) {
    if (bucket.rule->scope == Scope::kGlobal) remaining = limiter_->Remaining(bucket);
  });
  EXPECT_EQ(remaining, 98);
}

TEST_F(LimiterTest, MatchesAndPairs) {
  auto rule = RuleOf("tool", "1/hour");
  rule.match = "git.*";
  rule.per = "principal";
  Make({rule});
  EXPECT_EQ(Passed(Who("a"), 3), 1);
  EXPECT_EQ(Passed(Who("b"), 3), 1);
  EXPECT_EQ(Passed(Who("a", "files.read"), 3), 3);
  Subject no_tool = Who("a");
  no_tool.tool = {};
  EXPECT_EQ(Passed(no_tool, 3), 3);
}

TEST_F(LimiterTest, EveryTeamOfThePrincipalIsCharged) {
  Make({RuleOf("team", "2/hour")});
  const std::vector<std::string> both = {"red", "blue"}, red = {"red"};
  Subject subject = Who("a");
  subject.teams = both;
  EXPECT_EQ(Passed(subject, 1), 1);
  subject.teams = red;
  EXPECT_EQ(Passed(subject, 3), 1);
  subject.teams = both;
  EXPECT_EQ(Passed(subject, 1), 0);
}

TEST_F(LimiterTest, SlotsComeBackHoweverTheCallEnds) {
  auto rule = RuleOf("upstream", "");
  rule.concurrency = 2;
  Make({rule});
  Ticket one, two, three;
  EXPECT_TRUE(limiter_->Acquire(Surface::kCalls, Who("a"), false, one).ok());
  EXPECT_TRUE(limiter_->Acquire(Surface::kCalls, Who("b"), false, two).ok());
  const absl::Status refused = limiter_->Acquire(Surface::kCalls, Who("c"), false, three);
  EXPECT_EQ(GetErrorInfo(refused)->metadata.at("kind"), "concurrency");
  limiter_->Release(three);  // holds nothing
  limiter_->Release(one);
  limiter_->Release(one);  // only once
  EXPECT_EQ(Ask(Who("c")), "");
  Ticket four;
  EXPECT_TRUE(limiter_->Acquire(Surface::kCalls, Who("d"), false, four).ok());
  EXPECT_FALSE(limiter_->Acquire(Surface::kCalls, Who("e"), false, three).ok());
}

TEST_F(LimiterTest, ACallThatGoesOnMayOverdrawByOneBurst) {
  Make({RuleOf("principal", "1/hour", 2)});
  EXPECT_EQ(Passed(Who("a"), 5), 2);
  EXPECT_EQ(Ask(Who("a"), true), "");
  EXPECT_EQ(Ask(Who("a"), true), "");
  EXPECT_EQ(Ask(Who("a"), true), "RATE_LIMITED");
}

TEST_F(LimiterTest, AQuotaIsOfADay) {
  auto rule = RuleOf("principal", "");
  rule.daily_quota = 30;
  Make({rule});
  EXPECT_EQ(Passed(Who("a"), 100), 30);
  EXPECT_EQ(Of("kind"), "quota");
  EXPECT_GT(std::stoll(Of("retryAfterMs.json")), 0);
  EXPECT_LE(std::stoll(Of("retryAfterMs.json")), 86'400'000);
  EXPECT_EQ(GetErrorInfo(last_)->reason, "QUOTA_EXHAUSTED");
  // What is used up is not forgotten while the day lasts.
  now_ += 3600 * kSecond;
  limiter_->Sweep(1000);
  EXPECT_EQ(Passed(Who("a"), 100), 0);
  ++day_;
  EXPECT_EQ(Passed(Who("a"), 100), 30);
}

TEST_F(LimiterTest, WhatWasUsedUpBeforeARestartStaysUsedUp) {
  auto rule = RuleOf("principal", "");
  rule.daily_quota = 300;
  Make({rule});
  Bucket same;
  same.rule = limiter_->rules(Surface::kCalls)[0];
  same.value = "a";
  limiter_->SetUsedQuotas({{Limiter::KeyOf(same), 300}});
  EXPECT_EQ(Ask(Who("a")), "QUOTA_EXHAUSTED");
  EXPECT_EQ(Ask(Who("b")), "");
}

TEST_F(LimiterTest, KeysAreBoundedAndExpiredOnesAreForgotten) {
  Make({RuleOf("client", "1/second")}, 100);
  for (int i = 0; i < 300; ++i) {
    const std::string name = StrCat("client-", i);
    Subject subject = Who("a");
    subject.client = name;
    Ask(subject);
  }
  // Those beyond share one, so a made-up name gains nothing.
  EXPECT_EQ(limiter_->keys(), 101u);
  Subject fresh = Who("a");
  fresh.client = "never-seen";
  EXPECT_EQ(Ask(fresh), "RATE_LIMITED");
  now_ += 120 * kSecond;
  limiter_->Sweep(1000);
  EXPECT_EQ(limiter_->keys(), 0u);
  EXPECT_EQ(Ask(fresh), "");
}

TEST_F(LimiterTest, RulesThatKeepTheirNamesKeepTheirAllowances) {
  auto rule = RuleOf("principal", "2/hour");
  Make({rule});
  EXPECT_EQ(Passed(Who("a"), 5), 2);
  limiter_->SetRules({rule, RuleOf("tool", "100/second")});
  EXPECT_EQ(Passed(Who("a"), 5), 0);
  rule.rate = "4/hour";
  limiter_->SetRules({rule});
  // The new rate counts from what is left of the old one.
  now_ += 1000 * kSecond;
  EXPECT_EQ(Passed(Who("a"), 5), 1);
  limiter_->SetRules({});
  EXPECT_EQ(Passed(Who("a"), 5), 5);
  EXPECT_FALSE(limiter_->HasRules(Surface::kCalls));
  EXPECT_EQ(limiter_->keys(), 0u);
}

TEST_F(LimiterTest, ARunningCallOutlivesItsRule) {
  auto rule = RuleOf("principal", "");
  rule.concurrency = 1;
  Make({rule});
  Ticket running;
  ASSERT_TRUE(limiter_->Acquire(Surface::kCalls, Who("a"), false, running).ok());
  limiter_->SetRules({});
  limiter_->SetRules({rule});
  EXPECT_EQ(Ask(Who("a")), "");
  limiter_->Release(running);
  EXPECT_EQ(Ask(Who("a")), "");
}

TEST_F(LimiterTest, SurfacesAreApart) {
  auto rule = RuleOf("principal", "1/hour");
  rule.surface = "admin";
  Make({rule});
  EXPECT_EQ(Passed(Who("a"), 5), 5);
  Ticket ticket;
  EXPECT_TRUE(limiter_->Acquire(Surface::kAdmin, Who("a"), false, ticket).ok());
  EXPECT_FALSE(limiter_->Acquire(Surface::kAdmin, Who("a"), false, ticket).ok());
}

}  // namespace
}  // namespace metamcp::gateway::limits
