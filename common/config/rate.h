#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace metamcp::config {

// So many in a time.
struct Rate {
  int64_t count = 0;
  std::chrono::nanoseconds period{};

  // Between two at this rate; at least 1 ns.
  std::chrono::nanoseconds interval() const { return period / count; }
};

// "10/second", "100/minute" or "1000/hour": 1 to 1'000'000'000 of them. Nothing for other texts.
std::optional<Rate> ParseRate(std::string_view text);

}  // namespace metamcp::config
