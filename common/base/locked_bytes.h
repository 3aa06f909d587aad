#pragma once

#include <cstddef>
#include <string_view>

namespace metamcp {

// A few secret bytes in pages of their own: never in a core dump, kept out of swap where the system
// lets us lock memory (RLIMIT_MEMLOCK), wiped on destruction. Immutable. Thread: any.
class LockedBytes {
 public:
  explicit LockedBytes(std::string_view bytes);
  ~LockedBytes();
  LockedBytes(const LockedBytes&) = delete;
  LockedBytes& operator=(const LockedBytes&) = delete;

  std::string_view view() const { return {data_, size_}; }
  bool locked() const { return locked_; }

 private:
  size_t size_;
  size_t mapped_ = 0;
  char* data_ = nullptr;
  bool locked_ = false;
};

// Keeps this process's memory from core dumps and from debuggers of the same user. Sanitizers,
// which trace themselves, keep it open.
void KeepMemoryPrivate();

}  // namespace metamcp
