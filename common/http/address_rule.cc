#include "common/http/address_rule.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

namespace metamcp::http {
namespace {

struct Block {
  uint32_t network;
  int bits;
};
constexpr uint32_t Ip(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return a << 24 | b << 16 | c << 8 | d;
}
constexpr Block kSpecial[] = {
    {Ip(0, 0, 0, 0), 8},       // this network
    {Ip(10, 0, 0, 0), 8},      // private
    {Ip(100, 64, 0, 0), 10},   // shared, carrier NAT
    {Ip(127, 0, 0, 0), 8},     // loopback
    {Ip(169, 254, 0, 0), 16},  // link local, and the metadata services of clouds
    {Ip(172, 16, 0, 0), 12},   // private
    {Ip(192, 0, 0, 0), 24},    // protocol assignments
    {Ip(192, 0, 2, 0), 24},    // documentation
    {Ip(192, 88, 99, 0), 24},  // 6to4 relays
    {Ip(192, 168, 0, 0), 16},  // private
    {Ip(198, 18, 0, 0), 15},   // benchmarking
    {Ip(198, 51, 100, 0), 24}, {Ip(203, 0, 113, 0), 24},  // documentation
    {Ip(224, 0, 0, 0), 3},                                // multicast and reserved
};

bool In(uint32_t address, const Block& block) {
  return (address ^ block.network) >> (32 - block.bits) == 0;
}

constexpr Block kLinkLocal = {Ip(169, 254, 0, 0), 16};

bool Allowed4(AddressRule rule, uint32_t address) {
  if (rule == AddressRule::kNotLinkLocal) return !In(address, kLinkLocal);
  const bool loopback = address >> 24 == 127;
  if (loopback) return rule == AddressRule::kPublicOrLoopback;
  return std::none_of(std::begin(kSpecial), std::end(kSpecial),
                      [address](const Block& block) { return In(address, block); });
}

using Bytes = std::array<uint8_t, 16>;

uint32_t Embedded(const Bytes& bytes, size_t at) {
  return Ip(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
}

bool StartsWith(const Bytes& bytes, std::initializer_list<uint8_t> prefix) {
  return std::equal(prefix.begin(), prefix.end(), bytes.begin());
}

bool Allowed6(AddressRule rule, const Bytes& bytes) {
  Bytes loopback{};
  loopback[15] = 1;
  if (bytes == loopback) {
    return rule == AddressRule::kPublicOrLoopback || rule == AddressRule::kNotLinkLocal;
  }
  if (StartsWith(bytes, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff})) {
    return Allowed4(rule, Embedded(bytes, 12));
  }
  if (rule == AddressRule::kNotLinkLocal) {
    const bool link_local = bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
    // fd00:ec2::254, the metadata service of one cloud by its second protocol.
    return !link_local && !StartsWith(bytes, {0xfd, 0x00, 0x0e, 0xc2});
  }
  if (StartsWith(bytes, {0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0})) {
    return Allowed4(AddressRule::kPublic, Embedded(bytes, 12));
  }
  if (StartsWith(bytes, {0x20, 0x02})) return Allowed4(AddressRule::kPublic, Embedded(bytes, 2));
  if (bytes[0] >> 5 != 1) return false;                               // outside 2000::/3
  if (StartsWith(bytes, {0x20, 0x01}) && bytes[2] < 2) return false;  // 2001::/23
  return !StartsWith(bytes, {0x20, 0x01, 0x0d, 0xb8});                // documentation
}

}  // namespace

bool AddressAllowed(AddressRule rule, std::string_view address) {
  if (rule == AddressRule::kAny) return true;
  // A scope id names a link of ours.
  const std::string text(address);
  in_addr v4{};
  if (::inet_pton(AF_INET, text.c_str(), &v4) == 1) return Allowed4(rule, ntohl(v4.s_addr));
  Bytes v6{};
  if (::inet_pton(AF_INET6, text.c_str(), v6.data()) == 1) return Allowed6(rule, v6);
  return false;
}

}  // namespace metamcp::http
