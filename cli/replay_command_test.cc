// policy replay, and cases in YAML.
#include "cli/command_fixture.h"

namespace metamcp::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ReplayCommandTest : public CommandTest {
 protected:
  ReplayCommandTest() { Write(Path("p.policy"), "deny no-push if tool = git.push\n"); }
  std::string Change(const std::string& who, const std::string& before, const std::string& after,
                     int calls) {
    return StrCat(R"({"subject":")", who, R"(","item":"git.push","virtualServer":"default",)",
                  R"("before":")", before, R"(","after":")", after,
                  R"(","rule":"no-push","calls":")", calls, R"(","example":"rec-)", who, "\"}");
  }
};

TEST_F(ReplayCommandTest, CountsWhatWouldBeDecidedOtherwise) {
  rest_.When("POST /api/v1/policy:replay",
             StrCat(R"({"calls":"9","same":"3","changes":[)", Change("ada", "allow", "deny", 2),
                    ",", Change("eve", "allow", "deny", 3), "],\"skipped\":[{\"why\":\"refused ",
                    "before the policy (TOOL_NOT_FOUND)\",\"calls\":\"1\",\"example\":\"r9\"}]}"));
  EXPECT_EQ(Run({"policy", "replay", Path("p.policy"), "--since", "24h", "--default", "deny"}),
            kExitFailed)
      << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("3      eve  git.push  allow   deny   no-push  rec-eve"),
                          HasSubstr("9 calls: 3 as before, 5 otherwise, 0 undecided."),
                          HasSubstr("allow to deny: 5"),
                          HasSubstr("Not replayed: 1, refused before the policy")));
  EXPECT_THAT(rest_.Last().body,
              AllOf(HasSubstr("deny no-push"), HasSubstr(R"("otherwise":"deny")"),
                    HasSubstr(R"("sinceUs":"1)"), HasSubstr(R"("untilUs":"1)")));
  EXPECT_EQ(Run({"--output", "json", "policy", "replay", Path("p.policy")}), kExitFailed);
  EXPECT_THAT(out_, AllOf(HasSubstr(R"("byPrincipal": {)"), HasSubstr(R"("eve": 3)"),
                          HasSubstr(R"("no-push": 5)")));
}

TEST_F(ReplayCommandTest, UndecidedCallsFailOnlyWhereThatIsAskedFor) {
  rest_.When("POST /api/v1/policy:replay",
             StrCat(R"({"calls":"2","changes":[)", Change("ada", "allow", "undecided", 2), "]}"));
  EXPECT_EQ(Run({"policy", "replay", Path("p.policy")}), kExitDone) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("2 undecided"), HasSubstr("such as arguments")));
  EXPECT_EQ(Run({"policy", "replay", Path("p.policy"), "--strict"}), kExitFailed);
  rest_.When("POST /api/v1/policy:replay", R"({"calls":"4","same":"4"})");
  EXPECT_EQ(Run({"policy", "replay", Path("p.policy"), "--strict"}), kExitDone);
  EXPECT_THAT(out_, HasSubstr("Every call would be decided as it was."));
  EXPECT_EQ(Run({"policy", "replay", Path("none.policy")}), kExitUsage);
}

TEST_F(ReplayCommandTest, CasesMayBeYaml) {
  Write(
      Path("cases.yaml"),
      "# as in the review\ncases:\n  - name: nobody pushes\n    tool: git.push\n    expect: deny\n"
      "    rule: no-push\n  - { tool: git.log, readOnly: true, expect: allow,\n"
      "      at: 2026-11-30T22:00:00Z, arguments: { n: 3 } }\n");
  EXPECT_EQ(Run({"policy", "test", Path("cases.yaml"), "--file", Path("p.policy")}), kExitDone)
      << out_ << err_;
  EXPECT_THAT(out_, HasSubstr("2 of 2 cases"));
  Write(Path("bad.yaml"), "cases:\n  - tool: git.push\n    expcet: deny\n");
  EXPECT_EQ(Run({"policy", "test", Path("bad.yaml"), "--file", Path("p.policy")}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("did you mean expect?"));
  Write(Path("worse.yaml"), "cases: &a\n  - *a\n");
  EXPECT_EQ(Run({"policy", "test", Path("worse.yaml"), "--file", Path("p.policy")}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("line 1"));
}

}  // namespace
}  // namespace metamcp::cli
