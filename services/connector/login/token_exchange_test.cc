#include "services/connector/login/token_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

constexpr char kExchange[] = "urn:ietf:params:oauth:grant-type:token-exchange";

class TokenExchangeTest : public ::testing::Test {
 protected:
  TokenExchangeTest() : core_(io_.get_executor(), tasks_, world_, vault_) {
    settings_.slug = "docs";
    settings_.domain = "upstream:docs";
    settings_.url = "https://mcp.example/mcp";
    settings_.auth.grant = "token_exchange";
    settings_.auth.authorization_server = "https://as.example";
    settings_.auth.client.id = "gw";
    settings_.auth.client.secret = "gw-secret";
  }
  ~TokenExchangeTest() override { EXPECT_TRUE(Await(io_, tasks_.Join(std::chrono::seconds(10)))); }
  std::shared_ptr<TokenExchange> Make() {
    return std::make_shared<TokenExchange>(core_, settings_);
  }
  static Awaitable<absl::Status> Ask(std::shared_ptr<TokenExchange> signer, http::HttpClient& world,
                                     std::string owner, std::string* out) {
    AuthorizedClient client(world, signer, std::move(owner));
    const CallContext ctx;
    http::HttpClientRequest request("POST", "https://mcp.example/mcp");
    auto sending = client.Send(ctx, std::move(request));
    auto response = co_await std::move(sending);
    if (response.ok()) {
      *out = std::to_string((*response)->status());
      co_return absl::OkStatus();
    }
    const auto info = GetErrorInfo(response.status());
    *out = info ? info->reason : std::string(response.status().message());
    co_return response.status();
  }
  std::string Send(const std::shared_ptr<TokenExchange>& signer, const std::string& owner) {
    std::string out;
    last_ = Await(io_, Ask(signer, world_, owner, &out));
    return out;
  }

  boost::asio::io_context io_{1};
  TaskGroup tasks_{io_.get_executor()};
  FakeAuthWorld world_;
  MemorySecretStore store_;
  KeyRing ring_ = KeyRing::Ephemeral();
  Vault vault_{store_, ring_};
  LoginCore core_;
  Credentials::Settings settings_;
  absl::Status last_;
};

TEST_F(TokenExchangeTest, ExchangesTheCallersTokenAndSendsOnlyWhatCameBack) {
  RecordProperty("req", "M-B4");
  settings_.auth.audience = "docs-api";
  settings_.auth.scopes = "read";
  const auto signer = Make();
  signer->Offer("alice", "alices-own-token");
  EXPECT_EQ(Send(signer, "alice"), "200");
  const auto& asked = world_.LastTo("/token");
  EXPECT_EQ(FakeAuthWorld::FormValue(asked, "grant_type"), kExchange);
  EXPECT_EQ(FakeAuthWorld::FormValue(asked, "subject_token"), "alices-own-token");
  EXPECT_EQ(FakeAuthWorld::FormValue(asked, "subject_token_type"),
            "urn:ietf:params:oauth:token-type:access_token");
  EXPECT_EQ(FakeAuthWorld::FormValue(asked, "audience"), "docs-api");
  EXPECT_EQ(FakeAuthWorld::FormValue(asked, "scope"), "read");
  for (const auto& sent : world_.log) {
    if (sent.url.find("mcp.example") == std::string::npos) continue;
    EXPECT_THAT(sent.authorization + sent.body, Not(HasSubstr("alices-own-token")));
  }
  EXPECT_EQ(world_.LastTo("mcp.example/mcp").authorization, "Bearer access-1");
}

TEST_F(TokenExchangeTest, OneExchangeForAllWhoAskAndForAsLongAsItLasts) {
  const auto signer = Make();
  world_.delay = std::chrono::milliseconds(20);
  signer->Offer("alice", "a");
  std::string out[8];
  for (std::string& each : out) {
    boost::asio::co_spawn(io_, Ask(signer, world_, "alice", &each), boost::asio::detached);
  }
  EXPECT_EQ(Send(signer, "alice"), "200");
  EXPECT_EQ(Send(signer, "alice"), "200");
  for (const std::string& each : out) EXPECT_EQ(each, "200");
  EXPECT_EQ(world_.tokens, 1);
  // The same person's next token is no reason to ask again.
  signer->Offer("alice", "b");
  EXPECT_EQ(Send(signer, "alice"), "200");
  EXPECT_EQ(world_.tokens, 1);
}

TEST_F(TokenExchangeTest, EverybodyHasTheirOwn) {
  const auto signer = Make();
  signer->Offer("alice", "a");
  signer->Offer("bob", "b");
  EXPECT_EQ(Send(signer, "alice"), "200");
  EXPECT_EQ(Send(signer, "bob"), "200");
  EXPECT_EQ(world_.LastTo("mcp.example/mcp").authorization, "Bearer access-2");
  EXPECT_EQ(Send(signer, "alice"), "200");
  EXPECT_EQ(world_.LastTo("mcp.example/mcp").authorization, "Bearer access-1");
  EXPECT_EQ(Send(signer, "carol"), "UPSTREAM_AUTH");
}

TEST_F(TokenExchangeTest, ListsAreReadAsTheClientItself) {
  const auto signer = Make();
  EXPECT_EQ(Send(signer, ""), "200");
  const auto& asked = world_.LastTo("/token");
  EXPECT_EQ(FakeAuthWorld::FormValue(asked, "grant_type"), "client_credentials");
  EXPECT_EQ(FakeAuthWorld::FormValue(asked, "resource"), "https://mcp.example/mcp");
}

TEST_F(TokenExchangeTest, ATokenThatEndsOrIsRefusedIsExchangedAgain) {
  const auto signer = Make();
  signer->Offer("alice", "a");
  EXPECT_EQ(Send(signer, "alice"), "200");
  world_.valid.clear();
  EXPECT_EQ(Send(signer, "alice"), "200");
  EXPECT_EQ(world_.tokens, 2);
  // What was just given and is refused is not asked for for ever.
  world_.resource = "https://elsewhere.example";
  world_.needed_scope = "";
  signer->Offer("bob", "b");
  world_.expires_in = 0;
  EXPECT_EQ(Send(signer, "bob"), "200");
}

TEST_F(TokenExchangeTest, TheServersRefusalIsTheCallersError) {
  const auto signer = Make();
  signer->Offer("alice", "expired");
  world_.token_error = "invalid_grant";
  EXPECT_EQ(Send(signer, "alice"), "UPSTREAM_AUTH");
  const size_t asked = world_.Count("/token");
  // A storm of calls is no storm of exchanges.
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Send(signer, "alice"), "UPSTREAM_AUTH");
  EXPECT_EQ(world_.Count("/token"), asked);
  EXPECT_THAT(std::string(last_.message()), Not(HasSubstr("expired-token")));
  // Another token may be taken at once.
  world_.token_error.clear();
  signer->Offer("alice", "fresh");
  EXPECT_EQ(Send(signer, "alice"), "200");
}

TEST_F(TokenExchangeTest, AccountsAreBounded) {
  const auto signer = Make();
  for (size_t i = 0; i < TokenExchange::kAccountsMax + 100; ++i) {
    signer->Offer("user" + std::to_string(i), "t");
  }
  EXPECT_EQ(signer->accounts(), TokenExchange::kAccountsMax);
}

}  // namespace
}  // namespace metamcp::connector
