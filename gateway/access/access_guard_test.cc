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

}  // namespace
}  // namespace metamcp::gateway
