#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/async/async_lock.h"
#include "common/async/sink.h"

namespace metamcp::cluster {

// One process, as the directory knows it.
struct Member {
  std::string instance;
  std::string address;  // gRPC target
  std::vector<std::string> roles;
  int64_t since_us = 0;
  bool Has(std::string_view role) const;
  bool operator==(const Member&) const = default;
};

// 12 hexadecimal digits that name one run of one process.
std::string NewInstanceId();
bool IsInstanceId(std::string_view text);

// Who is alive. Single-threaded.
class Members {
 public:
  // `clustered`: others may exist. If not, nobody does.
  Members(std::string self, bool clustered) : self_(std::move(self)), clustered_(clustered) {}
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  const std::string& self() const { return self_; }
  bool clustered() const { return clustered_; }

  // What the directory says now.
  void Replace(std::vector<Member> alive);
  // Asks the directory at once; set by whoever follows it. May be empty.
  std::function<Awaitable<void>()> refresh;
  // The directory gave no answer when it was asked last: who is unknown may be there all the same.
  bool silent = false;
  // Called after a Replace that changed something.
  void OnChange(std::function<void()> callback) { callbacks_.push_back(std::move(callback)); }

  // This process's own entry counts too.
  const Member* Find(std::string_view instance) const;
  // As Find, but asks the directory where the instance is unknown.
  Awaitable<std::optional<Member>> Look(std::string instance);
  // Returns when this knows whoever had joined before the call. The directory is asked at most four
  // times a second, once for all who wait.
  Awaitable<void> Ask();
  // Ordered by instance.
  std::vector<Member> With(std::string_view role) const;

 private:
  const std::string self_;
  const bool clustered_;
  std::map<std::string, Member, std::less<>> alive_;
  std::vector<std::function<void()>> callbacks_;
  std::optional<AsyncLock> asking_;
  std::optional<std::chrono::steady_clock::time_point> asked_;  // when the last question began
};

// Who of `members` should have `key`: everybody who knows the same members says the same, and one
// member more or less moves only its share. Points into `members`; null for none. Highest random
// weight.
const Member* RendezvousWinner(std::string_view key, const std::vector<Member>& members);
const Member* RendezvousWinner(std::string_view key, std::vector<Member>&& members) = delete;

}  // namespace metamcp::cluster
