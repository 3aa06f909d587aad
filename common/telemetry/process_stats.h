#pragma once

#include <cstdint>

namespace metamcp {

// What the kernel counts for this process; 0 where it does not say.
struct ProcessStats {
  double cpu_seconds = 0;
  double start_seconds = 0;  // Unix time
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;
};

// Reads /proc/self, which the kernel answers from memory. Thread: any.
ProcessStats ReadProcessStats();

}  // namespace metamcp
