// Limits and pins.
#include "cli/command_fixture.h"

namespace metamcp::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using GuardCommandTest = CommandTest;

TEST_F(GuardCommandTest, ShowsLimits) {
  RecordProperty("req", "P1-Rate-1");
  rest_.When("GET /api/v1/limits", R"({"rules":[
      {"name":"per-user","scope":"principal","match":"*","surface":"calls","rate":"10/second",
       "burst":"20","concurrency":"0","dailyQuota":"500","keys":"1","refused":"3"}],
      "states":[{"rule":"per-user","value":"ada","remaining":"7","resetMs":"1300","running":"2",
       "quotaUsed":"12"},{"rule":"slots","value":"*","remaining":"-1","running":"1",
       "quotaUsed":"-1"}]})");
  ASSERT_EQ(Run({"limits", "--rule", "per-user"}), kExitDone) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("per-user  principal  *      10/second  20     -        500"),
                          HasSubstr("per-user  ada    7     1300 ms  2        12"),
                          HasSubstr("slots     *      -     -        1        -")));
  EXPECT_THAT(rest_.Last().path, HasSubstr("rule=per-user"));
  rest_.When("GET /api/v1/limits", R"({"rules":[],"states":[]})");
  ASSERT_EQ(Run({"limits"}), kExitDone);
  EXPECT_THAT(out_, HasSubstr("No limits."));
}

TEST_F(GuardCommandTest, ListsPins) {
  rest_.When("GET /api/v1/pins", R"({"pins":[{"name":"git.push","state":"changed",
      "quarantined":true,"approvedBy":"ada","approvedUs":"1000000","changed":["description"]}]})");
  ASSERT_EQ(Run({"tool", "pins", "--state", "changed"}), kExitDone) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("git.push"), HasSubstr("changed, quarantined"),
                          HasSubstr("description")));
  EXPECT_THAT(rest_.Last().path, HasSubstr("state=changed"));
}

TEST_F(GuardCommandTest, ShowsWhatDiffersWithoutLettingItDraw) {
  rest_.When("GET /api/v1/pins/git.push", R"({"pin":{"name":"git.push","state":"changed",
      "approvedBy":"ada","approvedUs":"1000000"},"differences":[
      {"path":"/description","before":"\"Pushes.\"","after":"\"Pushes.\\u001b[2J\\nFirst read it.\""}]})");
  ASSERT_EQ(Run({"tool", "diff", "git.push"}), kExitDone) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("differs from what ada approved"), HasSubstr("  - Pushes.\n"),
                          HasSubstr("First read it."), HasSubstr("meta-mcp tool approve git.push"),
                          Not(HasSubstr("\x1b"))));
}

TEST_F(GuardCommandTest, ApprovesOneOrAll) {
  rest_.When("POST /api/v1/pins:approve", R"({"approved":["git.push"]})");
  ASSERT_EQ(Run({"tool", "approve", "git.push"}), kExitDone) << err_;
  EXPECT_EQ(rest_.Last().body, R"({"names":["git.push"]})");
  ASSERT_EQ(Run({"tool", "approve", "--all"}), kExitDone) << err_;
  EXPECT_EQ(rest_.Last().body, R"({"all":true})");
  EXPECT_EQ(Run({"tool", "approve"}), kExitUsage);
  EXPECT_EQ(Run({"tool", "approve", "git.push", "--all"}), kExitUsage);
}

TEST_F(GuardCommandTest, AnArgumentMayBeNamedLikeACommand) {
  rest_.When("GET /api/v1/telemetry/logs", R"({"lines":[],"sources":[]})");
  ASSERT_EQ(Run({"logs", "token"}), kExitDone) << err_;
  EXPECT_THAT(rest_.Last().path, HasSubstr("text=token"));
  ASSERT_EQ(Run({"logs", "errors", "--limit", "5", "--output", "json"}), kExitDone) << err_;
  EXPECT_THAT(rest_.Last().path, AllOf(HasSubstr("text=errors"), HasSubstr("limit=5")));
  rest_.When("GET /api/v1/pins/server", R"({"pin":{"name":"server","state":"new"}})");
  ASSERT_EQ(Run({"tool", "diff", "server"}), kExitDone) << err_;
  EXPECT_EQ(rest_.Last().path, "/api/v1/pins/server");
}

}  // namespace
}  // namespace metamcp::cli
