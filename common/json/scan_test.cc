#include "common/json/scan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/base/error.h"

namespace metamcp::json {
namespace {

std::string Reason(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : "";
}

TEST(ScanTest, ListsMembersWithRawValues) {
  RecordProperty("req", "A-L2.P2");
  const auto view = ScanObject(R"( {"a" : 1.50, "b":"x\"y","c":[1,{"d":null}],"e":true} )");
  ASSERT_TRUE(view.ok());
  ASSERT_EQ(view->members().size(), 4u);
  EXPECT_EQ(view->Raw("a"), "1.50");
  EXPECT_EQ(view->String("b"), "x\"y");
  EXPECT_EQ(view->Raw("c"), R"([1,{"d":null}])");
  EXPECT_EQ(view->Find("e")->value.kind, Kind::kBool);
  EXPECT_EQ(view->Find("f"), nullptr);
  EXPECT_EQ(view->text().front(), '{');
}

TEST(ScanTest, UnescapesKeysAndFindsDuplicatesBehindEscapes) {
  const auto view = ScanObject(R"({"na\u006de":1})");
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->Raw("name"), "1");
  EXPECT_EQ(Reason(ScanObject(R"({"name":1,"na\u006de":2})").status()), "INVALID_REQUEST");
  std::string many = "{";
  for (int i = 0; i < 40; ++i) many += "\"k" + std::to_string(i) + "\":0,";
  EXPECT_TRUE(ScanObject(many + "\"z\":0}").ok());
  EXPECT_EQ(Reason(ScanObject(many + "\"k7\":0}").status()), "INVALID_REQUEST");
}

TEST(ScanTest, RefusesWhatIsNotJson) {
  for (const char* bad : {"",
                          " ",
                          "{",
                          "[",
                          "[1,]",
                          "{\"a\":1,}",
                          "{\"a\"}",
                          "{a:1}",
                          "[1 2]",
                          "01",
                          "1.",
                          "-",
                          "1e",
                          "+1",
                          ".5",
                          "nul",
                          "tru",
                          "\"",
                          "\"\\x\"",
                          "\"\\u12g4\"",
                          "\"\\ud800\"",
                          "\"\\udc00\"",
                          "\"\\ud800\\u0041\"",
                          "\"\t\"",
                          "\"\n\"",
                          "{} x",
                          "[]]",
                          "\xEF\xBB\xBF{}",
                          "'a'",
                          "NaN",
                          "[,1]",
                          "{,}",
                          "\"\xC0\x80\"",
                          "\"\xED\xA0\x80\"",
                          "\"\xF5\x80\x80\x80\"",
                          "\"\xC3\"",
                          "\"\xE2\x82\"",
                          "\"\\",
                          "\"\\u",
                          "{\"a\":1 \"b\":2}",
                          "[1}",
                          "{\"a\":1]"}) {
    EXPECT_EQ(Reason(ScanValue(bad).status()), "PARSE_ERROR") << bad;
  }
  EXPECT_EQ(Reason(ScanValue(std::string("\"\0\"", 3)).status()), "PARSE_ERROR");
  EXPECT_EQ(Reason(ScanValue(std::string("\"\\\0\"", 4)).status()), "PARSE_ERROR");
}

TEST(ScanTest, AcceptsWhatIsJson) {
  for (const char* good : {"0", "-0", "1e5", "1.5E-3", "\"\"", "\"\\ud83d\\ude00\"",
                           "\"\xF0\x9F\x98\x80\"", "[]", "{}", "[ ]", " { } ", "null", "[[[]]]",
                           "{\"a\":{\"b\":[{}]}}", "123456789012345678901234", "\"\x7F\""}) {
    EXPECT_TRUE(ScanValue(good).ok()) << good;
  }
}

TEST(ScanTest, FindsTheEndOfStringsAtEveryAlignment) {
  for (std::size_t n = 0; n < 40; ++n) {
    const std::string inside(n, 'a');
    EXPECT_TRUE(ScanValue("\"" + inside + "\"").ok());
    EXPECT_TRUE(ScanValue("\"" + inside + "\xC3\xA9" + inside + "\"").ok());
    EXPECT_FALSE(ScanValue("\"" + inside + "\x1F" + inside + "\"").ok());
    EXPECT_FALSE(ScanValue("\"" + inside + "\x80" + inside + "\"").ok());
    EXPECT_EQ(JsonUnquote("\"" + inside + "\\n" + inside + "\"").value(), inside + "\n" + inside);
  }
}

