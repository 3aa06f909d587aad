#include "common/telemetry/process_stats.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace metamcp {
namespace {

// Seconds since the epoch at which the machine was started.
double BootSeconds() {
  std::ifstream file("/proc/stat");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("btime ", 0) == 0) return std::strtod(line.c_str() + 6, nullptr);
  }
  return 0;
}

}  // namespace

ProcessStats ReadProcessStats() {
  ProcessStats stats;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    stats.cpu_seconds = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                        static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) stats.max_fds = limit.rlim_cur;

  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  // The second field, the program's name in parentheses, may hold anything; count behind it.
  const size_t name_end = text.rfind(')');
  if (name_end != std::string::npos) {
    std::istringstream fields(text.substr(name_end + 1));
    std::string field;
    for (int number = 3; fields >> field; ++number) {  // proc(5), /proc/pid/stat
      const double value = std::strtod(field.c_str(), nullptr);
      if (number == 22) {
        stats.start_seconds = BootSeconds() + value / static_cast<double>(sysconf(_SC_CLK_TCK));
      } else if (number == 23) {
        stats.virtual_bytes = static_cast<uint64_t>(value);
      } else if (number == 24) {
        stats.resident_bytes =
            static_cast<uint64_t>(value) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
      }
    }
  }
  std::error_code error;
  std::filesystem::directory_iterator entry("/proc/self/fd", error);
  while (!error && entry != std::filesystem::directory_iterator()) {
    ++stats.open_fds;
    entry.increment(error);
  }
  return stats;
}

}  // namespace metamcp
