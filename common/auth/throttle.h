#pragma once

#include <chrono>
#include <map>
#include <string>

namespace metamcp::auth {

// Slows down those who guess: after some failures of a key (a name, a peer) its next try has to
// wait, twice as long each time. What is quiet for long is forgotten. At most `kMax` keys; beyond
// that those that were never seen share one. Single-threaded.
class Throttle {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kMax = 10'000;
  static constexpr std::chrono::seconds kFirst{1};
  static constexpr std::chrono::seconds kLongest{300};

  // How long `key`, which may fail `free` times, still has to wait; zero: not at all.
  Clock::duration Wait(const std::string& key, Clock::time_point now) const;
  void Failed(const std::string& key, int free, Clock::time_point now);
  void Succeeded(const std::string& key) { entries_.erase(key); }

 private:
  struct Entry {
    int failures = 0;
    Clock::time_point until;
    Clock::time_point forget;
  };
  std::map<std::string, Entry> entries_;
};

}  // namespace metamcp::auth
