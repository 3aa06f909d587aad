#include <nlohmann/json.hpp>

#include "cli/command_fixture.h"
#include "common/auth/jwt/issue.h"
#include "common/auth/jwt/verifier.h"
#include "common/auth/password_hash.h"
#include "common/base/ids.h"

namespace metamcp::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TokenCommandsTest : public CommandTest {
 protected:
  // Whom the printed token speaks for, under `secret`.
  absl::StatusOr<std::shared_ptr<const Principal>> Verified(std::string secret, std::string kid) {
    jwt::IssuerOptions own;
    own.issuer = "meta-mcp";
    own.audiences = {"meta-mcp"};
    own.algorithms = {"HS256"};
    own.teams_claim = "teams";
    jwt::TokenVerifier verifier({own}, jwt::TokenVerifier::Options());
    verifier.SetKeys(0, std::make_shared<jwt::KeySet>(jwt::KeySet{
                            jwt::VerifyKey::FromSecret(std::move(secret), std::move(kid))}));
    std::string token = out_;
    while (!token.empty() && token.back() == '\n') token.pop_back();
    const auto found = verifier.Verify(token);
    if (!found.ok()) return found.status();
    EXPECT_TRUE((*found)->everywhere);
    return (*found)->principal;
  }
};

TEST_F(TokenCommandsTest, CreateSignsWithTheSealingKeys) {
  RecordProperty("req", "P1-Auth-1");
  ASSERT_EQ(Run({"token", "create", "--subject", "alice", "--role", "viewer", "--team", "blue",
                 "--scope", "a", "--scope", "b", "--expires", "5"}),
            0)
      << err_;
  const auto ring = KeyRing::LoadOrCreateBlocking(Path(".meta-mcp/keys.json"));
  ASSERT_TRUE(ring.ok()) << ring.status();
  const std::string kid = ring->Kids().front();
  const auto who = Verified(jwt::RingSecret(*ring, kid), kid);
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ((*who)->subject, "alice");
  EXPECT_THAT((*who)->roles, ElementsAre("viewer"));
  EXPECT_THAT((*who)->teams, ElementsAre("blue"));
  EXPECT_THAT((*who)->scopes, ElementsAre("a", "b"));
  const int64_t left_s = ((*who)->expires_us - NowMicros()) / 1'000'000;
  EXPECT_GT(left_s, 300);
  EXPECT_LE(left_s, 300 + 60);
}

TEST_F(TokenCommandsTest, CreateSignsWithTheSecretOfTheEnvironment) {
  RecordProperty("req", "P1-Auth-1");
  const std::string secret = "a secret that is long enough for HS256";
  env_["JWT_SECRET_KEY"] = secret;
  ASSERT_EQ(Run({"token", "create", "--subject", "ci"}), 0) << err_;
  EXPECT_TRUE(Verified(secret, "").ok());
  env_["JWT_SECRET_KEY"] = "short";
  EXPECT_EQ(Run({"token", "create", "--subject", "ci"}), 2);
  EXPECT_THAT(err_, HasSubstr("expected at least 32"));
}

TEST_F(TokenCommandsTest, CreateRefusesWhatMakesNoSense) {
  EXPECT_EQ(Run({"token", "create"}), 2);
  EXPECT_EQ(Run({"token", "create", "--subject", "a", "--role", "boss"}), 2);
  EXPECT_THAT(err_, HasSubstr("there is no role"));
  EXPECT_EQ(Run({"token", "create", "--subject", "a", "--expires", "0"}), 2);
}

TEST_F(TokenCommandsTest, KeysAreMadeTurnedAndEnded) {
  RecordProperty("req", "W-4.4.1 P2-Sec-3");
  const char* made =
      R"({"key":{"id":"k-1","name":"ci","owner":"local","expiresUs":"1900000000000000"},
                         "secret":"mmk_shown-once"})";
  rest_.When("POST /api/v1/keys", made);
  ASSERT_EQ(
      RunRemote({"token", "key", "create", "--name", "ci", "--role", "operator", "--days", "90"}),
      0)
      << err_;
  EXPECT_EQ(out_, "mmk_shown-once\n") << "so that a script can keep it";
  EXPECT_THAT(err_, HasSubstr("shown this once"));
  const auto body = nlohmann::json::parse(rest_.Last().body);
  EXPECT_EQ(body["roles"], nlohmann::json({"operator"}));
  EXPECT_GT(std::stoll(body["expiresUs"].get<std::string>()), NowMicros());
  rest_.When("POST /api/v1/keys/k-1/rotate", made);
  ASSERT_EQ(RunRemote({"token", "key", "rotate", "k-1", "--overlap", "2"}), 0) << err_;
  EXPECT_EQ(nlohmann::json::parse(rest_.Last().body)["overlapS"], "7200");
  rest_.When("DELETE /api/v1/keys/k-1", "{}");
  EXPECT_EQ(RunRemote({"token", "key", "revoke", "k-1"}), 0) << err_;
  rest_.When("GET /api/v1/keys",
             R"({"keys":[{"id":"k-1","name":"ci","owner":"alice","prefix":"mmk_abcdef",
                 "revokedUs":"5"}]})");
  ASSERT_EQ(RunRemote({"token", "key", "list", "--all"}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("mmk_abcdef…"));
  EXPECT_THAT(out_, HasSubstr("revoked"));
  EXPECT_EQ(RunRemote({"token", "key", "create"}), 2);
}

TEST_F(TokenCommandsTest, UsersAndTeams) {
  RecordProperty("req", "P2-Usr-1");
  rest_.When("GET /api/v1/users",
             R"({"users":[{"subject":"okta:1","displayName":"Ann","disabled":true}]})");
  ASSERT_EQ(RunRemote({"user", "list"}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("kept out"));
  EXPECT_EQ(RunRemote({"user", "show", "okta:2"}), 1);
  rest_.When("POST /api/v1/users", "{}");
  ASSERT_EQ(RunRemote({"user", "disable", "okta:1"}), 0) << err_;
  EXPECT_EQ(nlohmann::json::parse(rest_.Last().body)["disabled"], true);
  rest_.When("POST /api/v1/teams/blue/members", "{}");
  ASSERT_EQ(RunRemote({"team", "remove", "blue", "okta:1"}), 0) << err_;
  EXPECT_EQ(nlohmann::json::parse(rest_.Last().body)["absent"], true);
}

TEST_F(TokenCommandsTest, PasswordIsHashed) {
  RecordProperty("req", "P1-Auth-2");
  ASSERT_EQ(Run({"token", "password"}, "correct horse battery\n"), 0) << err_;
  std::string hash = out_;
  ASSERT_EQ(hash.back(), '\n');
  hash.pop_back();
  EXPECT_TRUE(auth::CheckPasswordBlocking(hash, "correct horse battery"));
  EXPECT_TRUE(auth::CheckPasswordHash(hash).ok());
  EXPECT_EQ(Run({"token", "password"}, "short"), kExitUsage);
  EXPECT_EQ(Run({"token", "password"}, ""), kExitUsage);
}

}  // namespace
}  // namespace metamcp::cli
