#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/auth/authenticator.h"
#include "common/auth/throttle.h"

namespace metamcp::auth {

// One entry of auth.basic.users.
struct PasswordUser {
  std::string name;
  std::string hash;
  std::string tenant = "default";
  std::vector<std::string> roles;
  std::vector<std::string> teams;
  bool operator==(const PasswordUser&) const = default;
};

// Names and passwords of HTTP Basic (RFC 7617): subject is the name, method "basic:<name>". Hashes
// are computed on a thread of their own, one at a time and a few waiting; a password that was right
// is known for five minutes by its MAC, so that the next requests cost microseconds. A name that is
// nobody's takes as long as one that is somebody's. Thread: the io thread.
class Passwords final : public PasswordSource {
 public:
  using Clock = std::chrono::steady_clock;
  // `keys` must outlive it. `now` tells the time.
  Passwords(const KeyRing& keys, Clock::time_point (*now)());
  ~Passwords() override;

  // Takes these users; none: nobody comes in. Errors: CONFIG_INVALID for a hash that is none; then
  // nothing has changed. `changed` tells whether they differ from those before.
  absl::Status SetUsers(std::vector<PasswordUser> users, bool* changed);

  Awaitable<absl::StatusOr<std::shared_ptr<const Principal>>> Check(std::string header,
                                                                    std::string peer) override;
  bool enabled() const override { return !users_.empty(); }

 private:
  struct User {
    PasswordUser of;
    std::shared_ptr<const Principal> principal;
  };
  struct Right {
    std::shared_ptr<const Principal> principal;
    Clock::time_point until;
  };
  const KeyRing& keys_;
  Clock::time_point (*const now_)();
  std::map<std::string, User> users_;
  uint64_t generation_ = 0;             // of users_
  std::map<std::string, Right> right_;  // by the MAC of name and password
  Throttle throttle_;
  int waiting_ = 0;
  std::set<std::string> checking_;  // MACs, likewise
  boost::asio::thread_pool thread_{1};
};

}  // namespace metamcp::auth
