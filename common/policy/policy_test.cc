#include "common/policy/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "common/base/strings.h"

namespace metamcp::policy {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::shared_ptr<const Policy> Make(std::string text, Effect otherwise = Effect::kAllow) {
  auto made = Policy::Compile({{std::move(text), "p"}}, otherwise);
  EXPECT_TRUE(made.ok()) << made.status();
  return made.ok() ? *made : nullptr;
}

std::string ErrorOf(std::string text) {
  const auto made = Policy::Compile({{std::move(text), "p"}}, Effect::kAllow);
  return made.ok() ? "none" : std::string(made.status().message());
}

class PolicyTest : public ::testing::Test {
 protected:
  PolicyTest() {
    who_.subject = "ada";
    who_.roles = {"developer"};
    who_.teams = {"core", "ops"};
    who_.scopes = {"tools:read"};
    item_.kind = "tool";
    item_.names = {"git__push", "git.push"};
    item_.upstreams = {"git"};
    item_.virtual_server = "default";
    moment_.now_us = absl::ToUnixMicros(
        absl::FromCivil(absl::CivilMinute(2026, 11, 30, 12, 0), absl::UTCTimeZone()));  // a Monday
  }
  // "effect" or "effect name".
  std::string Decide(std::string text, Effect otherwise = Effect::kAllow) {
    const auto policy = Make(std::move(text), otherwise);
    if (policy == nullptr) return "none";
    const Decision decision = policy->Decide(who_, item_, moment_);
    std::string out(EffectName(decision.effect));
    if (decision.rule != nullptr) out += StrCat(" ", decision.rule->name);
    if (decision.ambiguous) out += " ambiguous";
    return out;
  }
  // Whether a condition holds.
  bool Holds(const std::string& condition) {
    const std::string made = Decide(StrCat("deny x if ", condition));
    EXPECT_NE(made, "none") << condition;
    return made == "deny x";
  }
  bool Hidden(std::string text, Effect otherwise = Effect::kAllow) {
    return Make(std::move(text), otherwise)->Prepare(who_, item_).hidden;
  }

