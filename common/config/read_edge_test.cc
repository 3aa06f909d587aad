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

CheckResult Check(std::string_view text, Environment env = {}) {
  LoadOptions options;
  options.env = std::move(env);
  return CheckConfig(text, "c.json", options);
}
std::string Errors(std::string_view text, Environment env = {}) {
  return FormatErrors(Check(text, std::move(env)).errors);
}

TEST(ReadEdgeTest, CertificatesByName) {
  RecordProperty("req", "M-NFR-004.2");
  const CheckResult check = Check(R"({
    "gateway": {"tls": {"certificate": "c.pem", "key": "k.pem", "clientCa": "ca.pem"}},
    "auth": {"certificates": {"ci": {"uri": "spiffe://example.com/ci", "roles": ["operator"],
                                     "teams": ["build"]},
                              "ada": {"email": "ada@example.com"}}}})");
  ASSERT_THAT(FormatErrors(check.errors), IsEmpty());
  const Config& config = check.loaded.config;
  EXPECT_EQ(config.gateway.tls.min, "1.3");
  EXPECT_EQ(config.auth.certificates.at("ci").roles, std::vector<std::string>{"operator"});
  EXPECT_EQ(config.auth.certificates.at("ada").email, "ada@example.com");
  // What is shown can be read again.
  const std::string shown = ConfigToJson(config, RenderOptions());
  EXPECT_EQ(Check(shown).loaded.config.auth.certificates, config.auth.certificates) << shown;
  EXPECT_EQ(Check(shown).loaded.config.gateway.tls, config.gateway.tls) << shown;
}

TEST(ReadEdgeTest, MistakesOfCertificatesAreNamed) {
  EXPECT_THAT(Errors(R"({"auth": {"certificates": []}})"), HasSubstr("expected an object"));
  EXPECT_THAT(Errors(R"({"auth": {"certificates": {"a": {}}}})"), HasSubstr("found neither uri"));
  EXPECT_THAT(Errors(R"({"auth": {"certificates": {"a b": {"dns": "x"}}}})"), HasSubstr("\"a b\""));
  EXPECT_THAT(Errors(R"({"auth": {"certificates": {"a": {"dns": "x"}, "b": {"dns": "x"}}}})"),
              HasSubstr("again in auth.certificates.b"));
  EXPECT_THAT(Errors(R"({"auth": {"certificates": {"a": {"dns": "x", "roles": ["amdin"]}}}})"),
              HasSubstr("did you mean \"admin\""));
  EXPECT_THAT(Errors(R"({"auth": {"certificates": {"a": {"dns": "x", "tenant": "red"}}}})"),
              HasSubstr("the tenant \"red\""));
}

TEST(ReadEdgeTest, HalfOfTheTlsIsAMistakeWithItsPlace) {
  EXPECT_EQ(Errors(R"({"gateway": {"tls": {"certificate": "c.pem"}}})"),
            "c.json:1:37: found gateway.tls.certificate without gateway.tls.key; name the file of "
            "its private key");
  EXPECT_THAT(Errors("{}", {{"META_MCP_GATEWAY_TLS_KEY", "k.pem"}}),
              HasSubstr("META_MCP_GATEWAY_TLS_KEY"));
  EXPECT_THAT(Errors(R"({"gateway": {"tls": {"clientCa": "ca.pem"}}})"),
              HasSubstr("c.json:1:34: found gateway.tls.clientCa without"));
}

TEST(ReadEdgeTest, PasswordsNeedTlsAndUsers) {
  constexpr char kHash[] = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";
  const std::string users =
      std::string(R"("users": {"ada": {"hash": ")") + kHash + R"(", "roles": ["admin"]}})";
  const std::string tls = R"("gateway": {"tls": {"certificate": "c.pem", "key": "k.pem"}})";
  const std::string good = "{" + tls + R"(, "auth": {"basic": {"enabled": true, )" + users + "}}}";
  const CheckResult check = Check(good);
  ASSERT_THAT(FormatErrors(check.errors), IsEmpty());
  EXPECT_EQ(check.loaded.config.auth.basic.users.at("ada").hash, kHash);
  EXPECT_THAT(ConfigToJson(check.loaded.config, RenderOptions()), Not(HasSubstr("aGFzaGhhc2g")));
  EXPECT_THAT(Errors(R"({"auth": {"basic": {"enabled": true, )" + users + "}}}"),
              HasSubstr("without gateway.tls.certificate"));
  EXPECT_THAT(Errors("{" + tls + R"(, "auth": {"basic": {"enabled": true}}})"),
              HasSubstr("no auth.basic.users"));
  EXPECT_THAT(Errors(R"({"auth": {"basic": {"users": {"ada": {"hash": "secret"}}}}})"),
              HasSubstr("found no Argon2id hash"));
}

TEST(ReadEdgeTest, ChangesAreSeen) {
  const Config before = Check("{}").loaded.config;
  Config after = before;
  after.auth.certificates["ci"].dns = "ci";
  EXPECT_THAT(DiffText(Diff(before, after)), HasSubstr("auth.certificates"));
  EXPECT_FALSE(Diff(before, after).needs_restart());
}

}  // namespace
}  // namespace metamcp::config
