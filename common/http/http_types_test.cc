#include "common/http/http_types.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/origin.h"
#include "common/http/url.h"

namespace metamcp::http {
namespace {

TEST(HttpHeadersTest, KeepsOrderAndDuplicatesAndIgnoresCase) {
  HttpHeaders h = {{"A", "1"}, {"b", "2"}, {"a", "3"}};
  EXPECT_EQ(h.Get("a"), "1");
  EXPECT_EQ(h.Count("A"), 2u);
  EXPECT_THAT(h.GetAll("A"), ::testing::ElementsAre("1", "3"));
  h.Set("A", h.Get("b"));  // a view into itself
  EXPECT_EQ(h.size(), 2u);
  EXPECT_EQ(h.Get("a"), "2");
  h.Add("Accept", "text/event-stream, application/json");
  EXPECT_TRUE(h.HasToken("accept", "Application/JSON"));
  EXPECT_FALSE(h.HasToken("accept", "json"));
  for (int i = 0; i < 1000; ++i) h.Add("n", h.Get("Accept"));
  EXPECT_EQ(h.at(1000).value, "text/event-stream, application/json");
  h.Clear();
  EXPECT_FALSE(h.Has("a"));
}

TEST(UrlTest, TakesUrlsApart) {
  const auto url = ParseUrl("HTTPS://User:pw@Example.COM:8443/a/b?x=1#frag");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->user_info, "User:pw");
  EXPECT_EQ(url->host, "example.com");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->target, "/a/b?x=1");
  EXPECT_EQ(url->ToString(), "https://example.com:8443/a/b?x=1");
  const auto v6 = ParseUrl("ws://[::1]?q");
  ASSERT_TRUE(v6.ok()) << v6.status();
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->authority(), "[::1]");
  EXPECT_EQ(v6->target, "/?q");
  for (const char* bad :
       {"", "x", "ftp://a/", "http://", "http:///a", "http://a:0/", "http://a:65536/",
        "http://a:b/", "http://[::1/", "http://[zz]/", "http://[::1]x/", "http://a b/",
        "http://a\r\n/", "http://a/\\b", "http://a<b/", "http://:80/"}) {
    EXPECT_FALSE(ParseUrl(bad).ok()) << bad;
  }
  EXPECT_FALSE(ParseUrl("http://a/" + std::string(9000, 'x')).ok());
}

TEST(UrlTest, ResolvesReferences) {
  const Url base = *ParseUrl("https://h:1/a/b?q");
  const std::pair<const char*, const char*> cases[] = {
      {"/m?s=1", "https://h:1/m?s=1"}, {"m", "https://h:1/a/m"},     {"../m", "https://h:1/m"},
      {"../../../m", "https://h:1/m"}, {"./", "https://h:1/a/"},     {"?x", "https://h:1/a/b?x"},
      {"//o/p", "https://o/p"},        {"http://o/p", "http://o/p"}, {"", "https://h:1/a/b?q"},
      {"#f", "https://h:1/a/b?q"},
  };
  for (const auto& [reference, want] : cases) {
    const auto got = ResolveUrl(base, reference);
    ASSERT_TRUE(got.ok()) << reference;
    EXPECT_EQ(got->ToString(), want) << reference;
  }
  EXPECT_FALSE(ResolveUrl(base, "javascript:alert(1)").ok());
  EXPECT_FALSE(ResolveUrl(base, "/a\r\nb").ok());
}

TEST(UrlTest, SplitsTargetsAndRefusesTricks) {
  std::string path, query;
  ASSERT_TRUE(SplitTarget("/a%20b/c?x=%2F", &path, &query).ok());
  EXPECT_EQ(path, "/a b/c");
  EXPECT_EQ(query, "x=%2F");
  ASSERT_TRUE(SplitTarget("http://h/x?y", &path, &query).ok());
  EXPECT_EQ(path, "/x");
  ASSERT_TRUE(SplitTarget("/.well-known/a..b", &path, &query).ok());
  for (const char* bad : {"", "a", "/..", "/a/../b", "/a/.", "/%2e%2e/x", "/a%2fb", "/a%5cb",
                          "/a\\b", "/a%00", "/%", "/%zz", "/a#b", "/%c"}) {
    EXPECT_FALSE(SplitTarget(bad, &path, &query).ok()) << bad;
  }
  EXPECT_EQ(QueryParameter("a=1&sessionId=x%2By+z&b", "sessionId"), "x+y z");
  EXPECT_EQ(QueryParameter("a=1", "b"), "");
}

