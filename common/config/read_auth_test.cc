#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/diff.h"
#include "common/config/load.h"
#include "common/config/render.h"

namespace metamcp::config {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kSecret[] = "0123456789abcdef0123456789abcdef";

CheckResult Check(std::string_view text, Environment env = {}) {
  LoadOptions options;
  options.env = std::move(env);
  return CheckConfig(text, "c.json", options);
}
std::string Errors(std::string_view text, Environment env = {}) {
  return FormatErrors(Check(text, std::move(env)).errors);
}

TEST(ReadAuthTest, IssuersByName) {
  const CheckResult check = Check(R"({"auth": {"issuers": {"entra": {
    "issuer": "https://login.example/t/v2.0", "audiences": ["api://mcp"], "algorithms": ["RS256"],
    "rolesClaim": "roles", "roleMap": {"Mcp.Admin": "admin"}, "defaultRole": "viewer",
    "tls": {"min": "1.2"}}}, "scopes": {"default": "a b"}}})");
  ASSERT_THAT(FormatErrors(check.errors), IsEmpty());
  const AuthConfig& auth = check.loaded.config.auth;
  const IssuerConfig& entra = auth.issuers.at("entra");
  EXPECT_EQ(entra.issuer, "https://login.example/t/v2.0");
  EXPECT_EQ(entra.role_map.at("Mcp.Admin"), "admin");
  EXPECT_EQ(entra.tls.min, "1.2");
  EXPECT_EQ(entra.subject_claim, "sub");
  EXPECT_EQ(auth.scopes.at("default"), "a b");
  // What is shown can be read again.
  const std::string shown = ConfigToJson(check.loaded.config, RenderOptions());
  EXPECT_EQ(Check(shown).loaded.config.auth.issuers, auth.issuers) << shown;
  EXPECT_EQ(Check(shown).loaded.config.auth.scopes, auth.scopes);
}

TEST(ReadAuthTest, MistakesAreNamed) {
  EXPECT_THAT(Errors(R"({"auth": {"issuers": []}})"), HasSubstr("expected an object"));
  EXPECT_THAT(Errors(R"({"auth": {"issuers": {"a": {}}}})"), HasSubstr("found no issuer"));
  EXPECT_THAT(Errors(R"({"auth": {"issuers": {"A b": {"issuer": "x"}}}})"), HasSubstr("a-b"));
  EXPECT_THAT(Errors(R"({"auth": {"issuers": {"a": {"issuer": "x"}, "b": {"issuer": "x"}}}})"),
              HasSubstr("twice"));
  EXPECT_THAT(Errors(R"({"auth": {"issuers": {"a": {"issuer": "meta-mcp"}}}})"),
              HasSubstr("an issuer of their own"));
  for (const char* algorithm : {"none", "HS256", "rs256"}) {
    EXPECT_THAT(
        Errors(std::string(R"({"auth": {"issuers": {"a": {"issuer": "x", "algorithms": [")") +
               algorithm + R"("]}}}})"),
        HasSubstr("found the algorithm"));
  }
  EXPECT_THAT(Errors(R"({"auth": {"issuers": {"a": {"issuer": "x", "roleMap": {"y": "boss"}}}}})"),
              HasSubstr("found the role \"boss\""));
  EXPECT_THAT(Errors(R"({"auth": {"issuers": {"a": {"issuer": "x", "jwksFile": "f",
                         "jwksUrl": "https://x"}}}})"),
              HasSubstr("found both"));
  EXPECT_THAT(Errors(R"({"auth": {"jwt": {"secret": "short"}}})"), HasSubstr("at least 32"));
}

TEST(ReadAuthTest, TheSecretMayBeInTheVariableThatOthersUse) {
  RecordProperty("req", "P1-Auth-1");
  EXPECT_EQ(Check("{}", {{"JWT_SECRET_KEY", kSecret}}).loaded.config.auth.jwt.secret, kSecret);
  EXPECT_THAT(Errors("{}", {{"JWT_SECRET_KEY", "short"}}), HasSubstr("JWT_SECRET_KEY"));
  const CheckResult own =
      Check(R"({"auth": {"jwt": {"secret": "${MINE}"}}})",
            {{"JWT_SECRET_KEY", "another secret that is long enough"}, {"MINE", kSecret}});
  EXPECT_EQ(own.loaded.config.auth.jwt.secret, kSecret);
  EXPECT_THAT(ConfigToJson(own.loaded.config, RenderOptions()), Not(HasSubstr(kSecret)));
}

TEST(ReadAuthTest, ADifferenceIsSeenAndTakesEffectAtOnce) {
  const Config before = Check("{}").loaded.config;
  const Config after = Check(R"({"auth": {"scopes": {"default": "a"}, "issuers": {"a": {"issuer":
                               "x"}}, "jwt": {"secret": "0123456789abcdef0123456789abcdef"}}})")
                           .loaded.config;
  const ConfigDiff diff = Diff(before, after);
  EXPECT_EQ(diff.settings.size(), 3u) << DiffText(diff);
  EXPECT_FALSE(diff.needs_restart());
  EXPECT_THAT(DiffText(diff), Not(HasSubstr("0123456789abcdef")));
}

TEST(ReadAuthTest, MapsAreReadFromVariables) {
  const CheckResult check =
      Check("{}", {{"META_MCP_AUTH_SCOPES", "default=mcp:use mcp:more, docs=read"}});
  ASSERT_THAT(FormatErrors(check.errors), IsEmpty());
  EXPECT_EQ(check.loaded.config.auth.scopes.at("default"), "mcp:use mcp:more");
  EXPECT_EQ(check.loaded.config.auth.scopes.at("docs"), "read");
  EXPECT_THAT(Errors("{}", {{"META_MCP_AUTH_SCOPES", "nothing"}}), HasSubstr("auth.scopes"));
}

}  // namespace
}  // namespace metamcp::config
