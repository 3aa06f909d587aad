#include "common/json/splice.h"

#include <gtest/gtest.h>

namespace metamcp::json {
namespace {

TEST(SplicerTest, KeepsUnknownMembersAndSpellings) {
  const std::string text = R"({"x":1.000,"name":"old","y":1e2,"z":"\u0041"})";
  const auto view = ScanObject(text);
  ASSERT_TRUE(view.ok());
  Splicer s(*view);
  s.SetString("name", "new\"");
  s.Set("added", "[1]");
  s.Remove("y");
  s.Remove("absent");
  s.SetIfAbsent("x", "2");
  s.SetIfAbsent("w", "3");
  EXPECT_EQ(s.Build(), R"({"x":1.000,"name":"new\"","z":"\u0041","added":[1],"w":3})");
}

TEST(SplicerTest, WithoutEditsReturnsTheSameBytes) {
  const std::string text = "{ \"a\" : 1 }";
  const auto view = ScanObject(text);
  Splicer s(*view);
  EXPECT_FALSE(s.changed());
  EXPECT_EQ(s.Build(), text);
}

TEST(SplicerTest, BuildsFromNothing) {
  const ObjectView nothing;
  Splicer s(nothing);
  EXPECT_EQ(s.Build(), "{}");
  s.Set("a", "1");
  EXPECT_EQ(s.Build(), R"({"a":1})");
  s.Remove("a");
  EXPECT_EQ(s.Build(), "{}");
}

TEST(SplicerTest, EditsAtPaths) {
  const std::string_view path[] = {"a", "b", "c"};
  EXPECT_EQ(SetAtPath(R"({"a":{"b":{"c":1,"d":2}}})", path, "9").value(),
            R"({"a":{"b":{"c":9,"d":2}}})");
  EXPECT_EQ(SetAtPath("{}", path, "9").value(), R"({"a":{"b":{"c":9}}})");
  EXPECT_FALSE(SetAtPath(R"({"a":1})", path, "9").ok());
  EXPECT_EQ(RemoveAtPath(R"({"a":{"b":{"c":1,"d":2}}})", path).value(), R"({"a":{"b":{"d":2}}})");
  EXPECT_EQ(RemoveAtPath(R"({"x":0})", path).value(), R"({"x":0})");
}

TEST(ObjectWriterTest, QuotesKeys) {
  ObjectWriter w;
  w.AddString("a\"", "b").AddInt("n", -1).AddBool("t", true).Add("r", "[]");
  EXPECT_EQ(std::move(w).Build(), R"({"a\"":"b","n":-1,"t":true,"r":[]})");
}

}  // namespace
}  // namespace metamcp::json
