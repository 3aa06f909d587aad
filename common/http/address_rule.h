#pragma once

#include <string_view>

namespace metamcp::http {

// Which addresses a request may connect to. Checked on the addresses that the name was resolved to
// and that are connected to, so that a name cannot change its mind in between. A proxy resolves
// names itself; behind one only literal addresses are checked.
enum class AddressRule {
  kAny,
  kPublic,            // globally reachable unicast only
  kPublicOrLoopback,  // and this machine
  kNotLinkLocal,      // any but link-local ones, where clouds keep a machine's credentials
};

// Whether `address`, in the usual text form of IPv4 or IPv6, may be connected to. Text that is no
// address is not allowed, except under kAny. Source: IANA special-purpose address registries (RFC
// 6890); addresses that embed an IPv4 address are judged by that.
bool AddressAllowed(AddressRule rule, std::string_view address);

}  // namespace metamcp::http
