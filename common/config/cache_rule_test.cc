#include "common/config/cache_rule.h"

#include <gtest/gtest.h>

namespace metamcp::config {
namespace {

TEST(CacheRuleTest, ReadsServerAndSeconds) {
  ::testing::Test::RecordProperty("req", "P1-Res-4");
  const auto rule = ParseCacheRule(" docs-*  60");
  ASSERT_TRUE(rule.ok()) << rule.status();
  EXPECT_EQ(*rule, (CacheRule{"docs-*", std::chrono::seconds(60)}));
  EXPECT_EQ(ParseCacheRule("* 0")->ttl.count(), 0);
}

TEST(CacheRuleTest, SaysWhatIsWrong) {
  for (const char* text : {"", "docs", "docs 60 s"}) {
    EXPECT_EQ(ParseCacheRule(text).status().message(), "it must be a server and seconds") << text;
  }
  for (const char* text : {"docs 1m", "docs -1", "docs 2592001", "docs 99999999999999999999"}) {
    EXPECT_EQ(ParseCacheRule(text).status().message(),
              "the second word must be seconds, 0 to 2592000")
        << text;
  }
}

}  // namespace
}  // namespace metamcp::config
