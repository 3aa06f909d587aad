#include <list>
#include <map>
#include <utility>

#include "common/cache/cache.h"

namespace metamcp::cache {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// What an entry takes beside its bytes.
constexpr size_t kOverhead = 256;

class MemoryCache final : public Cache {
 public:
  explicit MemoryCache(Limits limits) : limits_(limits) {}

  Awaitable<std::optional<Hit>> Get(Key key) override {
    const auto found = entries_.find(key);
    if (found == entries_.end()) co_return std::nullopt;
    const auto left =
        std::chrono::duration_cast<milliseconds>(found->second.expires - Clock::now());
    if (left <= milliseconds(0)) {
      Erase(found);
      co_return std::nullopt;
    }
    used_.splice(used_.begin(), used_, found->second.place);
    co_return Hit{found->second.value, left};
  }

  Awaitable<void> Put(Key key, std::string value, milliseconds ttl) override {
    if (const auto old = entries_.find(key); old != entries_.end()) Erase(old);
    const size_t size = key.group.size() + key.item.size() + value.size() + kOverhead;
    if (ttl <= milliseconds(0) || value.size() > limits_.value_bytes_max ||
        size > limits_.bytes_max) {
      co_return;
    }
    while (bytes_ + size > limits_.bytes_max) Erase(entries_.find(*used_.back()));
    const auto [entry, made] = entries_.emplace(std::move(key), Entry());
    used_.push_front(&entry->first);
    entry->second = Entry{std::move(value), Clock::now() + ttl, size, used_.begin()};
    bytes_ += size;
  }

  Awaitable<void> Drop(std::string group) override {
    auto entry = entries_.lower_bound(Key{group, ""});
    while (entry != entries_.end() && entry->first.group == group) entry = Erase(entry);
    co_return;
  }

  size_t bytes() const override { return bytes_; }

 private:
  struct Entry {
    std::string value;
    Clock::time_point expires;
    size_t size = 0;
    std::list<const Key*>::iterator place;
  };
  using Entries = std::map<Key, Entry>;

  Entries::iterator Erase(Entries::iterator entry) {
    bytes_ -= entry->second.size;
    used_.erase(entry->second.place);
    return entries_.erase(entry);
  }

  const Limits limits_;
  Entries entries_;
  std::list<const Key*> used_;  // the latest first
  size_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<Cache> MakeMemoryCache(Limits limits) {
  return std::make_unique<MemoryCache>(limits);
}

}  // namespace metamcp::cache
