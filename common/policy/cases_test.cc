#include "common/policy/cases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace metamcp::policy {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<const Policy> Rules() {
  return *Policy::Compile({{"deny no-push if tool = git.push and time not in 08:00..18:00\n"
                            "consent ask if destructive and upstream = git",
                            "p"}},
                          Effect::kAllow);
}

std::string ErrorOf(const std::string& text) {
  const auto read = ReadCases(text);
  return read.ok() ? "none" : std::string(read.status().message());
}

TEST(PolicyCasesTest, SaysWhatIsDecidedOtherwise) {
  const auto cases = ReadCases(
      R"({"cases":[{"name":"night","tool":"git.push","at":"2026-11-30T22:00:00Z","expect":"deny",)"
      R"("rule":"no-push"},{"tool":"git.push","at":"2026-11-30T12:00:00Z","expect":"allow"},)"
      R"({"tool":"git.log","readOnly":true,"expect":"allow"},)"
      R"({"tool":"git.push","at":"2026-11-30T12:00:00+02:00","expect":"consent","rule":"x"}]})");
  ASSERT_TRUE(cases.ok()) << cases.status();
  EXPECT_EQ(Check(*Rules(), (*cases)[0]), "");
  EXPECT_EQ(Check(*Rules(), (*cases)[1]), "expected allow, found consent by the rule ask");
  EXPECT_EQ((*cases)[1].name, "cases[1]");
  EXPECT_EQ(Check(*Rules(), (*cases)[2]), "");
  EXPECT_EQ(Check(*Rules(), (*cases)[3]), "expected the rule x to decide, found the rule ask");
}

TEST(PolicyCasesTest, NamesTheCaseAndTheMember) {
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("must be {\"cases\""));
  EXPECT_THAT(ErrorOf(R"({"cases":[]})"), HasSubstr("at least one case"));
  EXPECT_THAT(ErrorOf(R"({"cases":[{"tool":"a","expect":"no"}]})"),
              HasSubstr("cases[0].expect must be allow, deny or consent"));
  EXPECT_THAT(ErrorOf(R"({"cases":[{"expect":"deny"}]})"), HasSubstr("cases[0].tool is missing"));
  EXPECT_THAT(ErrorOf(R"({"cases":[{"tol":"a","expect":"deny"}]})"),
              HasSubstr("cases[0].tol is not known; did you mean tool?"));
  EXPECT_THAT(ErrorOf(R"({"cases":[{"tool":"a","prompt":"b","expect":"deny"}]})"),
              HasSubstr("cases[0].prompt cannot be there beside tool"));
  EXPECT_THAT(ErrorOf(R"({"cases":[{"tool":"a","roles":"x","expect":"deny"}]})"),
              HasSubstr("cases[0].roles must be an array of texts"));
  EXPECT_THAT(ErrorOf(R"({"cases":[{"tool":"a","at":"noon","expect":"deny"}]})"),
              HasSubstr("cases[0].at must be a time"));
}

}  // namespace
}  // namespace metamcp::policy
