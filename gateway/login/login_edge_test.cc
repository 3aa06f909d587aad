#include "gateway/login/login_edge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/http/url.h"
#include "common/http/websocket.h"

namespace metamcp::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace pb = connector::v1;

class FakeConnector final : public pb::ConnectorService {
 public:
  Awaitable<absl::StatusOr<pb::BeginLoginResponse>> BeginLogin(
      const CallContext&, pb::BeginLoginRequest request) override {
    begun.push_back(std::move(request));
    if (!refuse.ok()) co_return refuse;
    pb::BeginLoginResponse response;
    response.set_issuer("https://as.example");
    response.set_authorization_url("https://as.example/authorize?a=1&b=2");
    co_return response;
  }
  Awaitable<absl::StatusOr<pb::FinishLoginResponse>> FinishLogin(
      const CallContext&, pb::FinishLoginRequest request) override {
    finished.push_back(std::move(request));
    if (!refuse.ok()) co_return refuse;
    pb::FinishLoginResponse response;
    response.set_name("docs");
    co_return response;
  }
  Awaitable<absl::StatusOr<pb::ListConnectionsResponse>> ListConnections(
      const CallContext&, pb::ListConnectionsRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }
  Awaitable<absl::StatusOr<pb::RestartUpstreamResponse>> RestartUpstream(
      const CallContext&, pb::RestartUpstreamRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }
  Awaitable<absl::StatusOr<pb::GetLogsResponse>> GetLogs(const CallContext&,
                                                         pb::GetLogsRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }
  Awaitable<absl::StatusOr<pb::DiagnoseUpstreamResponse>> DiagnoseUpstream(
      const CallContext&, pb::DiagnoseUpstreamRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }
  Awaitable<absl::StatusOr<pb::ProbeUpstreamResponse>> ProbeUpstream(
      const CallContext&, pb::ProbeUpstreamRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }
  Awaitable<absl::StatusOr<pb::LogoutResponse>> Logout(const CallContext&,
                                                       pb::LogoutRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }
  Awaitable<absl::StatusOr<pb::SetSecretResponse>> SetSecret(const CallContext&,
                                                             pb::SetSecretRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }
  Awaitable<absl::StatusOr<pb::ListSecretsResponse>> ListSecrets(const CallContext&,
                                                                 pb::ListSecretsRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }
  Awaitable<absl::StatusOr<pb::RemoveSecretResponse>> RemoveSecret(
      const CallContext&, pb::RemoveSecretRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }
  std::vector<pb::BeginLoginRequest> begun;
  std::vector<pb::FinishLoginRequest> finished;
  absl::Status refuse;
};

class Answer final : public http::HttpResponder {
 public:
  Awaitable<absl::Status> Send(http::HttpResponse out) override {
    response = std::move(out);
    co_return absl::OkStatus();
  }
  Awaitable<absl::Status> StartStream(int, http::HttpHeaders) override {
    co_return absl::InternalError("no stream");
  }
  Awaitable<absl::Status> Write(std::string_view) override {
    co_return absl::InternalError("no stream");
  }
  Awaitable<absl::Status> Finish() override { co_return absl::InternalError("no stream"); }
  Awaitable<absl::StatusOr<std::unique_ptr<http::WebSocket>>> Upgrade(
      http::WebSocketOptions) override {
    co_return absl::InternalError("no WebSocket");
  }
  void OnDisconnect(std::function<void()>) override {}
  bool disconnected() const override { return false; }
  bool started() const override { return false; }
  http::HttpResponse response;
};

