#include "common/config/policy_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "common/base/strings.h"
#include "common/config/load.h"

namespace metamcp::config {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class PolicyRulesTest : public ::testing::Test {
 protected:
  PolicyRulesTest() {
    char pattern[] = "/tmp/metamcp-policy-XXXXXX";
    folder_ = mkdtemp(pattern);
  }
  ~PolicyRulesTest() override {
    unlink(StrCat(folder_, "/config.json").c_str());
    unlink(StrCat(folder_, "/rules").c_str());
    rmdir(folder_.c_str());
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(StrCat(folder_, "/", name)) << text;
  }
  absl::StatusOr<LoadResult> Load(const std::string& policy) {
    Write("config.json", StrCat("{\"policy\": ", policy, "}"));
    return LoadConfigBlocking(StrCat(folder_, "/config.json"), LoadOptions());
  }
  std::string ErrorOf(const std::string& policy) {
    const auto loaded = Load(policy);
    return loaded.ok() ? "none" : std::string(loaded.status().message());
  }
  std::string folder_;
};

TEST_F(PolicyRulesTest, JoinsTheFileAndTheRules) {
  Write("rules", "deny a if tool = x.y\nallow b");
  const auto loaded = Load(R"({"file": "rules", "rules": ["consent c"], "consent": "off"})");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.policy.path, StrCat(folder_, "/rules"));
  const auto policy = CompilePolicy(loaded->config.policy, true);
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ((*policy)->rules().size(), 3u);
  EXPECT_TRUE((*policy)->asks());
}

TEST_F(PolicyRulesTest, NamesThePlaceOfAMistake) {
  Write("rules", "deny a\n  if tol = x");
  EXPECT_THAT(ErrorOf(R"({"file": "rules"})"),
              StartsWith(StrCat(folder_, "/rules:2:6: found \"tol\"")));
  EXPECT_THAT(ErrorOf(R"({"rules": ["allow a", "deny b if"]})"),
              HasSubstr("config.json: policy.rules[1]:1:10: found the end"));
  EXPECT_THAT(ErrorOf(R"({"file": "absent"})"), HasSubstr("/absent: cannot be read"));
  EXPECT_THAT(ErrorOf(R"({"file": "."})"), HasSubstr("is no file"));
}

TEST_F(PolicyRulesTest, TheDefaultIsDenyWhereOthersAreServedByRules) {
  PolicyConfig config;
  const auto otherwise = [&](bool loopback) {
    return (*CompilePolicy(config, loopback))->otherwise();
  };
  EXPECT_EQ(otherwise(true), policy::Effect::kAllow);
  EXPECT_EQ(otherwise(false), policy::Effect::kAllow);  // no rules
  config.rules = {"deny a if tool = x"};
  EXPECT_EQ(otherwise(true), policy::Effect::kAllow);
  EXPECT_EQ(otherwise(false), policy::Effect::kDeny);
  config.otherwise = "allow";
  EXPECT_EQ(otherwise(false), policy::Effect::kAllow);
  config.otherwise = "deny";
  EXPECT_EQ(otherwise(true), policy::Effect::kDeny);
}

TEST_F(PolicyRulesTest, ConsentForWhatDestroysIsOneMoreRule) {
  PolicyConfig config;
  config.consent = "destructive";
  const auto policy = *CompilePolicy(config, false);
  policy::Item item;
  item.kind = "tool";
  item.names = {"a.b"};
  EXPECT_EQ(policy->Decide(Principal(), item, policy::Moment()).effect, policy::Effect::kConsent);
  item.hints.idempotent = true;
  EXPECT_EQ(policy->Decide(Principal(), item, policy::Moment()).effect, policy::Effect::kAllow);
}

TEST_F(PolicyRulesTest, ByDefaultConsentIsForWhatSaysThatItDestroysAndForWhoCameWithACredential) {
  const PolicyConfig config;
  ASSERT_EQ(config.consent, "auto");
  const auto policy = *CompilePolicy(config, true);
  EXPECT_FALSE(policy->hides());
  policy::Item item;
  item.kind = "tool";
  item.names = {"a.b"};
  Principal who;
  who.method = "key:ci";
  const auto effect = [&] { return policy->Decide(who, item, policy::Moment()).effect; };
  EXPECT_EQ(effect(), policy::Effect::kAllow);
  item.hints = policy::HintsOf(R"({"annotations":{"destructiveHint":true}})");
  EXPECT_EQ(effect(), policy::Effect::kConsent);
  who.kind = "run";
  EXPECT_EQ(effect(), policy::Effect::kAllow);
  who.kind = "user";
  who.method = "loopback";
  EXPECT_EQ(effect(), policy::Effect::kAllow);
  who.method = "jwt:okta";
  item.hints.idempotent = true;
  EXPECT_EQ(effect(), policy::Effect::kAllow);
}

TEST_F(PolicyRulesTest, AProposalKeepsTheConsentOfTheConfiguration) {
  PolicyConfig config;
  config.rules = {"deny old"};
  const auto proposed = CompileProposal(config, "deny new", policy::Effect::kDeny);
  ASSERT_TRUE(proposed.ok()) << proposed.status();
  ASSERT_EQ((*proposed)->rules().size(), 2u);
  EXPECT_EQ((*proposed)->rules()[1]->name, "policy.consent");
  EXPECT_THAT(
      std::string(CompileProposal(config, "deny", policy::Effect::kDeny).status().message()),
      HasSubstr("rules:1:5"));
}

}  // namespace
}  // namespace metamcp::config