TEST(ScanTest, LimitsDepthSizeAndMembers) {
  ScanLimits limits;
  limits.depth_max = 3;
  EXPECT_TRUE(ScanValue("[[[1]]]", limits).ok());
  EXPECT_EQ(Reason(ScanValue("[[[[1]]]]", limits).status()), "PARSE_ERROR");
  EXPECT_EQ(Reason(ScanObject(R"({"a":[[[1]]]})", limits).status()), "PARSE_ERROR");
  EXPECT_TRUE(ScanObject(R"({"a":[[1]]})", limits).ok());
  limits.bytes_max = 4;
  EXPECT_TRUE(ScanValue("[12]", limits).ok());
  EXPECT_FALSE(ScanValue("[123]", limits).ok());
  ScanLimits few;
  few.members_max = 2;
  EXPECT_TRUE(ScanArray("[1,2]", few).ok());
  EXPECT_FALSE(ScanArray("[1,2,3]", few).ok());
  EXPECT_FALSE(ScanObject(R"({"a":1,"b":2,"c":3})", few).ok());
  // Depth far beyond any limit is refused without a crash, whatever limit is asked for.
  few.depth_max = 1'000'000;
  EXPECT_FALSE(ScanValue(std::string(200'000, '['), few).ok());
}

TEST(ScanTest, TellsWrongTypesFromBrokenText) {
  EXPECT_EQ(Reason(ScanObject("[1]").status()), "INVALID_REQUEST");
  EXPECT_EQ(Reason(ScanObject("[1").status()), "PARSE_ERROR");
  EXPECT_EQ(Reason(ScanArray("{}").status()), "INVALID_REQUEST");
  EXPECT_EQ(ScanArray(R"([1,"a",{}])")->size(), 3u);
}

TEST(ScanTest, CursorWalksNestedValues) {
  Cursor c(R"({"a":[1,{"b":2}],"c":3})");
  std::string_view key;
  Value value;
  ASSERT_TRUE(c.Enter(Kind::kObject));
  ASSERT_TRUE(c.NextKey(&key));
  ASSERT_TRUE(c.Enter(Kind::kArray));
  ASSERT_TRUE(c.NextElement());
  ASSERT_TRUE(c.Skip(&value));
  ASSERT_TRUE(c.NextElement());
  ASSERT_TRUE(c.Enter(Kind::kObject));
  ASSERT_TRUE(c.NextKey(&key));
  EXPECT_EQ(key, "b");
  ASSERT_TRUE(c.Skip(&value));
  EXPECT_FALSE(c.NextKey(&key));
  EXPECT_FALSE(c.NextElement());
  ASSERT_TRUE(c.NextKey(&key));
  EXPECT_EQ(key, "c");
  ASSERT_TRUE(c.Skip(&value));
  EXPECT_EQ(value.raw, "3");
  EXPECT_FALSE(c.NextKey(&key));
  EXPECT_TRUE(c.Finish());
}

TEST(ScanTest, QuotesAndUnquotes) {
  EXPECT_EQ(JsonQuote("a\"\\\n\x01\xC3\xA9"), "\"a\\\"\\\\\\n\\u0001\xC3\xA9\"");
  EXPECT_EQ(JsonQuote("x\xFFy\xC3"), "\"x\xEF\xBF\xBDy\xEF\xBF\xBD\"");
  EXPECT_EQ(JsonUnquote("\"\\u00e9\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\"").value(),
            "\xC3\xA9\xF0\x9F\x98\x80/\b\f\n\r\t");
  EXPECT_FALSE(JsonUnquote("abc").ok());
  EXPECT_FALSE(JsonUnquote("1").ok());
  const std::string zero("a\0b", 3);
  EXPECT_EQ(JsonUnquote(JsonQuote(zero)).value(), zero);
}

TEST(ScanTest, ReadsIntegersExactly) {
  EXPECT_EQ(RawInt64("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(RawInt64("9223372036854775808"), std::nullopt);
  EXPECT_EQ(RawInt64("1.0"), std::nullopt);
  EXPECT_EQ(RawInt64(""), std::nullopt);
}

}  // namespace
}  // namespace metamcp::json
