#include "services/connector/login/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "services/connector/login/authorized_client.h"
#include "services/connector/login/fake_auth_world.h"
#include "services/connector/test_util.h"

namespace metamcp::connector {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Shows what lies in the store.
class OpenStore final : public SecretStore {
 public:
  Awaitable<absl::StatusOr<std::vector<StoredSecret>>> Load(SecretKey key) override {
    return memory.Load(std::move(key));
  }
  Awaitable<absl::Status> Put(SecretKey key, std::string sealed) override {
    all += sealed;
    return memory.Put(std::move(key), std::move(sealed));
  }
  Awaitable<absl::Status> Remove(SecretKey key) override { return memory.Remove(std::move(key)); }
  Awaitable<absl::StatusOr<bool>> Claim(SecretKey key, std::string claimant,
                                        std::chrono::microseconds time) override {
    return memory.Claim(std::move(key), std::move(claimant), time);
  }
  Awaitable<absl::Status> Release(SecretKey key, std::string claimant) override {
    return memory.Release(std::move(key), std::move(claimant));
  }
  MemorySecretStore memory;
  std::string all;
};

class CredentialsTest : public ::testing::Test {
 protected:
  CredentialsTest() : core_(io_.get_executor(), tasks_, world_, vault_) {
    settings_.slug = "docs";
    settings_.domain = "upstream:docs";
    settings_.url = "https://mcp.example/mcp";
  }
  ~CredentialsTest() override { EXPECT_TRUE(Await(io_, tasks_.Join(std::chrono::seconds(10)))); }
  std::shared_ptr<Credentials> Make() {
    return std::make_shared<Credentials>(core_, settings_,
                                         [this](const std::string&) { ++changes_; });
  }
  // One request to the upstream; its HTTP status, or the reason of the error.
  static Awaitable<absl::Status> Ask(std::shared_ptr<Credentials> credentials,
                                     http::HttpClient& world, std::string owner, std::string* out) {
    AuthorizedClient client(world, credentials, std::move(owner));
    const CallContext ctx;
    http::HttpClientRequest request("POST", "https://mcp.example/mcp");
    auto sending = client.Send(ctx, std::move(request));
    auto response = co_await std::move(sending);
    const auto info = GetErrorInfo(response.status());
    *out = response.ok() ? std::to_string((*response)->status()) : info ? info->reason : "?";
    co_return absl::OkStatus();
  }
  std::string Call(std::shared_ptr<Credentials> credentials, std::string owner = "") {
    std::string out;
    EXPECT_TRUE(Await(io_, Ask(credentials, world_, std::move(owner), &out)).ok());
    return out;
  }
  std::vector<std::string> CallMany(std::shared_ptr<Credentials> credentials, int many) {
    std::vector<std::string> out(static_cast<size_t>(many));
    for (std::string& one : out) {
      boost::asio::co_spawn(io_, Ask(credentials, world_, "", &one), boost::asio::detached);
    }
    io_.restart();
    while (std::any_of(out.begin(), out.end(), [](const auto& one) { return one.empty(); })) {
      io_.run_one_for(std::chrono::seconds(5));
    }
    return out;
  }
  absl::StatusOr<Credentials::Begun> Begin(Credentials& credentials, std::string owner = "") {
    return Await(io_, credentials.BeginLogin(std::move(owner), "http://127.0.0.1:1/oauth/callback",
                                             "browser"));
  }
  absl::Status LogIn(Credentials& credentials, std::string owner = "") {
    const auto begun = Begin(credentials, std::move(owner));
    if (!begun.ok()) return begun.status();
    url_ = begun->authorization_url;
    auto login = core_.pending.Take(http::QueryParameter(url_.substr(url_.find('?') + 1), "state"));
    oauth::Callback callback;
    callback.code = "code";
    return Await(io_, credentials.FinishLogin(*std::move(login), std::move(callback)));
  }
  std::string Parameter(std::string_view name) const {
    return http::QueryParameter(url_.substr(url_.find('?') + 1), name);
  }

