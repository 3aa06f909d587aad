#include "common/auth/oauth/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/key_ring.h"

namespace metamcp::oauth {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ServerMetadata Server() {
  ServerMetadata server;
  server.issuer = "https://as.example";
  server.authorization_endpoint = "https://as.example/authorize?tenant=1";
  server.token_endpoint = "https://as.example/token";
  server.code_challenge_methods = {"S256"};
  return server;
}

TEST(OAuthRequestTest, PkceIsS256) {
  // RFC 7636, appendix B.
  EXPECT_EQ(CodeChallenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
  EXPECT_NE(MakePkce().verifier, MakePkce().verifier);
  EXPECT_GE(MakePkce().verifier.size(), 43u);
  ServerMetadata server = Server();
  EXPECT_TRUE(CheckPkce(server).ok());
  server.code_challenge_methods = {"plain"};
  EXPECT_FALSE(CheckPkce(server).ok());
  server.code_challenge_methods.clear();
  EXPECT_FALSE(CheckPkce(server).ok());
}

TEST(OAuthRequestTest, ScopesAreChosenInOrder) {
  ResourceMetadata resource;
  ServerMetadata server = Server();
  EXPECT_EQ(InitialScopes("", "", resource, server, true), "");
  resource.scopes_supported = {"a", "b"};
  EXPECT_EQ(InitialScopes("", "", resource, server, true), "a b");
  EXPECT_EQ(InitialScopes("", "c", resource, server, true), "c");
  EXPECT_EQ(InitialScopes("d", "c", resource, server, true), "d");
  server.scopes_supported = {"offline_access"};
  EXPECT_EQ(InitialScopes("", "c", resource, server, true), "c offline_access");
  EXPECT_EQ(InitialScopes("", "c", resource, server, false), "c");
  EXPECT_EQ(UnionScopes("a  b", "b c a"), "a b c");
  EXPECT_TRUE(HasScopes("a b", "b"));
  EXPECT_TRUE(HasScopes("", ""));
  EXPECT_FALSE(HasScopes("ab", "a"));
}

TEST(OAuthRequestTest, ResourceIsSentByteForByte) {
  AuthorizationRequest request;
  request.client_id = "me&you";
  request.redirect_uri = "http://127.0.0.1:1/oauth/callback";
  request.challenge = "c";
  request.state = "s";
  request.resource = "https://h.example";
  const std::string url = AuthorizationUrl(Server(), request);
  EXPECT_THAT(url, HasSubstr("https://as.example/authorize?tenant=1&response_type=code"));
  EXPECT_THAT(url, HasSubstr("&client_id=me%26you&"));
  EXPECT_THAT(url, testing::EndsWith("&resource=https%3A%2F%2Fh.example"));
  request.scope = "x offline_access";
  EXPECT_THAT(AuthorizationUrl(Server(), request), HasSubstr("prompt=consent"));
}

TEST(OAuthRequestTest, IssuerTableOfRfc9207) {
  ServerMetadata server = Server();
  Callback callback;
  callback.code = "c";
  EXPECT_TRUE(CheckCallback(callback, server).ok());
  callback.has_iss = true;
  callback.iss = "https://as.example";
  EXPECT_TRUE(CheckCallback(callback, server).ok());
  for (const char* other : {"https://as.example/", "https://AS.example", "https://evil", ""}) {
    callback.iss = other;
    callback.error = "access_denied";
    callback.error_description = "visit https://evil";
    const absl::Status status = CheckCallback(callback, server);
    EXPECT_FALSE(status.ok()) << other;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("evil")));
  }
  server.iss_parameter = true;
  callback = Callback();
  callback.code = "c";
  EXPECT_FALSE(CheckCallback(callback, server).ok());
  callback.has_iss = true;
  callback.iss = server.issuer;
  EXPECT_TRUE(CheckCallback(callback, server).ok());
  callback.code.clear();
  EXPECT_FALSE(CheckCallback(callback, server).ok());
  callback.error = "access_denied";
  EXPECT_THAT(std::string(CheckCallback(callback, server).message()), HasSubstr("access_denied"));
}

