#include "gateway/routing/uri_template.h"

#include <gtest/gtest.h>

namespace metamcp::gateway {
namespace {

struct Case {
  const char* uri_template;
  const char* uri;
  bool matches;
};

bool Matches(const std::string& uri_template, const std::string& uri) {
  int budget = 1'000'000;
  return UriTemplate(uri_template).Matches(uri, budget);
}

class UriTemplateTest : public ::testing::TestWithParam<Case> {};

TEST_P(UriTemplateTest, Matches) {
  EXPECT_EQ(Matches(GetParam().uri_template, GetParam().uri), GetParam().matches)
      << GetParam().uri_template << " " << GetParam().uri;
}

INSTANTIATE_TEST_SUITE_P(
    Table, UriTemplateTest,
    ::testing::Values(Case{"test://template/{id}/data", "test://template/123/data", true},
                      Case{"test://template/{id}/data", "test://template/1/2/data", false},
                      Case{"test://template/{id}/data", "test://template//data", false},
                      Case{"file:///{+path}", "file:///a/b/c.txt", true},
                      Case{"file:///{+path}", "file:///", false}, Case{"x://a{?q}", "x://a", true},
                      Case{"x://a{?q}", "x://a?q=1", true}, Case{"x://a{?q}", "x://ab", false},
                      Case{"x://{a}-{b}.txt", "x://1-2.txt", true},
                      Case{"x://literal", "x://literal", true},
                      Case{"x://literal", "x://literal/", false}, Case{"{}", "{}", true},
                      Case{"x://{a", "x://{a", true}));

TEST(UriTemplateTest, AHostileTemplateGivesUpInsteadOfHanging) {
  std::string text = "x://";
  for (int i = 0; i < 200; ++i) text += "{a}-";
  // The last character fits nowhere, which is known only after every way to share out the rest.
  EXPECT_FALSE(Matches(text, "x://" + std::string(5000, '-') + "x"));
}

TEST(UriTemplateTest, ManyTemplatesShareABudget) {
  int budget = 10;
  const UriTemplate cheap("x://literal");
  while (budget > 0) EXPECT_TRUE(cheap.Matches("x://literal", budget));
  EXPECT_FALSE(cheap.Matches("x://literal", budget));
}

TEST(UriSchemeTest, ReadsTheScheme) {
  EXPECT_EQ(UriScheme("HTTPS://x"), "https");
  EXPECT_EQ(UriScheme("no scheme"), "");
  EXPECT_EQ(UriScheme("a b:c"), "");
}

}  // namespace
}  // namespace metamcp::gateway