class LoginEdgeTest : public ::testing::Test {
 protected:
  LoginEdgeTest() {
    auth::StaticKey alice;
    alice.name = "alice";
    alice.secret = "alice-secret-0123456789";
    alice.roles = {"operator"};
    auth::StaticKey bob;
    bob.name = "bob";
    bob.secret = "bob-secret-012345678900";
    bob.roles = {"viewer"};
    authenticator_ = *auth::Authenticator::Create({alice, bob}, true, keys_);
    Use("");
  }
  void Use(const std::string& public_url) {
    edge_ = std::make_unique<LoginEdge>(connector_, *authenticator_, keys_, public_url);
    edge_->SetListenUrl("http://127.0.0.1:8931");
  }
  static Principal Who(const std::string& subject, const std::string& role) {
    Principal out;
    out.subject = subject;
    out.roles = {role};
    return out;
  }
  http::HttpResponse Get(const std::string& url, const std::string& cookie = "") {
    return Request("GET", url, "", cookie);
  }
  http::HttpResponse Post(const std::string& body) {
    return Request("POST", "http://127.0.0.1:8931/oauth/login", body, "");
  }
  http::HttpResponse Request(const std::string& method, const std::string& url,
                             const std::string& body, const std::string& cookie) {
    http::HttpRequest request;
    request.method = method;
    request.target = http::ParseUrl(url)->target;
    EXPECT_TRUE(http::SplitTarget(request.target, &request.path, &request.query).ok());
    request.body = body;
    request.is_loopback = loopback_;
    if (!cookie.empty()) request.headers.Add("Cookie", cookie);
    Answer answer;
    boost::asio::io_context io;
    boost::asio::co_spawn(io, edge_->Handle(request, answer), boost::asio::detached);
    io.run();
    return std::move(answer.response);
  }
  static std::string TicketOf(const std::string& link) { return link.substr(link.find("t=") + 2); }

  KeyRing keys_ = KeyRing::Ephemeral();
  FakeConnector connector_;
  std::unique_ptr<auth::Authenticator> authenticator_;
  std::unique_ptr<LoginEdge> edge_;
  bool loopback_ = true;
};

TEST_F(LoginEdgeTest, LeadsThereAndBackInOneBrowser) {
  RecordProperty("req", "M02-US-002.3");
  const std::string link = edge_->LinkFor(Who("local", "admin"), "u1", "docs", false);
  EXPECT_THAT(link, HasSubstr("http://127.0.0.1:8931/oauth/login?t="));
  const http::HttpResponse ask = Get(link);
  EXPECT_EQ(ask.status, 200);
  EXPECT_THAT(ask.body, Not(HasSubstr("password")));
  EXPECT_TRUE(connector_.begun.empty());  // opening a link does nothing yet
  const http::HttpResponse leave = Post(StrCat("t=", TicketOf(link)));
  ASSERT_EQ(connector_.begun.size(), 1u);
  EXPECT_EQ(connector_.begun[0].name(), "u1");
  EXPECT_EQ(connector_.begun[0].subject(), "");
  EXPECT_EQ(connector_.begun[0].redirect_uri(), "http://127.0.0.1:8931/oauth/callback");
  EXPECT_EQ(leave.headers.Get("Refresh"), "0; url=https://as.example/authorize?a=1&b=2");
  const std::string set(leave.headers.Get("Set-Cookie"));
  EXPECT_THAT(set, HasSubstr("HttpOnly"));
  EXPECT_THAT(set, HasSubstr("SameSite=Lax"));
  const std::string cookie = set.substr(0, set.find(';'));
  const http::HttpResponse back =
      Get("http://127.0.0.1:8931/oauth/callback?code=c&state=s&iss=https%3A%2F%2Fas", cookie);
  EXPECT_EQ(back.status, 200);
  ASSERT_EQ(connector_.finished.size(), 1u);
  EXPECT_EQ(connector_.finished[0].binding(), connector_.begun[0].binding());
  EXPECT_EQ(connector_.finished[0].code(), "c");
  EXPECT_TRUE(connector_.finished[0].has_iss());
  // Another browser has not the cookie, so its answer is bound to something else.
  Get("http://127.0.0.1:8931/oauth/callback?code=c&state=s");
  EXPECT_NE(connector_.finished[1].binding(), connector_.begun[0].binding());
  EXPECT_FALSE(connector_.finished[1].has_iss());
}

