#include "common/config/json_tree.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/strings.h"
#include "common/config/json_scanner.h"

namespace metamcp::config {
namespace {

TEST(JsonTreeTest, KnowsThePlaceOfEveryValue) {
  const JsonTree tree = ParseJsonc(
      "// head\n{\n  \"a\": 1, /* c */ \"\xC3\xA4\": [true, null,],\n\t\"b\": {\"c\": "
      "-1.5e3},\n}\n",
      "f");
  ASSERT_TRUE(tree.errors.empty()) << FormatErrors(tree.errors);
  EXPECT_EQ(tree.root.at, Position(2, 1));
  EXPECT_EQ(tree.root.Find("a")->at, Position(3, 8));
  EXPECT_EQ(tree.root.Find("\xC3\xA4")->items[1].at, Position(3, 31));
  EXPECT_EQ(tree.root.FindMember("b")->at, Position(4, 2));
  EXPECT_EQ(ToJson(tree.root), "{\"a\":1,\"\xC3\xA4\":[true,null],\"b\":{\"c\":-1.5e3}}");
}

TEST(JsonTreeTest, ReadsStringsAsRfc8259) {
  const JsonTree tree = ParseJsonc(R"(["\u00e4\ud83d\ude00\n\t\"\\\/", ""])", "f");
  ASSERT_TRUE(tree.errors.empty()) << FormatErrors(tree.errors);
  EXPECT_EQ(tree.root.items[0].text, "\xC3\xA4\xF0\x9F\x98\x80\n\t\"\\/");
  EXPECT_EQ(ToJson(tree.root), "[\"\xC3\xA4\xF0\x9F\x98\x80\\n\\t\\\"\\\\/\",\"\"]");
}

struct BadText {
  std::string_view text;
  std::string_view errors;
};

TEST(JsonTreeTest, SaysWhereWhatAndHowToMend) {
  RecordProperty("req", "M-AC-5.6.2");
  const BadText kBad[] = {
      {"", "f:1:1: found an empty file, expected an object; write {} for the defaults"},
      {"{\n  \"a\": 1\n  \"b\": 2\n}",
       "f:2:9: found a string, expected ',' or '}'; add a comma here"},
      {"{a: 1}", "f:1:2: found 'a', expected a key in double quotes; write \"a\""},
      {"{'a': 1}",
       "f:1:2: found a single quote, expected a double quote; write strings as \"text\""},
      {"{\"a\": {\n\"b\": 1\n",
       "f:3:1: found the end of the file, expected '}' for the '{' of line 1; add '}'\n"
       "f:3:1: found the end of the file, expected '}' for the '{' of line 1; add '}'"},
      {"{\"a\": [1, 2}",
       "f:1:12: found '}', expected ']' for the '[' of line 1; add ']' before it"},
      {"{\"a\" 1}", "f:1:5: found '1' after the key, expected ':'; add a colon here"},
      {"{\"a\" = 1}", "f:1:5: found '=' after the key, expected ':'; add a colon here"},
      {"{\"a\": True}", "f:1:7: found 'True', expected a value; write true"},
      {"{\"a\": None}", "f:1:7: found 'None', expected a value; write null"},
      {"{\"a\": yes}", "f:1:7: found 'yes', expected a value; put it in double quotes: \"yes\""},
      {"{\"a\": 0x10}",
       "f:1:7: found '0x10', expected a value; write a decimal number such as 10, or put it in "
       "double quotes"},
      {"{\"a\": 010}",
       "f:1:7: found '010', expected a value; write a decimal number such as 10, or put it in "
       "double quotes"},
      {"{\"a\": }", "f:1:7: found '}', expected a value; add a value"},
      {"{\"a\": \"x\ty\"}", "f:1:9: found a tab inside a string; write it as \\t"},
      {"{\"a\": \"x,\n\"b\": 1}",
       "f:1:7: found a string that is not closed on its line, expected '\"' at its end; add the "
       "closing quote; write line breaks as \\n\n"
       "f:1:10: found a string, expected ',' or '}'; add a comma here"},
      {"{\"a\": \"C:\\dir\"}",
       "f:1:10: found an unknown escape in a string, expected one of \\\" \\\\ \\/ \\b \\f \\n \\r "
       "\\t \\uXXXX; write \\\\ for a backslash"},
      {"[\"\\ud800\"]",
       "f:1:3: found a \\u escape that is no character, expected four hexadecimal digits; write "
       "the character itself"},
      {"{\"a\": 1,\n\"a\": 2}",
       "f:2:1: found the key \"a\" again, first on line 1; remove or rename one of them"},
      {"[1,,2]", "f:1:4: found ',', expected a value; remove this comma"},
      {"{\"a\": 1; \"b\": 2}", "f:1:8: found ';', expected ',' or '}'; write a comma"},
      {"{} x",
       "f:1:4: found 'x' after the end of the value; remove it, or a closing bracket "
       "before it"},
      {"{ /* open",
       "f:1:3: found a comment that is not closed, expected */; add */\n"
       "f:1:3: found the end of the file, expected '}' for the '{' of line 1; add '}'"},
      {"\xEF\xBB\xBF{}",
       "f:1:1: found a byte order mark, expected '{'; save the file as UTF-8 "
       "without BOM"},
      {"{\"\xC3\xA4\": \"\xFF\"}", "f:1:8: found a byte that is not UTF-8; save the file as UTF-8"},
  };
  for (const BadText& bad : kBad) {
    EXPECT_EQ(FormatErrors(ParseJsonc(bad.text, "f").errors), bad.errors) << bad.text;
  }
}

TEST(JsonTreeTest, CollectsSeveralErrors) {
  RecordProperty("req", "M-FR-003.3");
  const JsonTree tree = ParseJsonc("{\n 'a': 1,\n b: 2\n \"c\": True,\n \"d\": 4\n}", "f");
  EXPECT_EQ(tree.errors.size(), 4u) << FormatErrors(tree.errors);
  EXPECT_EQ(tree.root.members.size(), 4u);
}

TEST(JsonTreeTest, BoundsDepthSizeAndErrors) {
  const auto nested = [](int n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_TRUE(ParseJsonc(nested(kConfigDepthMax), "f").errors.empty());
  EXPECT_EQ(ParseJsonc(nested(kConfigDepthMax + 1), "f").errors[0].message,
            "found more than 64 nested values");
  EXPECT_TRUE(ParseJsonc("{}" + std::string(kConfigBytesMax - 2, ' '), "f").errors.empty());
  EXPECT_FALSE(ParseJsonc("{}" + std::string(kConfigBytesMax - 1, ' '), "f").errors.empty());
  std::string many = "[";
  for (int i = 0; i < 10'000; ++i) many += "x ";
  EXPECT_EQ(ParseJsonc(many, "f").errors.size(), 50u);
}

TEST(JsonTreeTest, EveryPrefixAndEveryChangedByteGivesAnAnswer) {
  const std::string good =
      "// c\n{\"a\": [1, -2.5e1, true, {\"b\": null}], /* x */ \"c\": \"\\u00e4\\\"\xC3\xA4\",}";
  for (size_t i = 0; i < good.size(); ++i) {
    const JsonTree tree = ParseJsonc(std::string_view(good).substr(0, i), "f");
    EXPECT_FALSE(tree.errors.empty()) << i;
  }
  for (size_t i = 0; i < good.size(); ++i) {
    for (const char c : {'\0', '"', '\'', '{', '}', '[', ']', ',', ':', '/', '*', '\\', '\xFF'}) {
      std::string changed = good;
      changed[i] = c;
      const JsonTree tree = ParseJsonc(changed, "f");
      if (tree.errors.empty()) {
        EXPECT_TRUE(ParseJsonc(ToJson(tree.root), "g").errors.empty()) << changed;
      }
    }
  }
}

TEST(JsonTreeTest, FindsInvalidUtf8) {
  for (const std::string_view bad : {"\x80", "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80",
                                     "\xF5\x80\x80\x80", "\xF4\x90\x80\x80", "\xC3"}) {
    EXPECT_EQ(FindInvalidUtf8(StrCat("ab", bad)), 2u);
  }
  EXPECT_EQ(FindInvalidUtf8("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"), std::string_view::npos);
}

}  // namespace
}  // namespace metamcp::config
