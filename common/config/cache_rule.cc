#include "common/config/cache_rule.h"

#include <cstdint>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace metamcp::config {

absl::StatusOr<CacheRule> ParseCacheRule(std::string_view text) {
  const std::vector<std::string> words =
      absl::StrSplit(absl::string_view(text.data(), text.size()), ' ', absl::SkipEmpty());
  if (words.size() != 2) return absl::InvalidArgumentError("it must be a server and seconds");
  constexpr int64_t kSecondsMax = int64_t{30} * 24 * 3600;
  int64_t seconds = 0;
  if (!absl::SimpleAtoi(words[1], &seconds) || seconds < 0 || seconds > kSecondsMax) {
    return absl::InvalidArgumentError("the second word must be seconds, 0 to 2592000");
  }
  return CacheRule{words[0], std::chrono::seconds(seconds)};
}

}  // namespace metamcp::config
