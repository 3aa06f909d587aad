#include "gateway/login/login_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace metamcp::gateway::login {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(LoginPageTest, NothingFromOutsideBecomesMarkup) {
  const std::string evil = "\"><script>alert('x')</script>&";
  for (const http::HttpResponse& page :
       {Page(200, evil, {evil}), AskPage(evil, evil, true, evil), LeavePage(evil, evil, evil)}) {
    EXPECT_THAT(page.body, Not(HasSubstr("<script")));
    EXPECT_THAT(page.body, Not(HasSubstr("'x'")));
    EXPECT_THAT(page.body, HasSubstr("&lt;script&gt;"));
  }
}

TEST(LoginPageTest, PagesCannotBeFramedStoredOrScripted) {
  const http::HttpResponse page = AskPage("x", "t", false, "");
  const std::string policy(page.headers.Get("Content-Security-Policy"));
  EXPECT_THAT(policy, HasSubstr("default-src 'none'"));
  EXPECT_THAT(policy, HasSubstr("frame-ancestors 'none'"));
  EXPECT_THAT(policy, HasSubstr("form-action 'self'"));
  EXPECT_EQ(page.headers.Get("X-Frame-Options"), "DENY");
  EXPECT_EQ(page.headers.Get("Cache-Control"), "no-store");
  EXPECT_THAT(page.body, Not(HasSubstr("password")));
  EXPECT_THAT(AskPage("x", "t", true, "").body, HasSubstr("type=\"password\""));
}

TEST(LoginPageTest, ParametersAreDecodedOnceAndNotDoubled) {
  const auto good = ParseParameters("code=a%2Bb&state=x+y&iss=&&flag");
  ASSERT_TRUE(good);
  EXPECT_EQ(ValueOf(*good, "code"), "a+b");
  EXPECT_EQ(ValueOf(*good, "state"), "x y");
  EXPECT_TRUE(Has(*good, "iss"));
  EXPECT_TRUE(Has(*good, "flag"));
  EXPECT_FALSE(Has(*good, "error"));
  EXPECT_FALSE(ParseParameters("code=a&code=b"));
  EXPECT_FALSE(ParseParameters("c%6fde=a&code=b"));
  EXPECT_FALSE(ParseParameters("code=%zz"));
  std::string many;
  for (int i = 0; i < 100; ++i) many += "&a" + std::to_string(i) + "=1";
  EXPECT_FALSE(ParseParameters(many));
  EXPECT_TRUE(ParseParameters("")->empty());
}

TEST(LoginPageTest, CookiesAreFoundByTheirWholeName) {
  http::HttpHeaders headers;
  headers.Add("Cookie", "xmetamcp_login=bad; metamcp_login=good=1; a");
  EXPECT_EQ(CookieOf(headers, "metamcp_login"), "good=1");
  EXPECT_EQ(CookieOf(headers, "other"), "");
  headers.Add("Cookie", "metamcp_login=second");
  EXPECT_EQ(CookieOf(headers, "metamcp_login"), "");
}

}  // namespace
}  // namespace metamcp::gateway::login
