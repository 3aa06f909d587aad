#include "common/cluster/members.h"

#include <algorithm>

#include "common/base/ids.h"
#include "common/base/strings.h"

namespace metamcp::cluster {
namespace {

// Names that do not exist can be made up by clients.
constexpr std::chrono::milliseconds kAskEvery{250};
constexpr size_t kInstanceBytes = 6;

}  // namespace

bool Member::Has(std::string_view role) const {
  return std::find(roles.begin(), roles.end(), role) != roles.end();
}

std::string NewInstanceId() { return HexEncode(RandomBytes(kInstanceBytes)); }

bool IsInstanceId(std::string_view text) {
  return text.size() == 2 * kInstanceBytes &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

void Members::Replace(std::vector<Member> alive) {
  std::map<std::string, Member, std::less<>> next;
  for (Member& member : alive) {
    std::string instance = member.instance;
    next.emplace(std::move(instance), std::move(member));
  }
  if (next == alive_) return;
  alive_ = std::move(next);
  for (const auto& callback : callbacks_) callback();
}

const Member* Members::Find(std::string_view instance) const {
  const auto it = alive_.find(instance);
  return it == alive_.end() ? nullptr : &it->second;
}

Awaitable<std::optional<Member>> Members::Look(std::string instance) {
  const Member* known = Find(instance);
  if (known == nullptr && clustered_ && refresh && IsInstanceId(instance)) {
    const auto now = std::chrono::steady_clock::now();
    if (!asked_ || now - *asked_ >= kAskEvery) {
      asked_ = now;
      auto asking = refresh();
      co_await std::move(asking);
      known = Find(instance);
    }
  }
  if (known == nullptr) co_return std::nullopt;
  co_return *known;
}

std::vector<Member> Members::With(std::string_view role) const {
  std::vector<Member> out;
  for (const auto& [instance, member] : alive_) {
    if (member.Has(role)) out.push_back(member);
  }
  return out;
}

const Member* RendezvousWinner(std::string_view key, const std::vector<Member>& members) {
  const Member* winner = nullptr;
  std::string best;
  for (const Member& member : members) {
    std::string weight = Sha256(StrCat(key, "\n", member.instance));
    if (winner != nullptr && weight <= best) continue;
    winner = &member;
    best = std::move(weight);
  }
  return winner;
}

}  // namespace metamcp::cluster
