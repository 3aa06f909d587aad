#include "common/pki/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace metamcp::pki {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Time kNow = std::chrono::system_clock::from_time_t(1'900'000'000);
constexpr std::chrono::hours kDay{24};

Issued Authority() { return MakeAuthority("test", kNow - kDay, kNow + 100 * kDay).value(); }

LeafRequest Request(std::vector<std::string> roles) {
  LeafRequest request;
  request.name = "leaf";
  request.roles = std::move(roles);
  request.names = {"host.example", "10.1.2.3", "::1"};
  request.from = kNow - kDay;
  request.until = kNow + 10 * kDay;
  return request;
}

Material MaterialOf(const Issued& authority, const Issued& leaf) {
  Material material;
  material.ca = authority.certificate;
  material.certificate = leaf.certificate;
  material.key = leaf.key;
  return material;
}

std::string Why(const Material& material, Time now = kNow) {
  return std::string(CheckMaterial(material, now).message());
}

TEST(CertificateTest, ALeafSaysWhatWasAskedFor) {
  const Issued authority = Authority();
  const auto leaf = IssueLeaf(authority, Request({"gateway", "connector"}));
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  const auto read = ReadCertificates(leaf->certificate);
  ASSERT_TRUE(read.ok() && read->size() == 1);
  const Certificate& one = read->front();
  EXPECT_EQ(one.subject, "CN=leaf,O=Meta-MCP");
  EXPECT_EQ(one.issuer, "CN=test,O=Meta-MCP");
  EXPECT_THAT(RolesOf(one.uris), ElementsAre("gateway", "connector"));
  EXPECT_THAT(one.dns_names, ElementsAre("host.example"));
  EXPECT_THAT(one.addresses, ElementsAre("10.1.2.3", "::1"));
  EXPECT_EQ(one.not_after, kNow + 10 * kDay);
  EXPECT_FALSE(one.authority);
  EXPECT_TRUE(ReadCertificates(authority.certificate)->front().authority);
  EXPECT_EQ(Why(MaterialOf(authority, *leaf)), "");
}

TEST(CertificateTest, WhatCannotBeUsedIsNamed) {
  RecordProperty("req", "M-FR-007.3");
  const Issued authority = Authority();
  const Issued leaf = IssueLeaf(authority, Request({"gateway"})).value();
  const Issued other = IssueLeaf(authority, Request({"gateway"})).value();
  const Material good = MaterialOf(authority, leaf);

  Material bad = good;
  bad.key = other.key;
  EXPECT_THAT(Why(bad), HasSubstr("not the key of services.tls.certificate"));
  bad.key = "rubbish";
  EXPECT_THAT(Why(bad), HasSubstr("holds no PEM private key"));
  bad = good;
  bad.ca = Authority().certificate;
  EXPECT_THAT(Why(bad), HasSubstr("does not vouch for services.tls.certificate"));
  bad.ca = "";
  EXPECT_THAT(Why(bad), HasSubstr("services.tls.ca holds no PEM certificate"));
  EXPECT_THAT(Why(good, kNow + 11 * kDay), HasSubstr("ended on 2030-03-"));
  EXPECT_THAT(Why(good, kNow - 2 * kDay), HasSubstr("clock"));
  const Issued nobody = IssueLeaf(authority, Request({})).value();
  EXPECT_THAT(Why(MaterialOf(authority, nobody)), HasSubstr("names no role"));
}

TEST(CertificateTest, ARenewedAuthorityStillVouchesForOldLeaves) {
  const Issued authority = Authority();
  const Issued leaf = IssueLeaf(authority, Request({"catalog"})).value();
  const auto renewed = MakeAuthority("test", kNow, kNow + 1000 * kDay, authority.key);
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_EQ(Why(MaterialOf(*renewed, leaf)), "");
  // Both at once, as while one replaces another.
  Material both = MaterialOf(Authority(), leaf);
  both.ca += authority.certificate;
  EXPECT_EQ(Why(both), "");
}

TEST(CertificateTest, ANameIsNoConfiguration) {
  LeafRequest request = Request({"gateway"});
  for (const char* name : {"a,URI:spiffe://meta-mcp/catalog", "x y", "", "host:80", "a\nb"}) {
    request.names = {name};
    EXPECT_FALSE(IssueLeaf(Authority(), request).ok()) << name;
  }
}

TEST(CertificateTest, OnlyOurOwnUrisAreRoles) {
  EXPECT_THAT(RolesOf({"spiffe://meta-mcp/gateway", "spiffe://other/catalog", "https://x/"}),
              ElementsAre("gateway"));
  EXPECT_FALSE(
      ReadCertificates("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").ok());
}

}  // namespace
}  // namespace metamcp::pki
