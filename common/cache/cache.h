#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "common/async/sink.h"

namespace metamcp::cache {

struct Key {
  std::string group;  // what is forgotten together, for example an upstream's id
  std::string item;   // one thing in it; at most 1 KiB, longer ones as digests
  auto operator<=>(const Key&) const = default;
};

struct Hit {
  std::string value;
  std::chrono::milliseconds left{0};  // until it expires
};

struct Limits {
  Limits() = default;
  size_t bytes_max = 64u << 20;       // of all values with their keys
  size_t value_bytes_max = 1u << 20;  // a larger value is not kept
};

// Values that can be made again. Nothing here fails: what cannot be read is not there, and what
// cannot be kept is not kept. All calls on the executor's one thread.
class Cache {
 public:
  virtual ~Cache() = default;
  virtual Awaitable<std::optional<Hit>> Get(Key key) = 0;
  // Replaces the key's value. One with no time to live is not kept.
  virtual Awaitable<void> Put(Key key, std::string value, std::chrono::milliseconds ttl) = 0;
  virtual Awaitable<void> Drop(std::string group) = 0;
  // In memory; of the database, as far as it was last counted here.
  virtual size_t bytes() const = 0;
};

// In this process; what was used longest ago makes room.
std::unique_ptr<Cache> MakeMemoryCache(Limits limits);

}  // namespace metamcp::cache
