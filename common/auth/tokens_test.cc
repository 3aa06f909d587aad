#include "common/auth/tokens.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "common/auth/challenge.h"
#include "common/auth/jwt/issue.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"

namespace metamcp::auth {
namespace {

namespace asio = boost::asio;

class TokensTest : public ::testing::Test {
 protected:
  TokensTest()
      : tasks_(io_.get_executor()),
        client_(http::NewHttpClient(io_.get_executor(), http::HttpClientOptions())),
        tokens_(io_.get_executor(), tasks_, *client_, ring_,
                ResourceNames(ResourceNames::Options())),
        all_(*Authenticator::Create({}, true, ring_)) {
    options_.own.issuer = "meta-mcp";
    options_.own.audiences = {"meta-mcp"};
    options_.own.algorithms = {"HS256"};
    options_.scopes["default"] = {"mcp:use", "mcp:more"};
    tokens_.SetOptions(options_);
    all_->SetTokens(&tokens_);
  }
  // A token of our own ring.
  std::string Token(std::string audience, std::vector<std::string> scopes) {
    jwt::NewToken token;
    token.issuer = "meta-mcp";
    token.audience = std::move(audience);
    token.subject = "alice";
    token.scopes = std::move(scopes);
    token.expires_s = NowMicros() / 1'000'000 + 600;
    const std::string kid = ring_.Kids().front();
    return jwt::IssueToken(token, jwt::RingSecret(ring_, kid), kid);
  }
  // What Admit says to this bearer token at the default server.
  absl::StatusOr<std::shared_ptr<const Principal>> Admit(const std::string& token,
                                                         std::string_view server = "default") {
    const std::string header = token.empty() ? "" : StrCat("Bearer ", token);
    Credentials credentials;
    credentials.authorization = header;
    credentials.loopback = true;
    credentials.host = "127.0.0.1:8931";
    credentials.path = "/mcp";
    credentials.virtual_server = server;
    absl::StatusOr<std::shared_ptr<const Principal>> out = absl::CancelledError();
    asio::co_spawn(io_, all_->Admit(credentials),
                   [&out](std::exception_ptr, absl::StatusOr<std::shared_ptr<const Principal>> r) {
                     out = std::move(r);
                   });
    io_.restart();
    while (absl::IsCancelled(out.status()) && io_.run_one() > 0) continue;
    return out;
  }

  KeyRing ring_ = KeyRing::Ephemeral();
  asio::io_context io_{1};
  TaskGroup tasks_;
  std::unique_ptr<http::HttpClient> client_;
  Tokens tokens_;
  std::unique_ptr<Authenticator> all_;
  TokenOptions options_;
};

TEST_F(TokensTest, ATokenOfTheRingSpeaksForItsSubject) {
  const auto who = Admit(Token("meta-mcp", {"mcp:use", "mcp:more"}));
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ((*who)->subject, "alice");
  EXPECT_TRUE(Admit("").ok()) << "loopback needs none";
}

TEST_F(TokensTest, AWrongTokenIsRefusedWhereNoneIsNeededAndToldWhy) {
  const auto who = Admit("eyJhbGciOiJub25lIn0.e30.");
  ASSERT_FALSE(who.ok());
  const std::string challenge = ChallengeOf(who.status());
  EXPECT_NE(challenge.find("error=\"invalid_token\""), std::string::npos) << challenge;
  EXPECT_NE(challenge.find("scope=\"mcp:use mcp:more\""), std::string::npos) << challenge;
  EXPECT_EQ(challenge.find("resource_metadata"), std::string::npos)
      << "nobody issues tokens for us";
}

TEST_F(TokensTest, TheChallengeNamesWhereTokensComeFrom) {
  jwt::IssuerOptions idp;
  idp.name = "idp";
  idp.issuer = "https://login.example";
  options_.issuers = {idp};
  jwt::KeySourceOptions source;
  source.jwks_file = "/nonexistent/jwks.json";
  options_.sources = {source};
  all_ = *Authenticator::Create({}, false, ring_);
  all_->SetTokens(&tokens_);
  tokens_.SetOptions(options_);
  const auto who = Admit("");
  EXPECT_EQ(ChallengeOf(who.status()),
            "Bearer realm=\"meta-mcp\", scope=\"mcp:use mcp:more\", resource_metadata="
            "\"http://127.0.0.1:8931/.well-known/oauth-protected-resource/mcp\"");
  Credentials asked;
  asked.host = "127.0.0.1:8931";
  asked.path = "/mcp";
  asked.virtual_server = "default";
  EXPECT_EQ(
      tokens_.Metadata(asked),
      R"({"resource":"http://127.0.0.1:8931/mcp","authorization_servers":["https://login.example"],)"
      R"("scopes_supported":["mcp:use","mcp:more"],"bearer_methods_supported":["header"],)"
      R"("resource_name":"Meta-MCP: default"})");
  options_.sources.clear();
  options_.issuers.clear();
  tokens_.SetOptions(options_);  // ends the task
  io_.restart();
  io_.run();
}

TEST_F(TokensTest, OnlyTokensForThisAddressOrForAll) {
  const std::vector<std::string> scopes = {"mcp:use", "mcp:more"};
  EXPECT_TRUE(Admit(Token("http://127.0.0.1:8931/mcp", scopes)).ok());
  const auto other = Admit(Token("http://127.0.0.1:8931/servers/docs/mcp", scopes));
  EXPECT_EQ(other.status().message(), "the token is for another audience");
  EXPECT_FALSE(Admit(Token("https://api.example", scopes)).ok());
  EXPECT_FALSE(Admit(Token("http://127.0.0.1:8931/mcp", scopes), "docs").ok());
}

TEST_F(TokensTest, AScopeThatIsMissingIsNamedWithAllThatAreNeeded) {
  const auto who = Admit(Token("meta-mcp", {"mcp:use"}));
  EXPECT_TRUE(absl::IsPermissionDenied(who.status()));
  EXPECT_EQ(ChallengeOf(who.status()),
            "Bearer realm=\"meta-mcp\", error=\"insufficient_scope\", "
            "error_description=\"this server needs the scope mcp:more\", "
            "scope=\"mcp:use mcp:more\"");
  EXPECT_TRUE(Admit(Token("meta-mcp", {"mcp:use"}), "docs").ok()) << "which needs none";
}

TEST_F(TokensTest, TokensOfAKeyThatLeftTheRingAreRefused) {
  const std::string token = Token("meta-mcp", {"mcp:use", "mcp:more"});
  EXPECT_TRUE(Admit(token).ok());
  ring_.Replace(KeyRing::Ephemeral());
  EXPECT_FALSE(Admit(token).ok());
}

TEST_F(TokensTest, TwoCredentialsAtOnceAreRefused) {
  const std::string header = StrCat("Bearer ", Token("meta-mcp", {"mcp:use", "mcp:more"}));
  Credentials both;
  both.authorization = header;
  both.api_key = "another";
  both.virtual_server = "default";
  EXPECT_FALSE(all_->Authenticate(both).ok());
  both.api_key = {};
  EXPECT_TRUE(all_->Authenticate(both).ok());
  both.repeated = true;
  EXPECT_FALSE(all_->Authenticate(both).ok());
}

}  // namespace
}  // namespace metamcp::auth