TEST_F(LoginEdgeTest, OnlyTheOneWhoAskedMayUseALink) {
  const std::string link = edge_->LinkFor(Who("bob", "viewer"), "u1", "docs", true);
  EXPECT_THAT(Get(link).body, HasSubstr("password"));
  const std::string ticket = TicketOf(link);
  EXPECT_EQ(Post(StrCat("t=", ticket)).status, 403);
  EXPECT_EQ(Post(StrCat("t=", ticket, "&key=alice-secret-0123456789")).status, 403);
  EXPECT_EQ(Post(StrCat("t=", ticket, "&key=wrong-wrong-wrong-wrong")).status, 403);
  EXPECT_TRUE(connector_.begun.empty());
  EXPECT_EQ(Post(StrCat("t=", ticket, "&key=bob-secret-012345678900")).status, 200);
  ASSERT_EQ(connector_.begun.size(), 1u);
  EXPECT_EQ(connector_.begun[0].subject(), "bob");
  loopback_ = false;
  const std::string local = edge_->LinkFor(Who("local", "admin"), "u1", "docs", false);
  EXPECT_THAT(Get(local).body, HasSubstr("password"));
}

TEST_F(LoginEdgeTest, ASharedLoginIsAnOperators) {
  EXPECT_EQ(edge_->LinkFor(Who("bob", "viewer"), "u1", "docs", false), "");
  EXPECT_NE(edge_->LinkFor(Who("alice", "operator"), "u1", "docs", false), "");
}

TEST_F(LoginEdgeTest, WhatIsNotOursIsRefused) {
  for (const char* url :
       {"http://x/oauth/login", "http://x/oauth/login?t=", "http://x/oauth/login?t=abc",
        "http://x/oauth/login?t=a&t=b", "http://x/oauth/callback", "http://x/oauth/callback?code=c",
        "http://x/oauth/callback?state=a&state=b"}) {
    EXPECT_EQ(Get(url).status, 400) << url;
  }
  EXPECT_EQ(Post("t=abc").status, 400);
  EXPECT_EQ(Post(std::string(1 << 20, 'x')).status, 400);
  EXPECT_EQ(Request("DELETE", "http://x/oauth/login", "", "").status, 405);
  EXPECT_EQ(Request("POST", "http://x/oauth/callback?code=c&state=s", "", "").status, 405);
  EXPECT_TRUE(connector_.begun.empty());
  EXPECT_TRUE(connector_.finished.empty());
  // A sealed text of another purpose is no ticket.
  const std::string other = keys_.Seal(SealPurpose::kCall, "{}", "login-link");
  EXPECT_EQ(Get(StrCat("http://x/oauth/login?t=", other)).status, 400);
}

TEST_F(LoginEdgeTest, AFailedLoginSaysWhyWithoutMarkup) {
  connector_.refuse = MakeError("UPSTREAM_AUTH", "upstream:docs", "<b>no</b>");
  const http::HttpResponse page = Get("http://x/oauth/callback?code=c&state=s");
  EXPECT_EQ(page.status, 502);
  EXPECT_THAT(page.body, HasSubstr("&lt;b&gt;no"));
}

TEST_F(LoginEdgeTest, APublicAddressIsUsedEverywhere) {
  EXPECT_EQ(Get("http://x/oauth/client-metadata.json").status, 404);
  Use("https://gw.example/");
  EXPECT_THAT(edge_->LinkFor(Who("local", "admin"), "u", "n", false),
              HasSubstr("https://gw.example/oauth/login?t="));
  const http::HttpResponse document = Get("http://x/oauth/client-metadata.json");
  EXPECT_EQ(document.status, 200);
  EXPECT_THAT(document.body,
              HasSubstr(R"("client_id":"https://gw.example/oauth/client-metadata.json")"));
  EXPECT_THAT(document.body, HasSubstr("https://gw.example/oauth/callback"));
  const std::string link = edge_->LinkFor(Who("local", "admin"), "u", "n", false);
  const std::string cookie(Post(StrCat("t=", TicketOf(link))).headers.Get("Set-Cookie"));
  EXPECT_THAT(cookie, HasSubstr("__Host-metamcp_login="));
  EXPECT_THAT(cookie, HasSubstr("; Secure"));
  EXPECT_THAT(cookie, HasSubstr("Path=/;"));
}

}  // namespace
}  // namespace metamcp::gateway