  Principal who_;
  Item item_;
  Moment moment_;
};

TEST_F(PolicyTest, DenyWinsThenConsentThenAllowWhateverTheOrder) {
  RecordProperty("req", "M-NFR-004.3");
  EXPECT_EQ(Decide("allow a deny d consent c"), "deny d");
  EXPECT_EQ(Decide("allow a consent c"), "consent c");
  EXPECT_EQ(Decide("allow a", Effect::kDeny), "allow a");
  EXPECT_EQ(Decide("deny d if tool = other", Effect::kDeny), "deny");
  EXPECT_EQ(Decide(""), "allow");
  EXPECT_EQ(Decide("deny second if upstream = git deny first if tool = git.push"), "deny second");
}

TEST_F(PolicyTest, ComparesWhoAndWhat) {
  for (const char* yes : {"subject = ada",
                          "role = developer",
                          "team = ops",
                          "team in (sales, core)",
                          "scope ~ tools:*",
                          "principal = user",
                          "virtual-server = default",
                          "upstream = git",
                          "tool = git__push",
                          "tool = git.push",
                          "item ~ git.*",
                          "tool ~ *push",
                          "kind = tool",
                          "destructive",
                          "not read-only",
                          "open-world and not idempotent",
                          "role != admin",
                          "tool !~ *pull",
                          "not (role = admin or subject = eve)",
                          "team not in (sales, law)"}) {
    EXPECT_TRUE(Holds(yes)) << yes;
  }
  for (const char* no : {"subject = eve", "role = admin", "resource = git.push", "prompt ~ *",
                         "read-only", "tool = push", "team != ops", "upstream in (a, b)"}) {
    EXPECT_FALSE(Holds(no)) << no;
  }
}

TEST_F(PolicyTest, ComparesArguments) {
  moment_.arguments =
      R"({"path":"/srv/data/../../etc/passwd","n":150,"s":"200","force":true,"list":["a","/tmp/x"],)"
      R"("deep":{"k":[{"v":"z"}]},"big":1e2,"none":null})";
  for (const char* yes : {"args.n > 100",
                          "args.s > 100",
                          "args.n = 150",
                          "args.force = true",
                          "args.list[1] ~ /tmp/*",
                          "args.list[*] = a",
                          "args.deep.k[0].v = z",
                          "size(args.list) = 2",
                          "args.big = 100",
                          "size(args.path) > 5",
                          "bytes(args) < 1000",
                          "has args.none",
                          "args.none = null",
                          "args.path ~ \"/srv/data/*\"",
                          "args.path within /etc",
                          "args.path not within /srv/data",
                          "args.absent != x",
                          "not has args.absent",
                          "args.list[*] within /tmp",
                          "args.n >= 150"}) {
    EXPECT_TRUE(Holds(yes)) << yes;
  }
  for (const char* no : {"args.absent = x", "has args.absent", "args.n < 100", "args.list[2] = a",
                         "args.path within /srv/data", "args.path within /et", "args.n.x = 1",
                         "args.list = a", "args.deep[0] = 1"}) {
    EXPECT_FALSE(Holds(no)) << no;
  }
}

TEST_F(PolicyTest, ArgumentsThatTwoParsersReadDifferentlyAreRefused) {
  moment_.arguments = R"({"path":"/ok","path":"/etc/passwd"})";
  EXPECT_EQ(Decide("deny x if args.path ~ /etc/*"), "deny ambiguous");
  EXPECT_EQ(Decide("deny x if tool = git.push"), "deny x");
  moment_.arguments = R"({"o":{"a":1,"\u0061":2}})";
  EXPECT_EQ(Decide("deny x if args.o.a = 3"), "deny ambiguous");
  EXPECT_EQ(Decide("deny x if args.p.a = 3"), "allow");
}

TEST_F(PolicyTest, ComparesTimeAndClient) {
  moment_.client = "claude-code";
  for (const char* yes : {"time in 08:00..18:00", "time in 13:00..14:00 Europe/Berlin", "day = mon",
                          "day in mon..fri", "day in fri..mon", "time in 22:00..12:01",
                          "client ~ claude*", "day in (sun, mon)"}) {
    EXPECT_TRUE(Holds(yes)) << yes;
  }
  for (const char* no : {"time in 13:00..14:00", "day in tue..sun", "time in 22:00..12:00",
                         "client = cursor", "time not in 00:00..24:00"}) {
    EXPECT_FALSE(Holds(no)) << no;
  }
}

TEST_F(PolicyTest, ListsHideOnlyWhatNoCallCanReach) {
  EXPECT_TRUE(Hidden("deny x if tool = git.push"));
  EXPECT_TRUE(Hidden("deny x if role = developer and (tool = git.push or args.n = 1)"));
  EXPECT_FALSE(Hidden("deny x if tool = git.push and args.n = 1"));
  EXPECT_FALSE(Hidden("deny x if time in 00:00..24:00"));
  EXPECT_FALSE(Hidden("deny x if client ~ *"));
  EXPECT_TRUE(Hidden("", Effect::kDeny));
  EXPECT_FALSE(Hidden("allow x if args.n = 1", Effect::kDeny));
  EXPECT_TRUE(Hidden("allow x if args.n = 1 and role = admin", Effect::kDeny));
  EXPECT_FALSE(Hidden("consent x if tool = git.push", Effect::kDeny));
}

TEST_F(PolicyTest, FingerprintsTellPrincipalsApartAsFarAsRulesDo) {
  const auto roles = Make("deny x if role = developer");
  const auto subjects = Make("deny x if subject = ada");
  Principal eve = who_;
  eve.subject = "eve";
  EXPECT_EQ(roles->Fingerprint(who_), roles->Fingerprint(eve));
  EXPECT_NE(subjects->Fingerprint(who_), subjects->Fingerprint(eve));
  eve.roles = {"developer", "ops"};
  EXPECT_NE(roles->Fingerprint(who_), roles->Fingerprint(eve));
  // Texts that only look alike when they are joined.
  Principal joined = who_, split = who_;
  joined.roles = {"a1:b"};
  split.roles = {"a", "b"};
  EXPECT_NE(roles->Fingerprint(joined), roles->Fingerprint(split));
}

TEST_F(PolicyTest, HintsHaveTheDefaultsOfTheProtocol) {
  EXPECT_TRUE(HintsOf("{}").destructive);
  EXPECT_FALSE(HintsOf("not json").idempotent);
  const Hints reads = HintsOf(R"({"annotations":{"readOnlyHint":true,"destructiveHint":true}})");
  EXPECT_TRUE(reads.read_only);
  EXPECT_FALSE(reads.destructive);
  EXPECT_TRUE(reads.idempotent);
  EXPECT_FALSE(HintsOf(R"({"annotations":{"openWorldHint":false}})").open_world);
}

TEST_F(PolicyTest, MistakesAreNamedWithTheirPlaceAndAMend) {
  EXPECT_EQ(ErrorOf("\n  permit x"),
            "p:2:3: found \"permit\", expected allow, deny or consent; a rule is: EFFECT NAME if "
            "CONDITION because \"REASON\"");
  EXPECT_THAT(ErrorOf("deny x if rolle = admin"),
              HasSubstr("1:11: found \"rolle\", expected something to compare; did you mean "
                        "\"role\"?"));
  EXPECT_THAT(ErrorOf("deny x\ndeny y deny x"), HasSubstr("2:8: found a second rule \"x\""));
  EXPECT_THAT(ErrorOf("deny x if tool = git.*"), HasSubstr("write ~ to match it"));
  EXPECT_THAT(ErrorOf("deny x if time in 9-17"), HasSubstr("1:19: found the time"));
  EXPECT_THAT(ErrorOf("deny x if day in monday"), HasSubstr("write mon to sun"));
  EXPECT_THAT(ErrorOf("deny x if time in 08:00..09:00 Mars/Base"), HasSubstr("unknown time zone"));
  EXPECT_THAT(ErrorOf("deny x if args.n > many"), HasSubstr("a number is needed"));
  EXPECT_THAT(ErrorOf("deny x if args.p within data"), HasSubstr("absolute path"));
  EXPECT_THAT(ErrorOf("deny x if tool = \"a"), HasSubstr("1:18: found a text without"));
  EXPECT_THAT(ErrorOf("deny x if kind = tol"), HasSubstr("it is one of tool"));
  EXPECT_THAT(ErrorOf("deny x tool = a"), HasSubstr("expected if, because"));
  EXPECT_THAT(ErrorOf("deny x if (tool = a"), HasSubstr("close the parenthesis"));
  EXPECT_THAT(ErrorOf("deny if tool = a"), HasSubstr("the name of the rule"));
  EXPECT_THAT(ErrorOf("deny x if role < b"), HasSubstr("order of texts"));
  EXPECT_THAT(ErrorOf("deny x if tool"), HasSubstr("found the end"));
  EXPECT_THAT(ErrorOf("deny x if tool = a;"), HasSubstr("begins nothing here"));
  EXPECT_THAT(ErrorOf("deny \xff"), HasSubstr("UTF-8"));
  std::string deep = "deny x if ";
  for (int i = 0; i < 100'000; ++i) deep += "(";
  EXPECT_THAT(ErrorOf(deep), HasSubstr("less nesting"));
  std::string nots = "deny x if ";
  for (int i = 0; i < 100'000; ++i) nots += "not ";
  EXPECT_THAT(ErrorOf(nots), StartsWith("p:1:"));
}

TEST_F(PolicyTest, RulesAreFoundByNameAmongThousands) {
  std::string text;
  for (int i = 0; i < 5000; ++i)
    text += StrCat("deny r", i, " if tool = up", i, ".t because \"no\"\n");
  const auto policy = Make(text + "deny hit if tool in (git.push, x.y) and role = developer");
  EXPECT_EQ(policy->Decide(who_, item_, moment_).rule->name, "hit");
  item_.names = {"up4999__t", "up4999.t"};
  EXPECT_EQ(policy->Decide(who_, item_, moment_).rule->name, "r4999");
  item_.names = {"up5000.t"};
  EXPECT_EQ(policy->Decide(who_, item_, moment_).rule, nullptr);
}

TEST_F(PolicyTest, ExplainsEveryRule) {
  const auto policy =
      Make("deny a if role = admin allow b if tool = git.push deny c if has args.x");
  const auto verdicts = policy->Explain(who_, item_, moment_);
  ASSERT_EQ(verdicts.size(), 3u);
  EXPECT_EQ(verdicts[0].truth, Truth::kFalse);
  EXPECT_EQ(verdicts[1].truth, Truth::kTrue);
  EXPECT_EQ(verdicts[2].truth, Truth::kFalse);
}

TEST_F(PolicyTest, WhatIsNotKnownIsNotGuessed) {
  const auto see = [this](const std::string& text, Effect otherwise, Attributes unknown) {
    const auto policy = *Policy::Compile({{text, "p"}}, otherwise);
    const Outlook out = policy->Foresee(who_, item_, moment_, unknown);
    const std::string rule = out.rule == nullptr ? "-" : out.rule->name;
    return StrCat(out.certain ? EffectName(out.effect) : "?", " ", rule);
  };
  const std::string by_args = "deny d if args.x = 1";
  EXPECT_EQ(see(by_args, Effect::kAllow, 0), "allow -");
  EXPECT_EQ(see(by_args, Effect::kAllow, kAllArguments), "? d");
  // Stronger ones that are sure decide; weaker ones that might match change nothing.
  EXPECT_EQ(see(by_args + " deny s", Effect::kAllow, kAllArguments), "deny s");
  EXPECT_EQ(see("consent c allow a if has args.x", Effect::kAllow, kAllArguments), "consent c");
  EXPECT_EQ(see("allow a if size(args.x) > 1", Effect::kAllow, kAllArguments), "allow -");
  EXPECT_EQ(see("allow a if bytes(args) > 1", Effect::kDeny, kAllArguments), "? a");
  EXPECT_EQ(see("allow s " + by_args, Effect::kDeny, kAllArguments), "? d");
  EXPECT_EQ(see("deny d if not scope = s", Effect::kAllow, BitOf(Attribute::kScope)), "? d");
  EXPECT_EQ(see("deny d if scope = s and role = nobody", Effect::kAllow, BitOf(Attribute::kScope)),
            "allow -");
}

TEST_F(PolicyTest, WhatToolsSayAndWhoShowedNothing) {
  const auto policy = Make("consent c if says-destructive and not anonymous");
  item_.hints = HintsOf("{}");
  EXPECT_TRUE(item_.hints.destructive);
  EXPECT_EQ(policy->Decide(who_, item_, moment_).rule, nullptr);
  item_.hints = HintsOf(R"({"annotations":{"readOnlyHint":true,"destructiveHint":true}})");
  EXPECT_EQ(policy->Decide(who_, item_, moment_).rule, nullptr);
  item_.hints = HintsOf(R"({"annotations":{"destructiveHint":true}})");
  EXPECT_EQ(policy->Decide(who_, item_, moment_).rule->name, "c");
  const std::string known = policy->Fingerprint(who_);
  who_.method = "loopback";
  EXPECT_EQ(policy->Decide(who_, item_, moment_).rule, nullptr);
  EXPECT_NE(policy->Fingerprint(who_), known);
  who_.method = "socket";
  EXPECT_EQ(policy->Decide(who_, item_, moment_).rule, nullptr);
  EXPECT_FALSE(policy->hides());
  EXPECT_TRUE(Make("deny d if has args.x")->hides());
}

TEST(CleanPathTest, KnowsOnlyAbsolutePaths) {
  EXPECT_EQ(CleanPath("/a//b/./c/"), "/a/b/c");
  EXPECT_EQ(CleanPath("/../.."), "/");
  EXPECT_EQ(CleanPath("a/b"), std::nullopt);
  EXPECT_EQ(CleanPath(""), std::nullopt);
  EXPECT_EQ(CleanPath(std::string_view("/a\0b", 4)), std::nullopt);
}

}  // namespace
}  // namespace metamcp::policy
