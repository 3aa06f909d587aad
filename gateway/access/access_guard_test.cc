#include "gateway/access/access_guard.h"

#include "gateway/access/access_fixture.h"
#include "gateway/access/policy_service.h"

namespace metamcp::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class AccessGuardTest : public AccessTest {};

TEST_F(AccessGuardTest, WithoutRulesWhatIsSharedIsUsed) {
  EXPECT_THAT(Listed(), ElementsAre("git__push", "git__log"));
  EXPECT_TRUE(CallTool("git__push").ok());
  who_.teams = {"core"};
  EXPECT_THAT(Listed(), ElementsAre("git__push", "git__log", "vault__read"));
  EXPECT_EQ(guard_.Seen(view(), who_), view());
}

TEST_F(AccessGuardTest, WhatBelongsToAnotherTeamIsNotThere) {
  RecordProperty("req", "M-NFR-004.3");
  const auto foreign = CallTool("vault__read");
  EXPECT_EQ(ReasonOf(foreign.status()), "TOOL_NOT_FOUND");
  // In the words of a tool that does not exist.
  EXPECT_EQ(std::string(foreign.status().message()), "no tool \"vault__read\" on \"default\"");
  EXPECT_FALSE(guard_.MayUse(*view("ops"), who_));
  auto spec = Spec("tools/call", R"({"name":"git__log"})");
  spec.view = view("ops");
  EXPECT_EQ(ReasonOf(Run(spec).status()), "NOT_FOUND");
  EXPECT_EQ(directory_.provider.calls, 0);
  who_.roles = {"operator"};
  EXPECT_TRUE(CallTool("vault__read").ok());
  EXPECT_TRUE(guard_.MayUse(*view("ops"), who_));
  who_.roles = {};
  who_.subject = "root";  // its owner, but it is not private
  EXPECT_TRUE(CallTool("vault__read").ok());
}

TEST_F(AccessGuardTest, ADeniedCallNamesItsRuleAndNeverRuns) {
  guard_.SetPolicy(PolicyOf("deny no-push if tool = git.push because \"Ask the release team.\""));
  for (const char* name : {"git__push", "git.push"}) {
    const auto denied = CallTool(name);
    EXPECT_EQ(ReasonOf(denied.status()), "PERMISSION_DENIED");
    EXPECT_EQ(GetErrorInfo(denied.status())->domain, "policy");
    EXPECT_EQ(MetadataOf(denied.status(), "rule"), "no-push");
    EXPECT_THAT(std::string(denied.status().message()),
                HasSubstr("the rule \"no-push\" denies tool git.push: Ask the release team."));
  }
  EXPECT_EQ(directory_.provider.calls, 0);
  EXPECT_THAT(Listed(), ElementsAre("git__log"));
  EXPECT_TRUE(CallTool("git__log").ok());
}

TEST_F(AccessGuardTest, RulesOnArgumentsDenyAtTheCallAndHideNothing) {
  guard_.SetPolicy(PolicyOf("deny no-force if tool = git.push and args.force = true"));
  EXPECT_THAT(Listed(), ElementsAre("git__push", "git__log"));
  EXPECT_TRUE(CallTool("git__push", R"({"force":false})").ok());
  EXPECT_EQ(ReasonOf(CallTool("git__push", R"({"force":true})").status()), "PERMISSION_DENIED");
  EXPECT_EQ(ReasonOf(CallTool("git__push", R"({"force":false,"force":true})").status()),
            "INVALID_PARAMS");
  EXPECT_EQ(directory_.provider.calls, 1);
}

TEST_F(AccessGuardTest, ARuleSaysWhatTheServerIsSentNotWhatAnOverrideCallsIt) {
  auto& rule = (*state_.mutable_views(0)->mutable_items(0)->mutable_arguments())["force"];
  rule.set_rename("hard");
  mirror_.Apply(state_);
  guard_.SetPolicy(PolicyOf("deny no-force if args.force = true"));
  EXPECT_EQ(ReasonOf(CallTool("git__push", R"({"hard":true})").status()), "PERMISSION_DENIED");
  EXPECT_TRUE(CallTool("git__push", R"({"hard":false})").ok());
}

TEST_F(AccessGuardTest, DenyByDefaultShowsOnlyWhatARuleAllows) {
  guard_.SetPolicy(PolicyOf("allow reads if read-only", policy::Effect::kDeny));
  EXPECT_THAT(Listed(), ElementsAre("git__log"));
  EXPECT_THAT(Listed(catalog::v1::ITEM_KIND_RESOURCE), IsEmpty());
  const auto denied = CallTool("git__push");
  EXPECT_EQ(MetadataOf(denied.status(), "rule"), "policy.default");
  const auto passed = CallTool("git__log");
  ASSERT_TRUE(passed.ok());
  EXPECT_EQ(passed->rule, "policy:reads");
}