TEST(OAuthRequestTest, RegistersAsWhatWeAre) {
  EXPECT_THAT(RegistrationBody("http://127.0.0.1:9/oauth/callback", Server(), ""),
              HasSubstr(R"("application_type":"native")"));
  const std::string web = RegistrationBody("https://gw.example/oauth/callback", Server(), "a");
  EXPECT_THAT(web, HasSubstr(R"("application_type":"web")"));
  EXPECT_THAT(web, HasSubstr(R"("scope":"a")"));
  ServerMetadata server = Server();
  server.token_auth_methods = {"none"};
  EXPECT_THAT(RegistrationBody("https://gw/c", server, ""),
              HasSubstr(R"("token_endpoint_auth_method":"none")"));
  server.scopes_supported = {"openid", "b"};
  EXPECT_THAT(RegistrationBody("https://gw/c", server, "a b"), HasSubstr(R"("scope":"b")"));
  EXPECT_THAT(RegistrationBody("https://gw/c", server, "a"), Not(HasSubstr("scope")));
  EXPECT_FALSE(ParseRegistration(R"({"client_secret":"s"})").ok());
  const auto client =
      ParseRegistration(R"({"client_id":"i","client_secret":"s","client_secret_expires_at":9})");
  ASSERT_TRUE(client.ok());
  EXPECT_EQ(client->secret_expires_us, 9'000'000);
}

TEST(OAuthRequestTest, ClientAuthenticationFollowsTheServer) {
  ServerMetadata server = Server();
  ClientIdentity client;
  client.id = "i d";
  EXPECT_EQ(*ChooseAuthMethod(client, server), "none");
  client.secret = "s:%";
  EXPECT_EQ(*ChooseAuthMethod(client, server), "client_secret_basic");
  Form form;
  std::string header;
  ASSERT_TRUE(AddClientAuth(client, server, 0, &form, &header).ok());
  EXPECT_EQ(header, "Basic " + Base64Encode("i%20d:s%3A%25"));
  EXPECT_TRUE(form.empty());
  server.token_auth_methods = {"client_secret_post"};
  header.clear();
  ASSERT_TRUE(AddClientAuth(client, server, 0, &form, &header).ok());
  EXPECT_EQ(header, "");
  EXPECT_EQ(EncodeForm(form), "client_id=i%20d&client_secret=s%3A%25");
  server.token_auth_methods = {"private_key_jwt", "tls_client_auth"};
  EXPECT_FALSE(ChooseAuthMethod(client, server).ok());
  server.token_auth_methods = {"none", "private_key_jwt"};
  EXPECT_EQ(*ChooseAuthMethod(client, server), "none");
}

TEST(OAuthRequestTest, TokensThatCannotBeSentAreRefused) {
  const int64_t now = 1'000'000;
  const auto token = ParseToken(
      R"({"access_token":"t","token_type":"bearer","expires_in":60,"refresh_token":"r","scope":"a b"})",
      now);
  ASSERT_TRUE(token.ok());
  EXPECT_EQ(token->expires_us, now + 60'000'000);
  EXPECT_EQ(token->scope, "a b");
  EXPECT_EQ(ParseToken(R"({"access_token":"t","token_type":"Bearer","expires_in":"60"})", now)
                ->expires_us,
            now + 60'000'000);
  for (const char* text : {"[]", "{}", R"({"access_token":"","token_type":"Bearer"})",
                           R"({"access_token":"a b","token_type":"Bearer"})",
                           R"({"access_token":"a\r\nX: y","token_type":"Bearer"})",
                           R"({"access_token":"t","token_type":"mac"})", R"({"access_token":"t"})",
                           R"({"access_token":7,"token_type":"Bearer"})"}) {
    EXPECT_FALSE(ParseToken(text, now).ok()) << text;
  }
  for (const char* lifetime : {"-1", "0", "null", "1e999", "\"x\""}) {
    const auto odd = ParseToken(std::string(R"({"access_token":"t","token_type":"Bearer",)") +
                                    "\"expires_in\":" + lifetime + "}",
                                now);
    EXPECT_TRUE(!odd.ok() || odd->expires_us == 0) << lifetime;
  }
  const auto long_lived = ParseToken(
      R"({"access_token":"t","token_type":"Bearer","expires_in":9223372036854775807})", now);
  ASSERT_TRUE(long_lived.ok());
  EXPECT_GT(long_lived->expires_us, now);
  EXPECT_EQ(ParseTokenError(R"({"error":"invalid_grant\n"})").code, "invalid_grant ");
  EXPECT_EQ(ParseTokenError("<html>").code, "");
}

}  // namespace
}  // namespace metamcp::oauth
