#pragma once

#include <memory>
#include <string_view>

#include "common/base/principal.h"

// The token that a request was admitted by, carried with its principal to where it may have to be
// exchanged for another (RFC 8693). It is nowhere else: principals that are copied, stored, or sent
// to another process do not have it.
namespace metamcp::auth {

// The same principal (the same object), with `token`. The copy of it is wiped with the last owner.
std::shared_ptr<const Principal> CarryToken(std::shared_ptr<const Principal> principal,
                                            std::string_view token);

// The token that `principal` carries; empty where it carries none.
std::string_view CarriedToken(const std::shared_ptr<const Principal>& principal);

}  // namespace metamcp::auth
