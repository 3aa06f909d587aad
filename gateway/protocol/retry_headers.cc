#include "gateway/protocol/retry_headers.h"

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::gateway {
namespace {

// Whole seconds, at least `least`, of a text of milliseconds that is ours.
std::string Seconds(const std::string& ms, int64_t least) {
  const int64_t seconds = (std::stoll(ms) + 999) / 1000;
  return StrCat(seconds < least ? least : seconds);
}

}  // namespace

void AddRetryHeaders(const absl::Status& status, int http, const AddHeader& add) {
  if (http != 429 && http != 503) return;
  const auto info = GetErrorInfo(status);
  const auto of = [&info](const char* key) {
    if (!info) return std::string();
    const auto it = info->metadata.find(key);
    return it == info->metadata.end() ? std::string() : it->second;
  };
  const std::string retry = of("retryAfterMs.json");
  add("Retry-After", retry.empty() ? "1" : Seconds(retry, 1));
  if (retry.empty()) return;
  add("X-RateLimit-Limit", of("limit.json"));
  add("X-RateLimit-Remaining", of("remaining.json"));
  add("X-RateLimit-Reset", Seconds(of("resetMs.json"), 0));
}

bool IsLimit(const absl::Status& status) {
  if (!absl::IsResourceExhausted(status)) return false;
  const auto info = GetErrorInfo(status);
  return info && info->metadata.count("retryAfterMs.json") > 0;
}

void AddAllowanceHeaders(const Allowance& allowance, const AddHeader& add) {
  if (allowance.limit == 0) return;
  add("X-RateLimit-Limit", StrCat(allowance.limit));
  add("X-RateLimit-Remaining", StrCat(allowance.remaining));
  add("X-RateLimit-Reset", StrCat((allowance.reset_ms + 999) / 1000));
}

}  // namespace metamcp::gateway
