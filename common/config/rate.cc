#include "common/config/rate.h"

#include <charconv>

namespace metamcp::config {

std::optional<Rate> ParseRate(std::string_view text) {
  Rate rate;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, rate.count);
  if (error != std::errc() || rate.count < 1 || rate.count > 1'000'000'000) return std::nullopt;
  const std::string_view rest(at, static_cast<size_t>(end - at));
  if (rest == "/second") {
    rate.period = std::chrono::seconds(1);
  } else if (rest == "/minute") {
    rate.period = std::chrono::minutes(1);
  } else if (rest == "/hour") {
    rate.period = std::chrono::hours(1);
  } else {
    return std::nullopt;
  }
  return rate;
}

}  // namespace metamcp::config
