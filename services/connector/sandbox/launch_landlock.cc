#include "services/connector/sandbox/launch_landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace metamcp::connector::sandbox {
namespace {

// The kernel's numbers, which older headers have in part only.
constexpr long kCreateRuleset = 444, kAddRule = 445, kRestrictSelf = 446;
constexpr uint32_t kVersionFlag = 1;
constexpr int kPathBeneath = 1;
struct Ruleset {
  uint64_t files;
  uint64_t net;
  uint64_t scoped;
};
struct __attribute__((packed)) Beneath {
  uint64_t allowed;
  int32_t parent;
};
constexpr uint64_t kExecute = 1 << 0, kWriteFile = 1 << 1, kReadFile = 1 << 2, kReadDir = 1 << 3;
constexpr uint64_t kAll[] = {(1 << 13) - 1, (1 << 14) - 1, (1 << 15) - 1, (1 << 15) - 1,
                             (1 << 16) - 1};
constexpr uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | (1 << 14) | (1 << 15);
constexpr uint64_t kScopeAbstractSockets = 1 << 0, kScopeSignals = 1 << 1;

bool Allow(int ruleset, const char* path, uint64_t rights) {
  const int fd = ::open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || errno == EACCES;
  struct stat info = {};
  ::fstat(fd, &info);
  if (!S_ISDIR(info.st_mode)) rights &= kOfFiles;
  const Beneath rule = {rights, fd};
  const bool added = ::syscall(kAddRule, ruleset, kPathBeneath, &rule, 0) == 0;
  ::close(fd);
  return added;
}

}  // namespace

int RestrictFiles(char** writable, int count, bool no_connections) {
  const long abi = ::syscall(kCreateRuleset, nullptr, 0, kVersionFlag);
  if (abi <= 0) return 0;
  const uint64_t all = kAll[std::min<long>(abi, 5) - 1];
  Ruleset ruleset = {all, 0, 0};
  size_t size = 8;
  if (abi >= 6 && no_connections) {
    ruleset.scoped = kScopeAbstractSockets | kScopeSignals;
    size = sizeof(ruleset);
  }
  const int fd = static_cast<int>(::syscall(kCreateRuleset, &ruleset, size, 0));
  if (fd < 0) return -1;
  bool good = Allow(fd, "/", kExecute | kReadFile | kReadDir);
  for (int i = 0; i < count; ++i) good = good && Allow(fd, writable[i], all);
  if (!good || ::syscall(kRestrictSelf, fd, 0) != 0) return -1;
  ::close(fd);
  return static_cast<int>(abi);
}

}  // namespace metamcp::connector::sandbox
