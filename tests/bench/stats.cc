#include "tests/bench/stats.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <numeric>

namespace metamcp::load {
namespace {

template <typename Visit>
void EachEntry(const std::string& folder, Visit visit) {
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return;
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] != '.') visit(folder + "/" + entry->d_name);
  }
  ::closedir(dir);
}

}  // namespace

ProcessUse ReadProcess(pid_t pid) {
  ProcessUse use;
  const std::string root = "/proc/" + std::to_string(pid);
  EachEntry(root + "/task", [&](const std::string& task) {
    int64_t ns = 0;
    std::ifstream(task + "/schedstat") >> ns;
    use.cpu_ns += ns;
    ++use.threads;
  });
  EachEntry(root + "/fd", [&](const std::string&) { ++use.fds; });
  int64_t size = 0, resident = 0;
  std::ifstream(root + "/statm") >> size >> resident;
  use.rss_kib = resident * (::sysconf(_SC_PAGESIZE) / 1024);
  return use;
}

double Latencies::Percentile(double share) {
  if (tenths_us_.empty()) return 0;
  if (!sorted_) std::sort(tenths_us_.begin(), tenths_us_.end());
  sorted_ = true;
  const auto last = static_cast<double>(tenths_us_.size() - 1);
  return static_cast<double>(tenths_us_[static_cast<size_t>(share * last + 0.5)]) / 10.0;
}

double Latencies::Mean() const {
  if (tenths_us_.empty()) return 0;
  const int64_t sum = std::accumulate(tenths_us_.begin(), tenths_us_.end(), int64_t{0});
  return static_cast<double>(sum) / 10.0 / static_cast<double>(tenths_us_.size());
}

}  // namespace metamcp::load
