#include "common/telemetry/log_keep.h"

#include <gtest/gtest.h>

namespace metamcp {
namespace {

class LogKeepTest : public ::testing::Test {
 protected:
  LogKeepTest() {
    SetLogWriter([](std::string_view) {});
    KeepLogLines(1 << 20);
  }
  ~LogKeepTest() override {
    KeepLogLines(0);
    SetLogText(false);
    SetLogLevel(LogLevel::kInfo);
    SetLogWriter(nullptr);
  }
  static std::vector<std::string> Find(const LogFilter& filter) {
    std::vector<std::string> out;
    for (KeptLine& line : FindLogLines(filter)) out.push_back(std::move(line.line));
    return out;
  }
};

TEST_F(LogKeepTest, FindsByEveryField) {
  ::testing::Test::RecordProperty("req", "W-4.2.3");
  const std::string trace(32, 'a');
  Log(LogLevel::kInfo, "upstream.connected", {{"upstream", "git"}});
  Log(LogLevel::kError, "call.failed", {{"upstream", "git"}, {"trace", trace}});
  Log(LogLevel::kWarning, "call.slow", {{"note", "\"trace\":\"" + trace + "\""}});
  EXPECT_EQ(Find({}).size(), 3u);
  LogFilter filter;
  filter.least = LogLevel::kWarning;
  EXPECT_EQ(Find(filter).size(), 2u);
  filter = {};
  filter.event = "call.*";
  EXPECT_EQ(Find(filter).size(), 2u);
  filter.event = "call.fail";
  EXPECT_EQ(Find(filter).size(), 0u);
  filter = {};
  filter.text = "connected";
  ASSERT_EQ(Find(filter).size(), 1u);
  filter = {};
  // A value that looks like a field is escaped, so it is none.
  filter.trace = trace;
  ASSERT_EQ(Find(filter).size(), 1u);
  EXPECT_NE(Find(filter)[0].find("call.failed"), std::string::npos);
  filter = {};
  filter.limit = 1;
  ASSERT_EQ(Find(filter).size(), 1u);
  EXPECT_NE(Find(filter)[0].find("call.slow"), std::string::npos) << "newest first";
  filter = {};
  filter.since_us = INT64_MAX;
  EXPECT_EQ(Find(filter).size(), 0u);
}

TEST_F(LogKeepTest, HoldsNoMoreThanItMay) {
  KeepLogLines(10'000);
  for (int i = 0; i < 1000; ++i) Log(LogLevel::kInfo, "a.b", {{"i", i}});
  const auto all = Find({.limit = 10'000});
  EXPECT_LT(all.size(), 100u);
  EXPECT_GT(all.size(), 10u);
  EXPECT_NE(all[0].find("\"i\":999"), std::string::npos);
  KeepLogLines(0);
  Log(LogLevel::kInfo, "a.b");
  EXPECT_EQ(Find({}).size(), 0u);
}

TEST_F(LogKeepTest, IsJsonWhereTheTerminalHasText) {
  SetLogText(true);
  Log(LogLevel::kInfo, "a.b", {{"n", 1}});
  ASSERT_EQ(Find({}).size(), 1u);
  EXPECT_EQ(Find({})[0].substr(0, 6), "{\"ts\":");
}

}  // namespace
}  // namespace metamcp
