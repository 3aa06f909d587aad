#pragma once

#include <string>

#include "common/base/principal.h"

namespace metamcp::gateway {

// Makes the addresses at which users log in to upstreams.
class LoginLinks {
 public:
  virtual ~LoginLinks() = default;
  // The address of our page for `principal` and an upstream (by id; `name` is shown), good for ten
  // minutes and for that principal only. Empty where the principal may not: a login that all share
  // is an operator's, `own` is for the principal's calls alone.
  virtual std::string LinkFor(const Principal& principal, const std::string& upstream_id,
                              const std::string& name, bool own) const = 0;
};

}  // namespace metamcp::gateway
