#include "common/auth/passwords.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/async/run.h"
#include "common/auth/password_hash.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::auth {
namespace {

constexpr size_t kHeaderBytesMax = 2048;
constexpr std::chrono::minutes kKnown{5};
constexpr std::chrono::milliseconds kLook{5};
constexpr size_t kRightMax = 1000;
constexpr int kWaitingMax = 8;
// Wrong passwords until the next try has to wait: of a name from one address; of an address.
constexpr int kFreeOfName = 5;
constexpr int kFreeOfPeer = 20;
// Of "nobody", for names that are nobody's.
constexpr char kNobodysHash[] =
    "$argon2id$v=19$m=19456,t=2,p=1$bWV0YS1tY3AgZHVtbXkhIQ$"
    "0000000000000000000000000000000000000000000";

struct NameAndPassword {
  std::string name;
  std::string password;
  ~NameAndPassword() { OPENSSL_cleanse(password.data(), password.size()); }
};

bool Read(std::string_view header, NameAndPassword& out) {
  const size_t space = header.find(' ');
  if (space == std::string_view::npos || header.size() > kHeaderBytesMax) return false;
  header.remove_prefix(space);
  while (!header.empty() && header.front() == ' ') header.remove_prefix(1);
  std::string text;
  if (!absl::Base64Unescape(Av(header), &text)) return false;
  const size_t colon = text.find(':');
  const bool good = colon != std::string::npos && text.find('\0') == std::string::npos;
  if (good) {
    out.name = text.substr(0, colon);
    out.password = text.substr(colon + 1);
  }
  OPENSSL_cleanse(text.data(), text.size());
  return good;
}

Awaitable<bool> CheckOnThread(std::string hash, std::string password) {
  const bool right = CheckPasswordBlocking(hash, password);
  OPENSSL_cleanse(password.data(), password.size());
  co_return right;
}

absl::Status Wrong() {
  return MakeError("AUTH_INVALID", "gateway", "this name and password are not known");
}

absl::Status TooMany(Throttle::Clock::duration wait) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(wait).count() + 1;
  const std::string text = std::to_string(ms);
  return MakeError("RATE_LIMITED", "gateway", "too many wrong passwords; try again later",
                   {{"retryAfterMs.json", text},
                    {"limit.json", std::to_string(kFreeOfName)},
                    {"remaining.json", "0"},
                    {"resetMs.json", text}});
}

}  // namespace

Passwords::Passwords(const KeyRing& keys, Clock::time_point (*now)()) : keys_(keys), now_(now) {}
Passwords::~Passwords() { thread_.join(); }

absl::Status Passwords::SetUsers(std::vector<PasswordUser> users, bool* changed) {
  std::map<std::string, User> made;
  *changed = users.size() != users_.size();
  for (PasswordUser& user : users) {
    if (const absl::Status good = CheckPasswordHash(user.hash); !good.ok()) {
      return MakeError("CONFIG_INVALID", "gateway",
                       StrCat("auth.basic.users.", user.name, ".hash: ", Sv(good.message())));
    }
    const auto before = users_.find(user.name);
    if (before == users_.end() || !(before->second.of == user)) *changed = true;
    auto who = std::make_shared<Principal>();
    who->tenant = user.tenant;
    who->subject = user.name;
    who->roles = user.roles;
    who->teams = user.teams;
    who->method = StrCat("basic:", user.name);
    User entry;
    entry.principal = std::move(who);
    entry.of = std::move(user);
    made.emplace(entry.of.name, std::move(entry));
  }
  if (!*changed) return absl::OkStatus();
  users_ = std::move(made);
  right_.clear();
  ++generation_;
  return absl::OkStatus();
}

Awaitable<absl::StatusOr<std::shared_ptr<const Principal>>> Passwords::Check(std::string header,
                                                                             std::string peer) {
  NameAndPassword shown;
  if (!Read(header, shown)) co_return Wrong();
  const std::string mac =
      keys_.Mac(SealPurpose::kToken, StrCat("basic\n", shown.name, "\n", shown.password));
  // A page that begins with many requests at once is one try.
  while (checking_.count(mac) > 0) {
    const bool slept = co_await Sleep(kLook);
    if (!slept) co_return absl::CancelledError("cancelled");
  }
  if (const auto known = right_.find(mac); known != right_.end() && known->second.until > now_()) {
    co_return known->second.principal;
  }
  const std::string by_name = StrCat("name\n", shown.name.substr(0, 256), "\n", peer);
  const std::string by_peer = StrCat("peer\n", peer);
  const auto wait = std::max(throttle_.Wait(by_name, now_()), throttle_.Wait(by_peer, now_()));
  if (wait > Clock::duration::zero()) co_return TooMany(wait);
  if (waiting_ >= kWaitingMax) co_return TooMany(std::chrono::seconds(1));
  // Counted as wrong until it is right: those who come together count together.
  throttle_.Failed(by_name, kFreeOfName, now_());
  throttle_.Failed(by_peer, kFreeOfPeer, now_());
  const auto user = users_.find(shown.name);
  std::string hash = user == users_.end() ? kNobodysHash : user->second.of.hash;
  const bool somebody = user != users_.end();
  const uint64_t generation = generation_;
  ++waiting_;
  checking_.insert(mac);
  struct Done {
    Passwords& self;
    const std::string& mac;
    ~Done() {
      --self.waiting_;
      self.checking_.erase(mac);
    }
  } done{*this, mac};
  std::string password = shown.password;
  auto checking = CheckOnThread(std::move(hash), std::move(password));
  const bool right = co_await boost::asio::co_spawn(thread_.get_executor(), std::move(checking),
                                                    boost::asio::use_awaitable);
  if (!right || !somebody || generation != generation_) co_return Wrong();
  throttle_.Succeeded(by_name);
  throttle_.Succeeded(by_peer);
  const auto still = users_.find(shown.name);
  if (right_.size() >= kRightMax) right_.clear();
  Right entry;
  entry.principal = still->second.principal;
  entry.until = now_() + kKnown;
  right_[mac] = entry;
  co_return entry.principal;
}

}  // namespace metamcp::auth
