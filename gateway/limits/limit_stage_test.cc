#include "gateway/limits/limit_stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "gateway/protocol/retry_headers.h"

namespace metamcp::gateway::limits {
namespace {

class LimitStageTest : public ::testing::Test {
 protected:
  LimitStageTest() : limiter_(Limiter::Options()), stage_(limiter_) {
    auto info = std::make_shared<UpstreamInfo>();
    info->id = "u1";
    info->name = "git";
    ServerView::Parts parts;
    parts.name = "default";
    parts.upstreams.push_back(info);
    spec_.view = std::make_shared<ServerView>(std::move(parts));
    spec_.method = "tools/call";
    spec_.client_info = R"({"name":"inspector","version":"1"})";
    entry_.kind = catalog::v1::ITEM_KIND_TOOL;
    entry_.qualified_name = "git.status";
    routes_.emplace_back();
    routes_.back().set_upstream_id("u1");
    auto who = std::make_shared<Principal>();
    who->subject = "ada";
    ctx_.principal = std::move(who);
  }
  void Limit(const std::string& scope, const std::string& match, int64_t concurrency) {
    config::LimitRuleConfig rule;
    rule.name = "r";
    rule.scope = scope;
    rule.match = match;
    rule.rate = "2/hour";
    rule.concurrency = concurrency;
    limiter_.SetRules({rule});
  }
  StageCall Call() const { return {ctx_, spec_, &entry_, "git__status", routes_, false}; }

  CallContext ctx_;
  CallSpec spec_;
  ExposedEntry entry_;
  std::vector<catalog::v1::Route> routes_;
  Limiter limiter_;
  LimitStage stage_;
};

TEST_F(LimitStageTest, FindsEveryScopeOfACall) {
  for (const auto& [scope, match] : std::map<std::string, std::string>{{"global", "*"},
                                                                       {"tenant", "default"},
                                                                       {"principal", "ada"},
                                                                       {"client", "inspector"},
                                                                       {"upstream", "git"},
                                                                       {"tool", "git__*"}}) {
    Limit(scope, match, 0);
    const StageCall call = Call();
    EXPECT_TRUE(stage_.Before(call).ok()) << scope;
    EXPECT_TRUE(stage_.Before(call).ok()) << scope;
    EXPECT_FALSE(stage_.Before(call).ok()) << scope;
    stage_.After(call, nullptr);
    limiter_.SetRules({});
  }
}

TEST_F(LimitStageTest, GivesSlotsBackWhenACallIsAbandonedAndTellsWhatIsLeft) {
  Limit("principal", "*", 1);
  const StageCall first = Call(), second = Call();
  ASSERT_TRUE(stage_.Before(first).ok());
  EXPECT_EQ(GetErrorInfo(stage_.Before(second))->reason, "RATE_LIMITED");
  stage_.After(first, nullptr);
  ASSERT_TRUE(stage_.Before(second).ok());
  absl::StatusOr<CallOutcome> outcome = CallOutcome();
  stage_.After(second, &outcome);
  EXPECT_EQ(outcome->allowance.limit, 2);
  EXPECT_EQ(outcome->allowance.remaining, 0);
}

TEST_F(LimitStageTest, NeverRefusesToCancel) {
  Limit("principal", "*", 0);
  const StageCall call = Call();
  ASSERT_TRUE(stage_.Before(call).ok());
  ASSERT_TRUE(stage_.Before(call).ok());
  spec_.method = "tasks/cancel";
  EXPECT_TRUE(stage_.Before(call).ok());
  spec_.method = "tools/call";
  spec_.abandon = true;
  EXPECT_TRUE(stage_.Before(call).ok());
}

TEST(RetryHeadersTest, SayWhenAndHowMuch) {
  RecordProperty("req", "P1-Rate-1");
  std::map<std::string, std::string> headers;
  const AddHeader add = [&headers](std::string_view name, const std::string& value) {
    headers[std::string(name)] = value;
  };
  const absl::Status status = MakeError("RATE_LIMITED", "policy", "no",
                                        {{"retryAfterMs.json", "1001"},
                                         {"limit.json", "5"},
                                         {"remaining.json", "0"},
                                         {"resetMs.json", "5400"}});
  EXPECT_TRUE(IsLimit(status));
  AddRetryHeaders(status, 429, add);
  EXPECT_THAT(headers, ::testing::ElementsAre(std::pair("Retry-After", "2"),
                                              std::pair("X-RateLimit-Limit", "5"),
                                              std::pair("X-RateLimit-Remaining", "0"),
                                              std::pair("X-RateLimit-Reset", "6")));
  headers.clear();
  AddRetryHeaders(MakeError("QUEUE_FULL", "gateway", "no"), 503, add);
  EXPECT_THAT(headers, ::testing::ElementsAre(std::pair("Retry-After", "1")));
  headers.clear();
  AddRetryHeaders(status, 200, add);
  EXPECT_TRUE(headers.empty());
}

}  // namespace
}  // namespace metamcp::gateway::limits
