#include "common/json/dom.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

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

}  // namespace
}  // namespace metamcp::json
