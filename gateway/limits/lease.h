#pragma once

#include <cstdint>

namespace metamcp::gateway::limits {

// Tokens that the catalog granted to this gateway ahead of their use, so that no call waits for it.
// What goes beyond them is let through on credit, as far as there was enough for everybody when the
// catalog answered last, and charged with the next exchange. Times are nanoseconds of one steady
// clock. Single-threaded.
struct Lease {
  int64_t tokens = 0;         // granted and not spent
  int64_t charge = 0;         // spent on credit, not told yet
  int64_t in_flight = 0;      // of the charge, what an exchange is telling now
  int64_t demand = 0;         // asked for since the last exchange, granted or not
  int64_t left = -1;          // what the catalog had for everybody when asked last; -1: unknown
  int64_t not_before_ns = 0;  // nothing is to be had until then
  int64_t minted_ns = 0;      // without the catalog: until when the own share was taken
  int idle = 0;               // exchanges in a row without demand
  bool known = false;         // the catalog has answered since the last time of rest

  // Whether one may be spent.
  bool Has(int64_t now_ns, int64_t credit) const {
    if (tokens > 0) return true;
    return now_ns >= not_before_ns && charge + in_flight < credit;
  }
  // Also where Has says no: the debt is settled with the next exchange.
  void Spend() {
    if (tokens > 0) {
      --tokens;
    } else {
      ++charge;
    }
  }
};

}  // namespace metamcp::gateway::limits