HttpRequest Request(std::string_view host, std::string_view origin) {
  HttpRequest r;
  r.method = "POST";
  if (!host.empty()) r.headers.Add("Host", host);
  if (!origin.empty()) r.headers.Add("Origin", origin);
  return r;
}

TEST(OriginTest, FollowsTheTable) {
  RecordProperty("req", "M-FR-002.2");
  OriginOptions options;
  options.allowed_hosts = {"gw.example", "other.example:8443"};
  options.allowed_origins = {"https://app.example"};
  const OriginRule local(options);
  options.loopback_bind = false;
  const OriginRule open(options);
  struct Case {
    const char *host, *origin;
    bool local, open;
  };
  const Case cases[] = {
      {"localhost:8931", "", true, true},
      {"127.0.0.1", "", true, true},
      {"[::1]:1", "", true, true},
      {"LOCALHOST", "", true, true},
      {"evil.example", "", false, true},
      {"127.0.0.1.evil.example", "", false, true},
      {"localhost.evil.example", "", false, true},
      {"localhost@evil.example", "", false, true},
      {"gw.example:99", "", true, true},
      {"other.example:8443", "", true, true},
      {"other.example:1", "", false, true},
      {"", "", false, true},
      {"localhost", "http://localhost:3000", true, false},
      {"localhost", "http://127.0.0.1", true, false},
      {"localhost", "https://app.example", true, true},
      {"localhost", "https://app.example.evil", false, false},
      {"localhost", "http://evil.example", false, false},
      {"localhost", "null", false, false},
      {"localhost", "http://localhost/", false, false},
      {"localhost", "file://localhost", false, false},
  };
  for (const Case& c : cases) {
    const HttpRequest r = Request(c.host, c.origin);
    EXPECT_EQ(local.Check(r).ok(), c.local) << c.host << " " << c.origin;
    EXPECT_EQ(open.Check(r).ok(), c.open) << c.host << " " << c.origin;
  }
  EXPECT_EQ(GetErrorInfo(local.Check(Request("x", "")))->reason, "HOST_REFUSED");
  EXPECT_EQ(GetErrorInfo(local.Check(Request("localhost", "null")))->reason, "ORIGIN_REFUSED");
  HttpRequest twice = Request("localhost", "https://app.example");
  twice.headers.Add("Origin", "http://evil.example");
  EXPECT_FALSE(local.Check(twice).ok());
}

TEST(OriginTest, AnswersPreflightsOfAllowedOriginsOnly) {
  OriginOptions options;
  options.allowed_origins = {"https://app.example"};
  const OriginRule rule(options);
  HttpRequest r = Request("localhost", "https://app.example");
  r.method = "OPTIONS";
  EXPECT_FALSE(OriginRule::IsPreflight(r));
  r.headers.Add("Access-Control-Request-Method", "POST");
  r.headers.Add("Access-Control-Request-Headers", "mcp-param-x, x-evil, authorization");
  ASSERT_TRUE(OriginRule::IsPreflight(r));
  HttpResponse answer = rule.Preflight(r);
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.headers.Get("Access-Control-Allow-Origin"), "https://app.example");
  EXPECT_TRUE(answer.headers.HasToken("Access-Control-Allow-Headers", "mcp-param-x"));
  EXPECT_TRUE(answer.headers.HasToken("Access-Control-Allow-Headers", "Last-Event-ID"));
  EXPECT_FALSE(answer.headers.HasToken("Access-Control-Allow-Headers", "x-evil"));
  EXPECT_TRUE(answer.headers.HasToken("Access-Control-Expose-Headers", "Mcp-Session-Id"));
  r.headers.Set("Origin", "http://localhost:3000");
  answer = rule.Preflight(r);
  EXPECT_FALSE(answer.headers.Has("Access-Control-Allow-Origin"));
}

}  // namespace
}  // namespace metamcp::http
