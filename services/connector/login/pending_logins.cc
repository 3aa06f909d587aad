#include "services/connector/login/pending_logins.h"

#include <algorithm>

#include "common/base/ids.h"
#include "common/base/key_ring.h"

namespace metamcp::connector {

void PendingLogins::DropExpired() {
  const auto now = Clock::now();
  for (auto it = logins_.begin(); it != logins_.end();) {
    it = it->second.expires <= now ? logins_.erase(it) : std::next(it);
  }
}

std::string PendingLogins::Add(PendingLogin login) {
  DropExpired();
  if (logins_.size() >= kMax) {
    logins_.erase(std::min_element(
        logins_.begin(), logins_.end(),
        [](const auto& a, const auto& b) { return a.second.expires < b.second.expires; }));
  }
  login.expires = Clock::now() + kLifetime;
  std::string state = Base64UrlEncode(RandomBytes(32));
  logins_.emplace(state, std::move(login));
  return state;
}

std::optional<PendingLogin> PendingLogins::Take(const std::string& state) {
  DropExpired();
  const auto it = logins_.find(state);
  if (it == logins_.end()) return std::nullopt;
  std::optional<PendingLogin> out = std::move(it->second);
  logins_.erase(it);
  return out;
}

}  // namespace metamcp::connector
