#pragma once

#include <unistd.h>

#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace metamcp::connector::sandbox {

// Owns a descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

// Returns a file in memory with `content`, read from its beginning, whose number is 64 or more so
// that it can be moved to a low one. `executable`: it may be run, where the system asks for that.
// Errors: INTERNAL with the system's text.
absl::StatusOr<Fd> MemoryFile(std::string_view content, bool executable);

// The launcher's program (launch_main.cc), which is part of this one.
std::string_view LauncherImage();

}  // namespace metamcp::connector::sandbox
