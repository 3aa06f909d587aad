#include "common/auth/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/auth/carried_token.h"
#include "common/base/error.h"
#include "common/http/http_types.h"

namespace metamcp::auth {
namespace {

using ::testing::HasSubstr;

http::ClientCertificate Shown() {
  http::ClientCertificate out;
  out.subject = "CN=ci,O=Example";
  out.uris = {"spiffe://example.com/ci"};
  out.dns_names = {"CI.example.com"};
  out.emails = {"ci@example.com"};
  out.fingerprint = "f1";
  out.not_after_us = 2000;
  return out;
}

CertificateRule Rule(std::string name, std::string uri) {
  CertificateRule out;
  out.name = std::move(name);
  out.uri = std::move(uri);
  out.roles = {"operator"};
  out.teams = {"build"};
  return out;
}

class CertificatesTest : public ::testing::Test {
 protected:
  std::string Why(const http::ClientCertificate& shown) {
    const auto found = certificates_.Find(shown);
    return found.ok() ? "" : std::string(found.status().message());
  }
  int64_t now_ = 1000;
  Certificates certificates_{[this] { return now_; }};
};

TEST_F(CertificatesTest, FindsWhoseItIs) {
  RecordProperty("req", "M-NFR-004.2");
  certificates_.SetRules({Rule("ci", "spiffe://example.com/ci"), Rule("other", "spiffe://x/y")});
  const auto found = certificates_.Find(Shown());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->subject, "ci");
  EXPECT_EQ((*found)->method, "mtls:ci");
  EXPECT_EQ((*found)->kind, "service");
  EXPECT_EQ((*found)->roles, std::vector<std::string>{"operator"});
  EXPECT_EQ((*found)->teams, std::vector<std::string>{"build"});
  EXPECT_EQ((*found)->expires_us, 2000);
  EXPECT_EQ(certificates_.Find(Shown())->get(), found->get());
  EXPECT_TRUE(certificates_.StillKnown(**found));
}

TEST_F(CertificatesTest, EverythingThatIsGivenMustFit) {
  CertificateRule rule = Rule("ci", "spiffe://example.com/ci");
  rule.dns = "ci.EXAMPLE.com";
  rule.email = "ci@example.com";
  rule.subject = "CN=ci,O=Example";
  certificates_.SetRules({rule});
  EXPECT_EQ(Why(Shown()), "");
  for (std::string CertificateRule::*part : {&CertificateRule::uri, &CertificateRule::dns,
                                             &CertificateRule::email, &CertificateRule::subject}) {
    CertificateRule other = rule;
    other.*part += "x";
    certificates_.SetRules({other});
    EXPECT_THAT(Why(Shown()), HasSubstr("nobody's"));
  }
  // A name that goes on behind a NUL is another name.
  http::ClientCertificate tricky = Shown();
  tricky.uris = {std::string("spiffe://example.com/ci\0.evil", 28)};
  certificates_.SetRules({Rule("ci", "spiffe://example.com/ci")});
  EXPECT_THAT(Why(tricky), HasSubstr("nobody's"));
}

TEST_F(CertificatesTest, RefusesWhatProvesNothing) {
  certificates_.SetRules({Rule("ci", "spiffe://example.com/ci")});
  http::ClientCertificate shown = Shown();
  EXPECT_EQ(Why(shown), "");
  shown.problem = "certificate has expired";
  EXPECT_THAT(Why(shown), HasSubstr("proves nothing: certificate has expired"));
  // Also when it ends while the connection is open.
  now_ = 2000;
  EXPECT_THAT(Why(Shown()), HasSubstr("has ended"));
}

TEST_F(CertificatesTest, RefusesWhatIsTwoPeoples) {
  CertificateRule second = Rule("second", "");
  second.dns = "ci.example.com";
  certificates_.SetRules({Rule("ci", "spiffe://example.com/ci"), second});
  EXPECT_THAT(Why(Shown()), HasSubstr("auth.certificates.ci and of second"));
}

TEST_F(CertificatesTest, OtherRulesTakeEffectAtOnce) {
  EXPECT_TRUE(certificates_.SetRules({Rule("ci", "spiffe://example.com/ci")}));
  EXPECT_FALSE(certificates_.SetRules({Rule("ci", "spiffe://example.com/ci")}));
  const auto before = *certificates_.Find(Shown());
  CertificateRule weaker = Rule("ci", "spiffe://example.com/ci");
  weaker.roles = {"viewer"};
  EXPECT_TRUE(certificates_.SetRules({weaker}));
  EXPECT_FALSE(certificates_.StillKnown(*before));
  EXPECT_EQ((*certificates_.Find(Shown()))->roles, std::vector<std::string>{"viewer"});
  certificates_.SetRules({});
  EXPECT_THAT(Why(Shown()), HasSubstr("nobody's"));
}

TEST(CarriedTokenTest, IsTheSamePrincipalWithAToken) {
  auto who = std::make_shared<const Principal>();
  EXPECT_EQ(CarriedToken(who), "");
  const auto with = CarryToken(who, "secret");
  EXPECT_EQ(with.get(), who.get());
  EXPECT_EQ(CarriedToken(with), "secret");
  const std::shared_ptr<const Principal> copy = with;
  EXPECT_EQ(CarriedToken(copy), "secret");
  EXPECT_EQ(CarriedToken(who), "");
  const std::weak_ptr<const Principal> alive = who;
  who.reset();
  EXPECT_FALSE(alive.expired());
  EXPECT_EQ(CarryToken(nullptr, "x"), nullptr);
}

}  // namespace
}  // namespace metamcp::auth
