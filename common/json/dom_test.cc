#include "common/json/dom.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "common/base/strings.h"
#include "common/json/ordered.h"

namespace metamcp::json {
namespace {

TEST(DomTest, ParsesWithinTheDepthLimit) {
  EXPECT_TRUE(ParseJson(std::string(128, '[') + std::string(128, ']')).ok());
  EXPECT_FALSE(ParseJson(std::string(129, '[') + std::string(129, ']')).ok());
  EXPECT_FALSE(ParseJson(std::string(1'000'000, '[')).ok());
  EXPECT_FALSE(ParseJson("1e999").ok());
  EXPECT_FALSE(ParseJson("").ok());
}

TEST(DomTest, DumpReplacesInvalidUtf8) {
  EXPECT_EQ(DumpJson(nlohmann::json("a\xFF")), "\"a\xEF\xBF\xBD\"");
  EXPECT_EQ(DumpJson(ParseOrderedJson(R"({"b":1,"a":2})").value()), R"({"b":1,"a":2})");
}

TEST(DomTest, GettersReturnStatus) {
  const auto j = ParseJson(R"({"s":"x","i":3,"d":1.5,"b":true,"o":{},"a":[],
                               "big":18446744073709551615})")
                     .value();
  EXPECT_EQ(GetString(j, "s").value(), "x");
  EXPECT_EQ(GetInt(j, "i").value(), 3);
  EXPECT_EQ(GetDouble(j, "d").value(), 1.5);
  EXPECT_TRUE(GetBool(j, "b").value());
  EXPECT_TRUE(GetObject(j, "o").ok());
  EXPECT_TRUE(GetArray(j, "a").ok());
  EXPECT_FALSE(GetInt(j, "big").ok());
  EXPECT_FALSE(GetInt(j, "d").ok());
  EXPECT_FALSE(GetString(j, "i").ok());
  EXPECT_FALSE(GetString(j, "none").ok());
  EXPECT_FALSE(GetBool(nlohmann::json(1), "b").ok());
  EXPECT_FALSE(GetArray(j, "o").ok());
  EXPECT_FALSE(GetObject(j, "a").ok());
}

// Quadratic work would take longer than any test may.
TEST(OrderedJson, ObjectsOfManyMembersAreReadAndSearchedInTime) {
  RecordProperty("req", "M-P3");
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += StrCat(i > 0 ? "," : "", "\"member-", i, "\":", i);
  text += ",\"member-7\":\"again\"}";
  const auto parsed = ParseOrderedJson(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->size(), 200'000u);
  const MemberIndex index(*parsed);
  EXPECT_EQ(index.Position("member-7"), 7u);
  EXPECT_EQ(index.Find("member-7")->get<std::string>(), "again");
  int64_t sum = 0;
  for (int i = 8; i < 200'000; ++i) sum += index.Find(StrCat("member-", i))->get<int64_t>();
  EXPECT_GT(sum, 0);
  EXPECT_EQ(index.Find("other"), nullptr);
}

TEST(OrderedJson, IsBuiltAsItWasWritten) {
  const std::string text =
      R"({"b":[1,-2,3.5,true,null,{"z":{},"a":[]}],"a":"\u00e4","n":18446744073709551615})";
  EXPECT_EQ(DumpJson(ParseOrderedJson(text).value()),
            DumpJson(nlohmann::ordered_json::parse(text)));
  EXPECT_EQ(DumpJson(ParseOrderedJson(R"({"a":1,"b":2,"a":3})").value()), R"({"a":3,"b":2})");
  EXPECT_FALSE(ParseOrderedJson("[1e999]").ok());
  const auto list = ParseOrderedJson("[]");
  const MemberIndex none(*list);
  EXPECT_EQ(none.Find("a"), nullptr);
}

}  // namespace
}  // namespace metamcp::json
