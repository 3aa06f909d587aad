#include "common/auth/jwt/token.h"

#include <gtest/gtest.h>

#include "common/auth/jwt/issue.h"

namespace metamcp::jwt {
namespace {

TEST(TokenTest, ClaimsAreFoundByNameAndByPath) {
  const char* payload =
      R"({"https://x.example/roles":["a"],"a.b":"dotted","a":{"b":"inner","c":{"d":["e",1,""]}},"n":7})";
  EXPECT_EQ(ClaimStrings(payload, "https://x.example/roles"), std::vector<std::string>{"a"});
  EXPECT_EQ(ClaimText(payload, "a.b"), "dotted");
  EXPECT_EQ(ClaimStrings(payload, "a.c.d"), std::vector<std::string>{"e"});
  EXPECT_TRUE(ClaimStrings(payload, "n").empty());
  EXPECT_TRUE(ClaimStrings(payload, "a.x.d").empty());
  EXPECT_TRUE(ClaimStrings(payload, "").empty());
  EXPECT_EQ(ClaimStrings(R"({"s":"  one  two "})", "s"), (std::vector<std::string>{"one", "two"}));
}

TEST(TokenTest, LooksLikeATokenOnlyInThreeParts) {
  EXPECT_TRUE(LooksLikeToken("eyJh.b.c"));
  EXPECT_TRUE(LooksLikeToken("eyJh.b."));
  EXPECT_FALSE(LooksLikeToken("eyJh.b"));
  EXPECT_FALSE(LooksLikeToken("eyJh.b.c.d"));
  EXPECT_FALSE(LooksLikeToken("0123456789.b.c"));
}

TEST(TokenTest, AnIssuedTokenIsRead) {
  NewToken token;
  token.issuer = "i";
  token.audience = "a";
  token.subject = "s\"x";
  token.teams = {"t"};
  token.expires_s = 100;
  const auto parts = Split(IssueToken(token, std::string(32, 'k'), "kid"));
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(parts->kid, "kid");
  const auto claims = ReadClaims(parts->payload);
  ASSERT_TRUE(claims.ok());
  EXPECT_EQ(claims->subject, "s\"x");
  EXPECT_EQ(claims->expires_s, 100);
  EXPECT_EQ(ClaimStrings(parts->payload, "teams"), std::vector<std::string>{"t"});
}

}  // namespace
}  // namespace metamcp::jwt
