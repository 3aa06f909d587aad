#include "common/telemetry/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace metamcp {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class LogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SetLogWriter([this](std::string_view line) { text_ += line; });
  }
  void TearDown() override {
    SetLogWriter(nullptr);
    SetLogLevel(LogLevel::kInfo);
  }
  std::string text_;
};

TEST_F(LogTest, WritesTypedFieldsAsOneJsonLine) {
  RecordProperty("req", "A-P5.4");
  Log(LogLevel::kInfo, "test.done", {{"name", "a\"b\n"}, {"count", 3}, {"ok", true}, {"ms", 1.5}});
  EXPECT_THAT(text_, HasSubstr(R"("event":"test.done","name":"a\"b\u000a","count":3,"ok":true)"));
  EXPECT_EQ(text_.find('\n'), text_.size() - 1);
}

TEST_F(LogTest, DropsLinesBelowTheLevel) {
  SetLogLevel(LogLevel::kError);
  Log(LogLevel::kWarning, "test.dropped");
  EXPECT_EQ(text_, "");
}

TEST_F(LogTest, ReplacesInvalidUtf8AndCutsLongValues) {
  Log(LogLevel::kInfo, "test.bytes", {{"raw", std::string("\xff\xc0\xaf")}});
  EXPECT_THAT(text_, HasSubstr(R"(\ufffd\ufffd\ufffd)"));
  text_.clear();
  Log(LogLevel::kInfo, "test.long", {{"raw", std::string(10000, 'x')}});
  EXPECT_LT(text_.size(), 2300u);
}

}  // namespace
}  // namespace metamcp
