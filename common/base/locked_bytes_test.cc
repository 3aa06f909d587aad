#include "common/base/locked_bytes.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

namespace metamcp {
namespace {

// The flags of the mapping that holds `address`.
std::string FlagsOf(const void* address) {
  std::ifstream in("/proc/self/smaps");
  const auto at = reinterpret_cast<uintptr_t>(address);
  bool inside = false;
  for (std::string line; std::getline(in, line);) {
    uintptr_t begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%zx-%zx ", &begin, &end) == 2) inside = at >= begin && at < end;
    if (inside && line.starts_with("VmFlags:")) return line;
  }
  return "";
}

TEST(LockedBytes, AreKeptFromDumpsAndSwap) {
  RecordProperty("req", "NFR-004");
  const LockedBytes bytes("a key");
  EXPECT_EQ(bytes.view(), "a key");
  const std::string flags = FlagsOf(bytes.view().data());
  EXPECT_NE(flags.find(" dd"), std::string::npos) << flags;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // The sanitizers make mlock(2) do nothing.
  EXPECT_EQ(bytes.locked(), flags.find(" lo") != std::string::npos) << flags;
#endif
  const LockedBytes none("");
  EXPECT_TRUE(none.view().empty());
}

TEST(LockedBytes, KeepMemoryPrivateClosesIt) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const pid_t child = ::fork();
  if (child == 0) {
    KeepMemoryPrivate();
    ::_exit(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
#else
  GTEST_SKIP() << "sanitizers trace themselves";
#endif
}

}  // namespace
}  // namespace metamcp
