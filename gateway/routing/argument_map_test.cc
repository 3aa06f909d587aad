#include "gateway/routing/argument_map.h"

#include <gtest/gtest.h>

namespace metamcp::gateway {
namespace {

using catalog::v1::ArgumentOverride;
using Rules = std::map<std::string, ArgumentOverride>;

ArgumentOverride Rule(std::string rename, std::string fallback = "", std::string fixed = "",
                      std::string coerce = "") {
  ArgumentOverride rule;
  rule.set_rename(std::move(rename));
  rule.set_default_value(std::move(fallback));
  rule.set_fixed_value(std::move(fixed));
  rule.set_coerce(std::move(coerce));
  return rule;
}

TEST(ArgumentMapTest, RenamesDefaultsAndFixes) {
  RecordProperty("req", "M02-US-004.2");
  const Rules rules = {
      {"path", Rule("file")}, {"depth", Rule("", "3")}, {"token", Rule("", "", "\"t\"")}};
  EXPECT_EQ(*MapArguments(rules, R"({"file":"a","n":1.50})"),
            R"({"path":"a","n":1.50,"depth":3,"token":"t"})");
  EXPECT_EQ(*MapArguments(rules, R"({"depth":9})"), R"({"depth":9,"token":"t"})");
  EXPECT_EQ(*MapArguments(rules, ""), R"({"depth":3,"token":"t"})");
}

TEST(ArgumentMapTest, RefusesFixedHiddenRenamedAndDoubleArguments) {
  const Rules rules = {{"path", Rule("file")}, {"token", Rule("", "", "\"t\"")}};
  EXPECT_FALSE(MapArguments(rules, R"({"token":"mine"})").ok());
  EXPECT_FALSE(MapArguments(rules, R"({"path":"x"})").ok());
  EXPECT_FALSE(MapArguments(rules, R"([])").ok());
  const Rules swap = {{"a", Rule("b")}, {"b", Rule("a")}};
  EXPECT_EQ(*MapArguments(swap, R"({"a":1,"b":2})"), R"({"b":1,"a":2})");
}

TEST(ArgumentMapTest, CoercesStrings) {
  const Rules rules = {{"n", Rule("", "", "", "integer")},
                       {"b", Rule("", "", "", "boolean")},
                       {"s", Rule("", "", "", "string")}};
  EXPECT_EQ(*MapArguments(rules, R"({"n":"42","b":"true","s":7})"), R"({"n":42,"b":true,"s":"7"})");
  EXPECT_FALSE(MapArguments(rules, R"({"n":"4.5"})").ok());
  EXPECT_FALSE(MapArguments(rules, R"({"n":"1,\"x\":2"})").ok());
  EXPECT_FALSE(MapArguments(rules, R"({"b":"yes"})").ok());
  EXPECT_FALSE(MapArguments(rules, R"({"s":{}})").ok());
}

}  // namespace
}  // namespace metamcp::gateway