TEST_F(AccessGuardTest, PromptsResourcesTemplatesCompletionAndTasksAreAskedToo) {
  guard_.SetPolicy(PolicyOf("deny secret if resource ~ *secret*\ndeny tasks if kind = task"));
  EXPECT_TRUE(Run(Spec("resources/read", R"({"uri":"file:///a"})")).ok());
  EXPECT_TRUE(Run(Spec("resources/read", R"({"uri":"file:///plain"})")).ok());
  EXPECT_EQ(ReasonOf(Run(Spec("resources/read", R"({"uri":"file:///secret"})")).status()),
            "PERMISSION_DENIED");
  EXPECT_EQ(ReasonOf(guard_.MayWatch(view(), who_, "file:///secret")), "PERMISSION_DENIED");
  EXPECT_EQ(ReasonOf(guard_.MayWatch(view(), who_, "file:///a")), "OK");
  guard_.SetPolicy(PolicyOf("deny all if upstream = git"));
  EXPECT_EQ(ReasonOf(Run(Spec("completion/complete",
                              R"({"ref":{"type":"ref/resource","uri":"file:///{p}"},)"
                              R"("argument":{"name":"p","value":""}})"))
                         .status()),
            "PERMISSION_DENIED");
  EXPECT_THAT(Listed(catalog::v1::ITEM_KIND_TEMPLATE), IsEmpty());
}

TEST_F(AccessGuardTest, ListsAreSharedByWhomNoRuleTellsApart) {
  guard_.SetPolicy(PolicyOf("deny no-push if tool = git.push and role = developer"));
  Principal eve = who_;
  eve.subject = "eve";
  EXPECT_EQ(guard_.Seen(view(), who_), guard_.Seen(view(), eve));
  eve.roles = {"admin"};
  EXPECT_EQ(guard_.Seen(view(), eve), view());
  EXPECT_NE(guard_.Seen(view(), who_), view());
  // A new snapshot is looked at anew.
  state_.mutable_views(0)->mutable_items()->DeleteSubrange(1, 1);
  mirror_.Apply(state_);
  EXPECT_THAT(Listed(), IsEmpty());
}

TEST_F(AccessGuardTest, TheRolesThatMayNotUseMcpSeeAndCallNothing) {
  who_.roles = {"auditor"};
  EXPECT_THAT(Listed(), IsEmpty());
  EXPECT_EQ(ReasonOf(CallTool("git__log").status()), "PERMISSION_DENIED");
}

TEST_F(AccessGuardTest, RulesOnTimeAndClientFollowTheCall) {
  guard_.SetPolicy(PolicyOf("deny never if time in 00:00..24:00 and client = tester"));
  EXPECT_EQ(ReasonOf(CallTool("git__log").status()), "PERMISSION_DENIED");
  auto spec = Spec("tools/call", R"({"name":"git__log"})");
  spec.client_info = R"({"name":"other"})";
  EXPECT_TRUE(Run(spec).ok());
  EXPECT_THAT(Listed(), ElementsAre("git__push", "git__log"));
}

TEST_F(AccessGuardTest, ExplainsWhatItWouldDo) {
  guard_.SetPolicy(
      PolicyOf("deny no-push if tool = git.push and role = developer\n"
               "allow any"));
  PolicyServiceImpl service(guard_, mirror_);
  access::v1::ExplainPolicyRequest request;
  request.set_subject("x");
  request.add_roles("developer");
  request.set_item("git.push");
  const CallContext ctx;
  const auto ask = [&] {
    absl::StatusOr<access::v1::ExplainPolicyResponse> out = absl::UnknownError("not run");
    boost::asio::co_spawn(io_, service.ExplainPolicy(ctx, request),
                          [&](std::exception_ptr, auto done) { out = std::move(done); });
    io_.restart();
    io_.run();
    return out;
  };
  auto said = ask();
  ASSERT_TRUE(said.ok()) << said.status();
  EXPECT_EQ(said->effect(), "deny");
  EXPECT_EQ(said->rule(), "no-push");
  EXPECT_TRUE(said->hidden());
  ASSERT_EQ(said->rules_size(), 2);
  EXPECT_TRUE(said->rules(1).matched());
  request.set_roles(0, "viewer");
  said = ask();
  EXPECT_EQ(said->rule(), "any");
  EXPECT_FALSE(said->rules(0).matched());
  request.set_item("vault.read");
  EXPECT_EQ(ask()->barred(), "the server is not shared with this principal");
  EXPECT_EQ(ask()->effect(), "deny");
  request.set_item("nothing");
  EXPECT_EQ(ReasonOf(ask().status()), "NOT_FOUND");
}

class ManyToolsTest : public AccessTest {
 protected:
  ManyToolsTest() {
    for (int i = 0; i < 3000; ++i) AddTool("git", StrCat("t", i), R"({"name":"x"})");
    mirror_.Apply(state_);
    guard_.SetPolicy(PolicyOf("deny odd if tool ~ git.t*1"));
  }
  void Prepare(const std::shared_ptr<const Principal>& who) {
    boost::asio::co_spawn(io_, guard_.Prepare(view(), who), [this](std::exception_ptr error) {
      EXPECT_EQ(error, nullptr);
      ++done_;
    });
  }
  std::shared_ptr<const Principal> Who(const std::string& team) {
    auto out = std::make_shared<Principal>(who_);
    out->teams = {team};
    return out;
  }
  int done_ = 0;
};

TEST_F(ManyToolsTest, OthersHaveTurnsWhileAListIsFoundOut) {
  const auto who = Who("a");
  Prepare(who);
  int turns = 0;
  while (done_ == 0) turns += static_cast<int>(io_.run_one());
  // 3,000 tools in pieces of 200.
  EXPECT_GE(turns, 15);
  const auto seen = guard_.Seen(view(), *who);
  EXPECT_EQ(seen->Entries(catalog::v1::ITEM_KIND_TOOL).size(), 3000u + 2u - 300u);
  // It is known: nothing is to be done.
  io_.restart();
  Prepare(who);
  EXPECT_LE(io_.run(), 2u);
}

TEST_F(ManyToolsTest, OneWorksForAllWhomNoRuleTellsApart) {
  for (int i = 0; i < 20; ++i) Prepare(Who("a"));
  const size_t turns = io_.run();
  EXPECT_EQ(done_, 20);
  EXPECT_LT(turns, 150u);
}

TEST_F(ManyToolsTest, RulesAndViewsThatChangeMeanwhileWin) {
  const auto who = Who("a");
  Prepare(who);
  Prepare(who);
  for (int i = 0; i < 6; ++i) io_.run_one();
  guard_.SetPolicy(PolicyOf("deny all if tool ~ git.*"));
  io_.run();
  EXPECT_EQ(done_, 2);
  EXPECT_EQ(guard_.Seen(view(), *who)->Entries(catalog::v1::ITEM_KIND_TOOL).size(), 0u);
  io_.restart();
  Prepare(Who("b"));
  for (int i = 0; i < 3; ++i) io_.run_one();
  AddTool("git", "more", R"({"name":"x"})");
  mirror_.Apply(state_);
  (void)guard_.Seen(view(), *who);
  io_.run();
  EXPECT_EQ(done_, 3);
}

// A workflow that is shared with a team is not there for others, whatever its server is.
TEST_F(AccessTest, AnItemOfOurOwnServicesHasAnOwnerOfItsOwn) {
  AddUpstream("flows", "", "public");
  state_.mutable_upstreams(2)->mutable_spec()->set_service("workflow");
  for (auto& one : *state_.mutable_views()) one.add_upstream_ids("flows");
  const std::string shared =
      R"(,"_meta":{"meta-mcp/sharing":{"owner":"root","team":"core","visibility":"team"}}})";
  AddTool("flows", "ours", R"({"name":"x")" + shared);
  AddTool("flows", "all", R"({"name":"x"})");
  // What a server says of itself shares nothing.
  AddTool("git", "liar", R"({"name":"x")" + shared);
  mirror_.Apply(state_);
  const auto has = [&](const std::string& name) {
    const auto listed = Listed();
    return std::find(listed.begin(), listed.end(), name) != listed.end();
  };
  EXPECT_FALSE(has("flows__ours"));
  EXPECT_TRUE(has("flows__all"));
  EXPECT_TRUE(has("git__liar"));
  EXPECT_EQ(ReasonOf(CallTool("flows__ours").status()), "TOOL_NOT_FOUND");
  who_.teams = {"core"};
  EXPECT_TRUE(has("flows__ours"));
  EXPECT_TRUE(CallTool("flows__ours").ok());
  who_.teams.clear();
  who_.roles = {"operator"};
  EXPECT_TRUE(has("flows__ours"));
}

}  // namespace
}  // namespace metamcp::gateway
