// Other rules over what the audit has.
#include "gateway/access/replay.h"

#include "common/json/splice.h"
#include "gateway/access/access_fixture.h"

namespace metamcp::gateway {
namespace {

using access::v1::ReplayPolicyResponse;

struct Made {
  std::string subject = "ada", roles = R"(["developer"])", teams = "[]", client = "tester 1";
  std::string action = "tools/call", item = "git__push", target, payload;
  std::string effect = "allow", rule = "virtual-server:default", reason;
  int64_t bytes = 0;
  int64_t time_us = 1'000'000;
  bool erased = false;
};

class ReplayTest : public AccessTest {
 protected:
  static audit::v1::Record RecordOf(const Made& m, int64_t seq) {
    json::ObjectWriter policy;
    policy.AddString("effect", m.effect);
    policy.AddString("rule", m.rule);
    json::ObjectWriter record;
    record.AddString("action", m.action);
    record.AddString("id", StrCat("rec-", seq));
    if (!m.item.empty()) record.AddString("item", m.item);
    record.AddString("kind", "user");
    record.Add("policy", std::move(policy).Build());
    record.AddString("reason", m.reason);
    record.AddInt("requestBytes", m.bytes);
    record.Add("roles", m.roles);
    record.AddString("subject", "pseudonym");
    record.AddInt("timeUs", m.time_us);
    record.AddString("virtualServer", "default");
    json::ObjectWriter personal;
    personal.AddString("client", m.client);
    personal.AddString("name", m.subject);
    personal.AddString("payload", m.payload);
    personal.AddString("target", m.target);
    personal.Add("teams", m.teams);
    audit::v1::Record out;
    out.set_seq(seq);
    out.set_record(std::move(record).Build());
    if (!m.erased) out.set_personal(std::move(personal).Build());
    out.set_erased(m.erased);
    return out;
  }
  ReplayPolicyResponse Run(const std::string& rules, const std::vector<Made>& calls,
                           const std::string& now = "",
                           policy::Effect otherwise = policy::Effect::kAllow) {
    const auto in_force = PolicyOf(now);
    const auto proposed = PolicyOf(rules, otherwise);
    const auto snapshot = mirror_.snapshot();
    Replay replay(*in_force, *proposed, *snapshot);
    int64_t seq = static_cast<int64_t>(calls.size());
    for (const Made& one : calls) replay.Add(RecordOf(one, seq--));
    return replay.Take();
  }
  static std::string Text(const ReplayPolicyResponse& response) {
    std::string out = StrCat(response.calls(), " calls, ", response.same(), " same");
    for (const auto& one : response.changes()) {
      out += StrCat("; ", one.calls(), " ", one.subject(), " ", one.item(), " ", one.before(), ">",
                    one.after(), " ", one.rule(), " ", one.example());
    }
    for (const auto& one : response.skipped()) out += StrCat("; ", one.calls(), " ", one.why());
    return out;
  }
};

TEST_F(ReplayTest, GroupsByPrincipalItemAndRuleWithTheNewestAsExample) {
  Made eve;
  eve.subject = "eve";
  Made log;
  log.item = "git__log";
  Made list;
  list.action = "tools/list";
  EXPECT_EQ(Text(Run("deny no-push if tool = git.push", {{}, eve, {}, log, list})),
            "4 calls, 1 same; 2 ada git.push allow>deny no-push rec-5; "
            "1 eve git.push allow>deny no-push rec-4");
}

TEST_F(ReplayTest, KnowsWhatWasDecidedBefore) {
  Made denied;
  denied.effect = "deny";
  denied.rule = "policy:old";
  denied.reason = "PERMISSION_DENIED";
  Made asked;
  asked.effect = "deny";
  asked.rule = "policy:ask approval:7";
  asked.reason = "CONSENT_REQUIRED";
  Made granted;
  granted.rule = "policy:ask";
  Made hidden;
  hidden.effect = "deny";
  hidden.rule = "gateway:TOOL_NOT_FOUND";
  hidden.reason = "TOOL_NOT_FOUND";
  const auto out = Run("", {denied, asked, granted, hidden}, "consent ask if destructive");
  EXPECT_EQ(Text(out),
            "4 calls, 0 same; 2 ada git.push consent>allow  rec-3; 1 ada git.push deny>allow  "
            "rec-4; 1 refused before the policy (TOOL_NOT_FOUND)");
}

TEST_F(ReplayTest, DoesNotGuessArgumentsButUsesThoseThatWereKept) {
  Made unknown;
  unknown.bytes = 20;
  Made cut = unknown;
  cut.payload = R"({"branch":)";
  Made kept;
  kept.payload = R"({"branch":"main"})";
  kept.bytes = static_cast<int64_t>(kept.payload.size());
  const std::string rules = "deny no-main if tool = git.push and args.branch = main";
  EXPECT_EQ(Text(Run(rules, {unknown, cut, kept, {}})),
            "4 calls, 1 same; 1 ada git.push allow>deny no-main rec-2; "
            "2 ada git.push allow>undecided no-main rec-4");
  // What holds whatever the arguments are is decided.
  EXPECT_EQ(Text(Run(rules + "\ndeny no-push if tool = git.push", {unknown})),
            "1 calls, 0 same; 1 ada git.push allow>deny no-push rec-1");
  EXPECT_EQ(Text(Run("allow main if args.branch = main", {unknown})), "1 calls, 1 same");
  EXPECT_EQ(Text(Run("allow main if args.branch = main", {unknown}, "", policy::Effect::kDeny)),
            "1 calls, 0 same; 1 ada git.push allow>undecided main rec-1");
}

TEST_F(ReplayTest, WhatIsErasedOrNotRecordedIsUndecided) {
  Made erased;
  erased.erased = true;
  EXPECT_EQ(Text(Run("deny ada if subject = ada", {erased, {}})),
            "2 calls, 0 same; 1 ada git.push allow>deny ada rec-1; "
            "1 pseudonym git.push allow>undecided ada rec-2");
  EXPECT_EQ(Text(Run("deny team if team = core", {erased})),
            "1 calls, 0 same; 1 pseudonym git.push allow>undecided team rec-1");
  EXPECT_EQ(Text(Run("deny scope if scope != mcp:use", {{}})),
            "1 calls, 0 same; 1 ada git.push allow>undecided scope rec-1");
  Made nameless;
  nameless.client = "okta-app";
  const std::string by_client = "deny bots if client = tester";
  EXPECT_EQ(Text(Run(by_client, {nameless, {}})),
            "2 calls, 0 same; 1 ada git.push allow>deny bots rec-1; "
            "1 ada git.push allow>undecided bots rec-2");
}

TEST_F(ReplayTest, TimeRolesTeamsAndResourcesAreThoseOfTheCall) {
  Made night;
  night.time_us = int64_t{22} * 3600 * 1'000'000;
  EXPECT_EQ(Text(Run("deny night if time in 20:00..06:00", {night})),
            "1 calls, 0 same; 1 ada git.push allow>deny night rec-1");
  Made core;
  core.teams = R"(["core"])";
  core.roles = R"(["viewer"])";
  EXPECT_EQ(Text(Run("deny core if team = core and role = viewer", {core, {}})),
            "2 calls, 1 same; 1 ada git.push allow>deny core rec-2");
  Made read;
  read.action = "resources/read";
  read.item = "";
  read.target = "file:///a";
  Made gone = read;
  gone.target = "nothing:///b";
  Made unnamed = read;
  unnamed.erased = true;
  EXPECT_EQ(Text(Run("deny files if resource ~ file:*", {read, unnamed})),
            "2 calls, 0 same; 1 ada file:///a allow>deny files rec-2; "
            "1 what was called is erased or was not recorded");
  Made old;
  old.item = "git__removed";
  EXPECT_EQ(Text(Run("", {old})), "1 calls, 0 same; 1 the item is not there any more");
}

TEST_F(ReplayTest, ARecordThatMakesNoSenseIsNotReplayed) {
  audit::v1::Record broken;
  broken.set_record("{");
  const auto policy = PolicyOf("");
  const auto snapshot = mirror_.snapshot();
  Replay replay(*policy, *policy, *snapshot);
  replay.Add(broken);
  EXPECT_EQ(Text(replay.Take()), "1 calls, 0 same; 1 the record cannot be read");
}

}  // namespace
}  // namespace metamcp::gateway
