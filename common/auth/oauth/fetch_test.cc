#include "common/auth/oauth/fetch.h"

#include <gmock/gmock.h>

#include <map>
#include <vector>

#include "common/http/http_client_fixture.h"

namespace metamcp::oauth {
namespace {

using ::testing::HasSubstr;

struct Page {
  int status = 200;
  std::string body;
  std::string location;
};

// A server of fixed pages that remembers what was asked.
class FetchTest : public http::ClientTest {
 protected:
  FetchTest()
      : server_([this](auto& request, auto& responder) { return Serve(request, responder); }) {
    origin_ = server_.ListenTcp().ToString();
    guard_.loopback = true;
    guard_.domain = "upstream:x";
  }
  ~FetchTest() override { server_.Stop(std::chrono::milliseconds(0)); }

  Awaitable<void> Serve(http::HttpRequest& request, http::HttpResponder& responder) {
    asked_.push_back(StrCat(request.method, " ", request.target, " ", request.body));
    const auto it = pages_.find(request.path);
    const Page page = it == pages_.end() ? Page{404, "no", ""} : it->second;
    http::HttpResponse response(page.status, "application/json", page.body);
    if (!page.location.empty()) response.headers.Add("Location", page.location);
    co_await responder.Send(std::move(response));
  }

  Fetcher fetcher() { return Fetcher(client(), guard_); }
  std::string Metadata(const std::string& issuer) const {
    return StrCat(R"({"issuer":")", issuer, R"(","token_endpoint":")", origin_, R"(/token"})");
  }

  std::map<std::string, Page> pages_;
  std::vector<std::string> asked_;
  http::TestServer server_;
  std::string origin_;
  Guard guard_;
};

TEST_F(FetchTest, FindsTheResource) {
  const std::string body =
      StrCat(R"({"resource":")", origin_, R"(/mcp","authorization_servers":[]})");
  Fetcher f = fetcher();
  EXPECT_TRUE(absl::IsNotFound(Await(f.Resource(ctx_, origin_ + "/mcp", "")).status()));
  ASSERT_EQ(asked_.size(), 2u);
  EXPECT_EQ(asked_[0], "GET /.well-known/oauth-protected-resource/mcp ");
  EXPECT_EQ(asked_[1], "GET /.well-known/oauth-protected-resource ");
  pages_["/elsewhere"] = {200, body, ""};
  auto found = Await(f.Resource(ctx_, origin_ + "/mcp", origin_ + "/elsewhere"));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->resource, origin_ + "/mcp");
  auto other = Await(f.Resource(ctx_, origin_ + "/other", origin_ + "/elsewhere"));
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("another resource"));
}

TEST_F(FetchTest, IssuerMustBeIdentical) {
  Fetcher f = fetcher();
  pages_["/.well-known/openid-configuration"] = {200, Metadata(origin_), ""};
  EXPECT_TRUE(Await(f.Server(ctx_, origin_)).ok());
  for (const std::string& issuer : {origin_ + "/", std::string("https://evil.example")}) {
    pages_["/.well-known/openid-configuration"] = {200, Metadata(issuer), ""};
    EXPECT_EQ(Reason(Await(f.Server(ctx_, origin_)).status()), "UPSTREAM_AUTH") << issuer;
  }
}

TEST_F(FetchTest, EndpointsAreGuarded) {
  Fetcher f = fetcher();
  for (const char* endpoint : {"http://10.0.0.1/t", "file:///etc/passwd", "http://evil.example/t",
                               "https://u:p@as.example/t", "https://as.example/t#x", "/t"}) {
    pages_["/.well-known/oauth-authorization-server"] = {
        200, StrCat(R"({"issuer":")", origin_, R"(","token_endpoint":")", endpoint, R"("})"), ""};
    EXPECT_EQ(Reason(Await(f.Server(ctx_, origin_)).status()), "UPSTREAM_AUTH") << endpoint;
  }
  guard_.loopback = false;
  EXPECT_FALSE(CheckUrl(guard_, "it", origin_).ok());
  EXPECT_TRUE(CheckUrl(guard_, "it", "https://as.example").ok());
  // A name or address that leads to private networks is refused where it is connected to.
  for (const char* url : {"https://127.0.0.1:1/x", "https://10.0.0.1/x", "https://[::1]:1/x",
                          "https://localhost:1/x", "https://169.254.169.254/latest"}) {
    const auto reply = Await(fetcher().Get(ctx_, "it", url));
    EXPECT_EQ(Reason(reply.status()), "UPSTREAM_UNAVAILABLE") << url;
  }
}

TEST_F(FetchTest, RedirectsAreFollowedForMetadataOnly) {
  Fetcher f = fetcher();
  pages_["/a"] = {302, "", "/b"};
  pages_["/b"] = {200, "{}", ""};
  pages_["/loop"] = {302, "", "/loop"};
  pages_["/out"] = {302, "", "http://192.168.0.1/x"};
  EXPECT_EQ(Await(f.Get(ctx_, "it", origin_ + "/a"))->body, "{}");
  EXPECT_FALSE(Await(f.Get(ctx_, "it", origin_ + "/loop")).ok());
  EXPECT_FALSE(Await(f.Get(ctx_, "it", origin_ + "/out")).ok());
  EXPECT_FALSE(Await(f.Post(ctx_, "it", origin_ + "/a", "text/plain", "secret", "")).ok());
  pages_["/big"] = {200, std::string(300 << 10, 'x'), ""};
  EXPECT_EQ(Reason(Await(f.Get(ctx_, "it", origin_ + "/big")).status()),
            "UPSTREAM_RESULT_TOO_LARGE");
}

TEST_F(FetchTest, TokenErrorsKeepTheirCode) {
  Fetcher f = fetcher();
  ServerMetadata server;
  server.issuer = origin_;
  server.token_endpoint = origin_ + "/token";
  ClientIdentity client;
  client.id = "c";
  pages_["/token"] = {400, R"({"error":"invalid_grant","error_description":"gone\u001b"})", ""};
  Form form = {{"grant_type", "refresh_token"}};
  const auto refused = Await(f.Token(ctx_, server, client, form));
  EXPECT_EQ(GetErrorInfo(refused.status())->metadata.at("oauth_error"), "invalid_grant");
  EXPECT_EQ(asked_.back(), "POST /token grant_type=refresh_token&client_id=c");
  pages_["/token"] = {503, "", ""};
  EXPECT_EQ(Reason(Await(f.Token(ctx_, server, client, form)).status()), "UPSTREAM_UNAVAILABLE");
  pages_["/token"] = {200, R"({"access_token":"t","token_type":"Bearer"})", ""};
  EXPECT_EQ(Await(f.Token(ctx_, server, client, form))->access_token, "t");
  // An assertion of another type than was asked for is not passed on as one.
  EXPECT_FALSE(Await(f.Exchange(ctx_, server, client, form)).ok());
}

}  // namespace
}  // namespace metamcp::oauth
