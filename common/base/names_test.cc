#include "common/base/names.h"

#include <gtest/gtest.h>

#include <vector>

namespace metamcp {
namespace {

TEST(SlugTest, KeepsLettersAndDigitsAndFoldsTheRest) {
  EXPECT_EQ(Slug("My Server (v2)"), "my-server-v2");
  EXPECT_EQ(Slug("__"), "x");
  EXPECT_EQ(Slug(std::string(100, 'a')).size(), 63u);
}

TEST(ExposedNameTest, PrefixesAndMarksAlteredNames) {
  EXPECT_EQ(ExposedName("git", "__", "status"), "git__status");
  const std::string altered = ExposedName("git", "__", "a.b");
  EXPECT_EQ(altered.substr(0, 9), "git__a_b_");
  EXPECT_EQ(altered.size(), 17u);
  EXPECT_NE(ExposedName("git", "__", "a.b"), ExposedName("git", "__", "a/b"));
  EXPECT_LE(ExposedName("git", "__", std::string(200, 'x')).size(), 64u);
  EXPECT_EQ(ExposedName("", "__", "test.x"), "test.x");
}

TEST(GlobMatchTest, MatchesRunsAndSingleCharacters) {
  EXPECT_TRUE(GlobMatch("*", ""));
  EXPECT_TRUE(GlobMatch("git.*", "git.status"));
  EXPECT_FALSE(GlobMatch("git.*", "github.status"));
  EXPECT_TRUE(GlobMatch("?it*us", "git.status"));
  EXPECT_FALSE(GlobMatch("a*b*c", "ab"));
  EXPECT_TRUE(GlobMatch("*a*a*a*b", std::string(50, 'a') + "b"));
}

TEST(NearestTest, FindsTheTypoAndNothingFarAway) {
  const std::vector<std::string> words = {"command", "args", "url"};
  EXPECT_EQ(Nearest("comand", words), "command");
  EXPECT_EQ(Nearest("zzzzzz", words), "");
}

}  // namespace
}  // namespace metamcp
