#include "common/auth/oauth/challenge.h"

#include <gtest/gtest.h>

namespace metamcp::oauth {
namespace {

TEST(ChallengeTest, ReadsBearerParameters) {
  const Challenge c = ParseChallenge(
      R"(Bearer realm="x, y", error="insufficient_scope", scope="a b:c",)"
      R"( resource_metadata="https://h/.well-known/x", error_description="say \"please\"")");
  EXPECT_TRUE(c.bearer);
  EXPECT_EQ(c.error, "insufficient_scope");
  EXPECT_EQ(c.scope, "a b:c");
  EXPECT_EQ(c.resource_metadata, "https://h/.well-known/x");
  EXPECT_EQ(c.error_description, "say \"please\"");
}

TEST(ChallengeTest, FindsBearerAmongOthers) {
  const Challenge c = ParseChallenge(
      R"(Negotiate abc==, Basic realm="r", bearer scope=one , resource_metadata=https://h/p, )"
      R"(DPoP scope="other")");
  EXPECT_TRUE(c.bearer);
  EXPECT_EQ(c.scope, "one");
  EXPECT_EQ(c.resource_metadata, "https://h/p");
  EXPECT_FALSE(ParseChallenge("Basic realm=\"r\", scope=\"x\"").bearer);
  EXPECT_EQ(ParseChallenge("Basic realm=\"r\", scope=\"x\"").scope, "");
  EXPECT_TRUE(ParseChallenge("Bearer").bearer);
  http::HttpHeaders headers;
  headers.Add("WWW-Authenticate", "Basic realm=\"r\"");
  headers.Add("www-authenticate", "Bearer error=\"invalid_token\"");
  EXPECT_EQ(ParseChallenge(headers).error, "invalid_token");
}

TEST(ChallengeTest, MalformedFieldsEndTheReading) {
  for (const char* field : {"", ",,,", "=", "Bearer =", "Bearer scope",
                            "Bearer scope=", "Bearer scope=\"open", "Bearer scope=\"x\\",
                            "Bearer \"quoted\"", "\x01", "Bearer scope=\"a\" \"b\" error=\"c\""}) {
    ParseChallenge(field);
  }
  EXPECT_EQ(ParseChallenge("Bearer scope=\"a\", error=\"open").scope, "a");
  EXPECT_EQ(ParseChallenge("Bearer scope=\"a\", scope=\"b\"").scope, "a");
  EXPECT_TRUE(ParseChallenge("Bearer scope=\"" + std::string(1 << 20, 'x') + "\"").scope.empty());
}

TEST(ChallengeTest, PlainTextIsSafeToShow) {
  EXPECT_EQ(PlainText("a\r\n\x1b[31mb\x7f"), "a   [31mb ");
  EXPECT_EQ(PlainText("aä", 2), "a");
  EXPECT_EQ(PlainText(std::string(500, 'x')).size(), 200u);
}

}  // namespace
}  // namespace metamcp::oauth
