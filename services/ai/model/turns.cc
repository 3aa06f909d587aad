#include "services/ai/model/turns.h"

namespace metamcp::ai {
namespace {

constexpr size_t kKeysMax = 10'000;
constexpr std::chrono::seconds kMinute(60);

}  // namespace

bool LocalTurns::TakeNow(const std::string& key, int64_t per_minute) {
  if (per_minute <= 0) return true;
  if (recent_.size() > kKeysMax) recent_.clear();
  std::deque<Clock::time_point>& recent = recent_[key];
  const auto now = Clock::now();
  while (!recent.empty() && recent.front() + kMinute <= now) recent.pop_front();
  if (static_cast<int64_t>(recent.size()) >= per_minute) return false;
  recent.push_back(now);
  return true;
}

Awaitable<bool> LocalTurns::Take(const CallContext&, std::string key, int64_t per_minute) {
  co_return TakeNow(key, per_minute);
}

}  // namespace metamcp::ai