  boost::asio::io_context io_{1};
  TaskGroup tasks_{io_.get_executor()};
  FakeAuthWorld world_;
  OpenStore store_;
  const KeyRing keys_ = KeyRing::Ephemeral();
  Vault vault_{store_, keys_};
  LoginCore core_;
  Credentials::Settings settings_;
  std::string url_;
  int changes_ = 0;
};

TEST_F(CredentialsTest, AUserLogsInAndTheTokenGoesAlong) {
  RecordProperty("req", "M02-US-002.3");
  auto credentials = Make();
  world_.challenge_scope = "read";
  EXPECT_EQ(Call(credentials), "UPSTREAM_LOGIN_REQUIRED");
  EXPECT_EQ(credentials->StateOf(""), "needed");
  // Nobody is asked again until somebody logs in.
  const size_t before = world_.log.size();
  EXPECT_EQ(Call(credentials), "UPSTREAM_LOGIN_REQUIRED");
  EXPECT_EQ(world_.log.size(), before);
  ASSERT_TRUE(LogIn(*credentials).ok());
  EXPECT_EQ(Parameter("resource"), "https://mcp.example/mcp");
  EXPECT_EQ(Parameter("scope"), "read");
  EXPECT_EQ(Parameter("client_id"), "registered");
  const auto& token = world_.LastTo("/token");
  EXPECT_EQ(FakeAuthWorld::FormValue(token, "resource"), "https://mcp.example/mcp");
  EXPECT_EQ(oauth::CodeChallenge(FakeAuthWorld::FormValue(token, "code_verifier")),
            Parameter("code_challenge"));
  EXPECT_EQ(Call(credentials), "200");
  EXPECT_EQ(world_.log.back().authorization, "Bearer access-1");
  EXPECT_THAT(store_.all, Not(HasSubstr("access-1")));
  // After a start the stored login is used, by whoever has the same keys.
  EXPECT_EQ(Call(Make()), "200");
  EXPECT_EQ(world_.tokens, 1);
}

TEST_F(CredentialsTest, FiftyCallsAtExpiryRefreshOnce) {
  RecordProperty("req", "M02-US-002.3");
  auto credentials = Make();
  world_.expires_in = 0;
  ASSERT_TRUE(LogIn(*credentials).ok());
  ASSERT_EQ(Call(credentials), "200");
  // Refused by the upstream, which is how an unannounced expiry shows.
  world_.valid.clear();
  world_.delay = std::chrono::milliseconds(20);
  for (const std::string& one : CallMany(credentials, 50)) EXPECT_EQ(one, "200");
  EXPECT_EQ(world_.tokens, 2);
  // Announced: renewed before it ends, without a refused call.
  world_.expires_in = 1;
  world_.valid.clear();
  EXPECT_EQ(Call(credentials), "200");
  const size_t asked = world_.Count("mcp.example/mcp");
  auto waiting = Sleep(std::chrono::milliseconds(950));
  Await(io_, std::move(waiting));
  world_.expires_in = 3600;
  for (const std::string& one : CallMany(credentials, 50)) EXPECT_EQ(one, "200");
  EXPECT_EQ(world_.tokens, 4);
  EXPECT_EQ(world_.Count("mcp.example/mcp"), asked + 50);
}

TEST_F(CredentialsTest, ARevokedLoginIsForgottenAndAskedForAgain) {
  auto credentials = Make();
  ASSERT_TRUE(LogIn(*credentials).ok());
  ASSERT_EQ(Call(credentials), "200");
  world_.valid.clear();
  world_.refresh_token = "another";
  EXPECT_EQ(Call(credentials), "UPSTREAM_LOGIN_REQUIRED");
  EXPECT_EQ(Call(Make()), "UPSTREAM_LOGIN_REQUIRED");
  EXPECT_EQ(world_.Count("/register"), 1u);  // the client is not forgotten
  ASSERT_TRUE(LogIn(*credentials).ok());
  EXPECT_EQ(world_.Count("/register"), 1u);
  EXPECT_EQ(Call(credentials), "200");
}

TEST_F(CredentialsTest, AnAbsentServerCostsNoLogin) {
  auto credentials = Make();
  ASSERT_TRUE(LogIn(*credentials).ok());
  ASSERT_EQ(Call(credentials), "200");
  world_.valid.clear();
  world_.token_status = 503;
  EXPECT_EQ(Call(credentials), "UPSTREAM_UNAVAILABLE");
  world_.token_status = 0;
  EXPECT_EQ(Call(credentials), "200");
}

TEST_F(CredentialsTest, AFreshTokenThatIsRefusedEndsTheMatter) {
  auto credentials = Make();
  ASSERT_TRUE(LogIn(*credentials).ok());
  world_.valid.clear();  // before it was ever taken
  EXPECT_EQ(Call(credentials), "UPSTREAM_LOGIN_REQUIRED");
  EXPECT_EQ(world_.tokens, 1);
}

TEST_F(CredentialsTest, AnotherIssuerNeedsAnotherLogin) {
  auto credentials = Make();
  ASSERT_TRUE(LogIn(*credentials).ok());
  ASSERT_EQ(Call(credentials), "200");
  world_.issuer = "https://other.example";
  world_.valid.clear();
  EXPECT_EQ(Call(credentials), "UPSTREAM_LOGIN_REQUIRED");
  EXPECT_EQ(world_.Count("other.example/token"), 0u);  // nothing of ours goes there unasked
  ASSERT_TRUE(LogIn(*credentials).ok());
  EXPECT_EQ(world_.Count("other.example/register"), 1u);
  EXPECT_EQ(Call(credentials), "200");
}

TEST_F(CredentialsTest, AClientMadeByHandIsNotShownToAnotherIssuer) {
  settings_.auth.client.id = "mine";
  settings_.auth.client.secret = "secret";
  auto credentials = Make();
  ASSERT_TRUE(LogIn(*credentials).ok());
  ASSERT_EQ(Call(credentials), "200");
  EXPECT_EQ(world_.Count("/register"), 0u);
  world_.issuer = "https://evil.example";
  const absl::Status status = LogIn(*credentials);
  EXPECT_THAT(std::string(status.message()), HasSubstr("moved"));
  EXPECT_EQ(world_.Count("evil.example/token"), 0u);
  settings_.auth.authorization_server = "https://as.example";
  EXPECT_THAT(std::string(LogIn(*Make()).message()), HasSubstr("authorizationServer"));
}

TEST_F(CredentialsTest, MissingScopesAreAskedForOnceOnTopOfTheOthers) {
  auto credentials = Make();
  world_.challenge_scope = "read";
  EXPECT_EQ(Call(credentials), "UPSTREAM_LOGIN_REQUIRED");
  ASSERT_TRUE(LogIn(*credentials).ok());
  world_.scopes["access-1"] = "read";
  ASSERT_EQ(Call(credentials), "200");
  world_.needed_scope = "write";
  EXPECT_EQ(Call(credentials), "UPSTREAM_LOGIN_REQUIRED");
  EXPECT_EQ(credentials->StateOf(""), "more");
  ASSERT_TRUE(LogIn(*credentials).ok());
  EXPECT_EQ(Parameter("scope"), "read write");
  // The server does not grant it: no third round.
  world_.scopes["access-2"] = "read";
  EXPECT_EQ(Call(credentials), "UPSTREAM_AUTH");
  EXPECT_EQ(credentials->StateOf(""), "present");
}

TEST_F(CredentialsTest, AMachineGetsItsTokenByItself) {
  RecordProperty("req", "M02-US-002.3");
  settings_.auth.grant = "client_credentials";
  settings_.auth.client.id = "machine";
  settings_.auth.client.secret = "secret";
  auto credentials = Make();
  world_.delay = std::chrono::milliseconds(10);
  for (const std::string& one : CallMany(credentials, 20)) EXPECT_EQ(one, "200");
  EXPECT_EQ(world_.tokens, 1);
  const auto& token = world_.LastTo("/token");
  EXPECT_EQ(FakeAuthWorld::FormValue(token, "grant_type"), "client_credentials");
  EXPECT_EQ(FakeAuthWorld::FormValue(token, "resource"), "https://mcp.example/mcp");
  EXPECT_EQ(token.authorization, "Basic " + Base64Encode("machine:secret"));
  world_.valid.clear();
  EXPECT_EQ(Call(credentials), "200");
  EXPECT_EQ(world_.tokens, 2);
  world_.valid.clear();
  world_.token_error = "invalid_client";
  EXPECT_EQ(Call(credentials), "UPSTREAM_AUTH");
  EXPECT_FALSE(Begin(*credentials).ok());
}

TEST_F(CredentialsTest, EveryPrincipalHasItsOwnLogin) {
  settings_.auth.per_principal = true;
  auto credentials = Make();
  ASSERT_TRUE(LogIn(*credentials, "alice").ok());
  EXPECT_EQ(Call(credentials, "alice"), "200");
  EXPECT_EQ(Call(credentials, "bob"), "UPSTREAM_LOGIN_REQUIRED");
  EXPECT_EQ(Call(credentials), "UPSTREAM_LOGIN_REQUIRED");
  ASSERT_TRUE(LogIn(*credentials, "bob").ok());
  EXPECT_EQ(Call(credentials, "bob"), "200");
  EXPECT_EQ(world_.log.back().authorization, "Bearer access-2");
  ASSERT_TRUE(Await(io_, credentials->Logout("alice")).ok());
  EXPECT_EQ(world_.LastTo("/revoke").method, "POST");
  EXPECT_EQ(Call(credentials, "alice"), "UPSTREAM_LOGIN_REQUIRED");
  EXPECT_EQ(Call(credentials, "bob"), "200");
}

TEST_F(CredentialsTest, WhatAnotherProcessRenewedIsTaken) {
  auto one = Make();
  ASSERT_TRUE(LogIn(*one).ok());
  ASSERT_EQ(Call(one), "200");
  auto two = Make();
  ASSERT_EQ(Call(two), "200");
  world_.valid.clear();
  ASSERT_EQ(Call(one), "200");  // rotates the refresh token that both have
  world_.valid.erase("access-1");
  EXPECT_EQ(Call(two), "200");
  EXPECT_EQ(world_.tokens, 2);
}

TEST_F(CredentialsTest, TwoProcessesRefreshOnceBetweenThem) {
  RecordProperty("req", "M02-US-002.3");
  auto one = Make();
  ASSERT_TRUE(LogIn(*one).ok());
  ASSERT_EQ(Call(one), "200");
  auto two = Make();
  ASSERT_EQ(Call(two), "200");
  world_.delay = std::chrono::milliseconds(20);
  for (int round = 0; round < 3; ++round) {
    // Both are refused at the same moment, and both have the same refresh token.
    world_.valid.clear();
    std::vector<std::string> out(50);
    for (size_t i = 0; i < out.size(); ++i) {
      boost::asio::co_spawn(io_, Ask(i % 2 == 0 ? one : two, world_, "", &out[i]),
                            boost::asio::detached);
    }
    ASSERT_TRUE(RunUntilTrue(io_, [&out] {
      return std::none_of(out.begin(), out.end(), [](const auto& text) { return text.empty(); });
    }));
    for (const std::string& each : out) EXPECT_EQ(each, "200");
    EXPECT_EQ(world_.tokens, 2 + round);
  }
}

TEST_F(CredentialsTest, WhileAnotherProcessRenewsTheOldTokenDoes) {
  auto credentials = Make();
  world_.expires_in = 1;
  ASSERT_TRUE(LogIn(*credentials).ok());
  const SecretKey key{"default", "token", "", "https://mcp.example/mcp", ""};
  ASSERT_TRUE(*Await(io_, store_.Claim(key, "another", std::chrono::hours(1))));
  auto waiting = Sleep(std::chrono::milliseconds(920));
  Await(io_, std::move(waiting));
  EXPECT_EQ(Call(credentials), "200");
  EXPECT_EQ(world_.tokens, 1);
  // The other gave up; then it is renewed here.
  ASSERT_TRUE(Await(io_, store_.Release(key, "another")).ok());
  auto expiring = Sleep(std::chrono::milliseconds(120));
  Await(io_, std::move(expiring));
  EXPECT_EQ(Call(credentials), "200");
  EXPECT_EQ(world_.tokens, 2);
}

TEST_F(CredentialsTest, WithoutItsTurnNothingIsRenewedTwice) {
  RecordProperty("req", "M02-US-002.3");
  auto credentials = Make();
  ASSERT_TRUE(LogIn(*credentials).ok());
  ASSERT_EQ(Call(credentials), "200");
  core_.turn = std::chrono::milliseconds(200);
  const SecretKey key{"default", "token", "", "https://mcp.example/mcp", ""};
  ASSERT_TRUE(*Await(io_, store_.Claim(key, "another", std::chrono::hours(1))));
  world_.valid.clear();
  EXPECT_EQ(Call(credentials), "UPSTREAM_AUTH");
  EXPECT_EQ(world_.tokens, 1);
  ASSERT_TRUE(Await(io_, store_.Release(key, "another")).ok());
  EXPECT_EQ(Call(credentials), "200");
  EXPECT_EQ(world_.tokens, 2);
}

TEST_F(CredentialsTest, ForeignMetadataIsNotFollowed) {
  auto credentials = Make();
  world_.resource = "https://mcp.example/other";
  EXPECT_EQ(Call(credentials), "UPSTREAM_AUTH");
  world_.resource = "https://mcp.example/mcp";
  world_.issuer = "http://as.example";
  EXPECT_EQ(Call(credentials), "UPSTREAM_AUTH");
  EXPECT_FALSE(Begin(*credentials).ok());
  EXPECT_EQ(world_.Count("http://as.example"), 0u);
}

TEST_F(CredentialsTest, ALoginWaitedForWakesTheCall) {
  auto credentials = Make();
  EXPECT_EQ(Call(credentials), "UPSTREAM_LOGIN_REQUIRED");
  bool waited = false;
  auto wait = [](std::shared_ptr<Credentials> c, bool* out) -> Awaitable<void> {
    auto waiting = c->WaitLogin("", Credentials::Clock::now() + std::chrono::seconds(20));
    *out = co_await std::move(waiting);
  };
  boost::asio::co_spawn(io_, wait(credentials, &waited), boost::asio::detached);
  ASSERT_TRUE(LogIn(*credentials).ok());
  while (!waited) {
    io_.restart();
    io_.run_one_for(std::chrono::seconds(1));
  }
  // A login that fails ends the waiting, too.
  ASSERT_TRUE(Await(io_, credentials->Logout("")).ok());
  bool over = false;
  auto give_up = [](std::shared_ptr<Credentials> c, bool* out) -> Awaitable<void> {
    auto waiting = c->WaitLogin("", Credentials::Clock::now() + std::chrono::seconds(20));
    const bool in = co_await std::move(waiting);
    *out = !in;
  };
  boost::asio::co_spawn(io_, give_up(credentials, &over), boost::asio::detached);
  world_.token_error = "access_denied";
  EXPECT_FALSE(LogIn(*credentials).ok());
  while (!over) {
    io_.restart();
    io_.run_one_for(std::chrono::seconds(1));
  }
}

TEST(PendingLoginsTest, AStateIsGoodOnce) {
  PendingLogins pending;
  PendingLogin login;
  login.owner = "x";
  const std::string state = pending.Add(login);
  EXPECT_GE(state.size(), 43u);
  EXPECT_FALSE(pending.Take("other").has_value());
  EXPECT_EQ(pending.Take(state)->owner, "x");
  EXPECT_FALSE(pending.Take(state).has_value());
  const std::string oldest = pending.Add(login);
  for (size_t i = 0; i < PendingLogins::kMax; ++i) pending.Add(login);
  EXPECT_FALSE(pending.Take(oldest).has_value());
}

}  // namespace
}  // namespace metamcp::connector
