#include "common/auth/throttle.h"

#include <algorithm>

namespace metamcp::auth {
namespace {

// Of the keys that came when there was no room.
const std::string kOthers;

}  // namespace

Throttle::Clock::duration Throttle::Wait(const std::string& key, Clock::time_point now) const {
  auto it = entries_.find(key);
  if (it == entries_.end() && entries_.size() >= kMax) it = entries_.find(kOthers);
  if (it == entries_.end() || it->second.forget <= now) return Clock::duration::zero();
  return std::max(Clock::duration::zero(), it->second.until - now);
}

void Throttle::Failed(const std::string& key, int free, Clock::time_point now) {
  if (entries_.size() >= kMax && entries_.count(key) == 0) {
    std::erase_if(entries_, [now](const auto& one) { return one.second.forget <= now; });
  }
  const bool room = entries_.size() < kMax || entries_.count(key) > 0;
  Entry& entry = entries_[room ? key : kOthers];
  if (entry.forget <= now) entry = Entry();
  const int beyond = ++entry.failures - free;
  if (beyond >= 0) {
    const Clock::duration wait = kFirst * (1 << std::min(beyond, 20));
    entry.until = now + std::min<Clock::duration>(wait, kLongest);
  }
  entry.forget = now + 2 * kLongest;
}

}  // namespace metamcp::auth
