#include "services/connector/sandbox/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/error.h"
#include "common/base/strings.h"

// The launcher, built before this file.
asm(".section .rodata\n"
    ".balign 16\n"
    "metamcp_launcher_begin:\n"
    ".incbin \"" METAMCP_LAUNCHER
    "\"\n"
    "metamcp_launcher_end:\n"
    ".byte 0\n"
    ".previous\n");
extern "C" {
extern const char metamcp_launcher_begin[];
extern const char metamcp_launcher_end[];
}

namespace metamcp::connector::sandbox {
namespace {

constexpr unsigned kCloexec = 1, kExec = 0x10;  // of memfd_create; older headers lack the second
constexpr int kLowest = 64;

absl::Status SystemError(std::string_view what) {
  return MakeError("INTERNAL", "connector", StrCat(what, ": ", ::strerror(errno)));
}

}  // namespace

std::string_view LauncherImage() {
  return {metamcp_launcher_begin,
          static_cast<size_t>(metamcp_launcher_end - metamcp_launcher_begin)};
}

absl::StatusOr<Fd> MemoryFile(std::string_view content, bool executable) {
  int made = ::memfd_create("meta-mcp", kCloexec | (executable ? kExec : 0));
  if (made < 0 && errno == EINVAL) made = ::memfd_create("meta-mcp", kCloexec);
  if (made < 0) return SystemError("cannot make a file in memory");
  Fd file(made);
  while (!content.empty()) {
    const ssize_t n = ::write(file.get(), content.data(), content.size());
    if (n < 0) return SystemError("cannot fill a file in memory");
    content.remove_prefix(static_cast<size_t>(n));
  }
  // Opened again: a program cannot be run while it is open for writing, and each reader needs a
  // position of its own.
  const std::string path = StrCat("/proc/self/fd/", file.get());
  Fd reader(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (reader.get() < 0) return SystemError("cannot open a file in memory");
  Fd high(::fcntl(reader.get(), F_DUPFD_CLOEXEC, kLowest));
  if (high.get() < 0) return SystemError("cannot number a file in memory");
  return high;
}

}  // namespace metamcp::connector::sandbox
