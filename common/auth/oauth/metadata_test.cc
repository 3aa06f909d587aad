#include "common/auth/oauth/metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace metamcp::oauth {
namespace {

using ::testing::ElementsAre;

TEST(MetadataTest, PlacesInTheOrderOfTheSpecification) {
  RecordProperty("req", "M02-US-002.3");
  EXPECT_THAT(*ResourceMetadataUrls("https://h.example/mcp"),
              ElementsAre("https://h.example/.well-known/oauth-protected-resource/mcp",
                          "https://h.example/.well-known/oauth-protected-resource"));
  EXPECT_THAT(*ResourceMetadataUrls("https://h.example:8443"),
              ElementsAre("https://h.example:8443/.well-known/oauth-protected-resource"));
  EXPECT_THAT(*ServerMetadataUrls("https://as.example"),
              ElementsAre("https://as.example/.well-known/oauth-authorization-server",
                          "https://as.example/.well-known/openid-configuration"));
  EXPECT_THAT(*ServerMetadataUrls("https://as.example/t/1/"),
              ElementsAre("https://as.example/.well-known/oauth-authorization-server/t/1",
                          "https://as.example/.well-known/openid-configuration/t/1",
                          "https://as.example/t/1/.well-known/openid-configuration"));
  EXPECT_FALSE(ServerMetadataUrls("ftp://x").ok());
}

TEST(MetadataTest, ResourceMustBeTheUpstream) {
  const std::string at = "https://h/.well-known/oauth-protected-resource";
  EXPECT_TRUE(ResourceMatches("https://h/mcp", "https://h/mcp", at));
  EXPECT_TRUE(ResourceMatches("https://h", "https://h/", at));
  EXPECT_TRUE(ResourceMatches("https://h/mcp/", "https://h/mcp", at));
  // A parent speaks for its children only from its own address.
  EXPECT_TRUE(ResourceMatches("https://h", "https://h/mcp", at));
  EXPECT_TRUE(ResourceMatches("https://h/", "https://h/mcp", at));
  EXPECT_FALSE(ResourceMatches("https://h", "https://h/evil/mcp", "https://h/evil/metadata"));
  EXPECT_FALSE(ResourceMatches("https://h/a", "https://h/a/mcp", at));
  EXPECT_TRUE(ResourceMatches("https://h/a", "https://h/a/mcp", at + "/a"));
  EXPECT_FALSE(ResourceMatches("https://h/mc", "https://h/mcp", at + "/mc"));
  EXPECT_FALSE(ResourceMatches("https://other/mcp", "https://h/mcp", at));
  EXPECT_FALSE(ResourceMatches("http://h/mcp", "https://h/mcp", at));
  EXPECT_FALSE(ResourceMatches("https://h/MCP", "https://h/mcp", at));
  EXPECT_FALSE(ResourceMatches("", "https://h/mcp", at));
}

TEST(MetadataTest, HostileDocumentsAreRefused) {
  for (const char* text :
       {"", "[]", "null", "{", R"({"resource":1})", R"({"authorization_servers":["x"]})",
        R"({"resource":"r","authorization_servers":"x"})",
        R"({"resource":"r","authorization_servers":[1]})", R"({"resource":"r","resource":"s"})"}) {
    EXPECT_FALSE(ParseResourceMetadata(text).ok()) << text;
  }
  for (const char* text : {"{}", R"({"issuer":"i"})", R"({"token_endpoint":"t"})",
                           R"({"issuer":"i","token_endpoint":["t"]})",
                           R"({"issuer":"i","token_endpoint":"t","scopes_supported":{}})"}) {
    EXPECT_FALSE(ParseServerMetadata(text).ok()) << text;
  }
  std::string many = R"({"resource":"r","authorization_servers":["a")";
  for (int i = 0; i < 2000; ++i) many += ",\"a\"";
  EXPECT_FALSE(ParseResourceMetadata(many + "]}").ok());
}

TEST(MetadataTest, ReadsServers) {
  const auto server = ParseServerMetadata(
      R"({"issuer":"https://as","token_endpoint":"https://as/t","scopes_supported":null,
          "authorization_response_iss_parameter_supported":true,
          "client_id_metadata_document_supported":true,
          "code_challenge_methods_supported":["plain","S256"]})");
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE(server->iss_parameter);
  EXPECT_TRUE(server->client_id_metadata_document);
  EXPECT_THAT(server->code_challenge_methods, ElementsAre("plain", "S256"));
  EXPECT_EQ(AssumedServer("https://h").registration_endpoint, "https://h/register");
}

}  // namespace
}  // namespace metamcp::oauth
