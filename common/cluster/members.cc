#include "common/cluster/members.h"

#include <algorithm>

#include "common/async/run.h"
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
  if (Find(instance) == nullptr && IsInstanceId(instance)) co_await Ask();
  const Member* known = Find(instance);
  if (known == nullptr) co_return std::nullopt;
  co_return *known;
}

Awaitable<void> Members::Ask() {
  if (!clustered_ || !refresh) co_return;
  using Clock = std::chrono::steady_clock;
  const auto arrived = Clock::now();
  if (!asking_) asking_.emplace(co_await boost::asio::this_coro::executor);
  const auto turn = co_await asking_->Lock();
  if (asked_ && *asked_ >= arrived) co_return;
  if (asked_ && Clock::now() - *asked_ < kAskEvery) {
    const bool slept = co_await Sleep(*asked_ + kAskEvery - Clock::now());
    if (!slept) co_return;
  }
  asked_ = Clock::now();
  auto asking = refresh();
  co_await std::move(asking);
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
