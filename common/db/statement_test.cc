#include "common/db/statement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace metamcp::db {
namespace {

using testing::ElementsAre;

TEST(ParseStatementTest, NumbersEachNameOnce) {
  const auto parsed = ParseStatement("SELECT :a, :b_2 FROM t WHERE x = :a;", '$');
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->sql, "SELECT $1, $2 FROM t WHERE x = $1");
  EXPECT_THAT(parsed->names, ElementsAre("a", "b_2"));
}

TEST(ParseStatementTest, LeavesLiteralsIdentifiersAndCastsAlone) {
  const auto parsed = ParseStatement("SELECT ':a''?', \":b\", c::text, a[1:2] WHERE d=:d", '?');
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->sql, "SELECT ':a''?', \":b\", c::text, a[1:2] WHERE d=?1");
  EXPECT_THAT(parsed->names, ElementsAre("d"));
}

TEST(ParseStatementTest, DropsComments) {
  const auto parsed = ParseStatement("SELECT 1 -- :a ;\n + :b /* '; :c */", '$');
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->sql, "SELECT 1   + $1  ");
  EXPECT_THAT(parsed->names, ElementsAre("b"));
}

TEST(ParseStatementTest, RefusesWhatItCannotJudge) {
  for (const char* bad : {"SELECT 1; SELECT 2", "SELECT ?", "SELECT $1", "SELECT @x", "SELECT 'a",
                          "SELECT \"a", "SELECT /* a", "SELECT $$a$$"}) {
    EXPECT_FALSE(ParseStatement(bad, '$').ok()) << bad;
  }
}

TEST(IsStorableTextTest, FollowsRfc3629) {
  for (const char* good :
       {"", "a", "\xC3\xA9", "\xE2\x82\xAC", "\xF4\x8F\xBF\xBF", "\xED\x9F\xBF"}) {
    EXPECT_TRUE(IsStorableText(good)) << good;
  }
  for (const char* bad : {"\x80", "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xE2\x82",
                          "\xF4\x90\x80\x80", "\xF0\x80\x80\x80", "\xFF"}) {
    EXPECT_FALSE(IsStorableText(bad)) << testing::PrintToString(std::string(bad));
  }
  EXPECT_FALSE(IsStorableText(std::string_view("\0", 1)));
}

}  // namespace
}  // namespace metamcp::db
