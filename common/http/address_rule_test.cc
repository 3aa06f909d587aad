#include "common/http/address_rule.h"

#include <gtest/gtest.h>

namespace metamcp::http {
namespace {

TEST(AddressRuleTest, LetsOnlyPublicAddressesPass) {
  for (const char* address : {"8.8.8.8", "93.184.216.34", "223.255.255.255", "2606:2800:220:1::1",
                              "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"}) {
    EXPECT_TRUE(AddressAllowed(AddressRule::kPublic, address)) << address;
    EXPECT_TRUE(AddressAllowed(AddressRule::kPublicOrLoopback, address)) << address;
  }
  for (const char* address : {"0.0.0.0",         "10.1.2.3",
                              "100.64.0.1",      "169.254.169.254",
                              "172.16.0.1",      "172.31.255.255",
                              "192.168.1.1",     "192.0.0.8",
                              "198.18.0.1",      "198.19.255.255",
                              "203.0.113.9",     "224.0.0.1",
                              "255.255.255.255", "::",
                              "::ffff:10.0.0.1", "::ffff:169.254.169.254",
                              "64:ff9b::a00:1",  "64:ff9b:1::1",
                              "2001::1",         "2001:db8::1",
                              "2002:a00:1::1",   "2002:7f00:1::1",
                              "fc00::1",         "fd12::1",
                              "fe80::1",         "ff02::1",
                              "100::1",          "fec0::1",
                              "example.com",     "",
                              "fe80::1%eth0"}) {
    EXPECT_FALSE(AddressAllowed(AddressRule::kPublic, address)) << address;
    EXPECT_FALSE(AddressAllowed(AddressRule::kPublicOrLoopback, address)) << address;
    EXPECT_TRUE(AddressAllowed(AddressRule::kAny, address)) << address;
  }
}

TEST(AddressRuleTest, NotLinkLocalIsAllButMetadataServices) {
  for (const char* address : {"10.1.2.3", "127.0.0.1", "::1", "8.8.8.8", "fd12::1", "169.253.1.1",
                              "::ffff:10.0.0.1", "2606:2800:220:1::1"}) {
    EXPECT_TRUE(AddressAllowed(AddressRule::kNotLinkLocal, address)) << address;
  }
  for (const char* address : {"169.254.169.254", "169.254.170.2", "::ffff:169.254.169.254",
                              "fe80::1", "febf::1", "fd00:ec2::254", "name"}) {
    EXPECT_FALSE(AddressAllowed(AddressRule::kNotLinkLocal, address)) << address;
  }
}

TEST(AddressRuleTest, TellsThisMachineApart) {
  for (const char* address : {"127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_FALSE(AddressAllowed(AddressRule::kPublic, address)) << address;
    EXPECT_TRUE(AddressAllowed(AddressRule::kPublicOrLoopback, address)) << address;
  }
}

}  // namespace
}  // namespace metamcp::http
