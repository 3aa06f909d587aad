#include "common/config/counter_rule.h"

#include <gtest/gtest.h>

namespace metamcp::config {
namespace {

TEST(CounterRuleTest, ReadsWhatItCounts) {
  ::testing::Test::RecordProperty("req", "P1-Obs-2");
  const auto rule = ParseCounterRule("failed_pushes item=*push  outcome=upstream_*");
  ASSERT_TRUE(rule.ok()) << rule.status();
  CounterRule expected;
  expected.name = "failed_pushes";
  expected.item = "*push";
  expected.outcome = "upstream_*";
  EXPECT_EQ(*rule, expected);
  EXPECT_TRUE(ParseCounterRule("all").ok());
}

TEST(CounterRuleTest, SaysWhatIsWrong) {
  for (const auto& [text, what] : std::initializer_list<std::pair<const char*, const char*>>{
           {"", "begin with a name"},
           {"Pushes", "begin with a name"},
           {"a client=x", "\"client=x\" is no FIELD=GLOB"},
           {"a item", "\"item\" is no FIELD=GLOB"},
           {"a item=", "\"item=\" is no FIELD=GLOB"},
           {"a item=x item=y", "item is there twice"}}) {
    const auto rule = ParseCounterRule(text);
    ASSERT_FALSE(rule.ok()) << text;
    EXPECT_NE(rule.status().message().find(what), std::string::npos) << rule.status();
  }
}

}  // namespace
}  // namespace metamcp::config
