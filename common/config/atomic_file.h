#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

// Files that people edit too: whole or not at all, one writer at a time. All of it blocks.
namespace metamcp::config {

// Keeps other editors of `path` out until destroyed (flock on "<path>.lock", which goes with
// it).
class FileLock {
 public:
  // Waits for the lock; makes missing folders (0700). Errors: PERMISSION_DENIED when the folder
  // cannot be written, else INTERNAL.
  static absl::StatusOr<FileLock> AcquireBlocking(const std::string& path);
  FileLock(FileLock&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), name_(std::move(other.name_)) {}
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  FileLock(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
  int fd_;
  std::string name_;  // of the lock file
};

// Errors: NOT_FOUND; PERMISSION_DENIED; INVALID_ARGUMENT for a folder or more than 4 MiB.
absl::StatusOr<std::string> ReadTextBlocking(const std::string& path);

// Replaces the content of `path` by a rename within its folder, after fsync. An existing file keeps
// its mode, a symbolic link stays one (its target is replaced); a new file gets 0600.
// Errors: PERMISSION_DENIED when the file has no write permission or cannot be written.
absl::Status ReplaceTextBlocking(const std::string& path, std::string_view text);

// Copies `path` to "<path>.bak-<UTC time>" with its mode and returns that name.
absl::StatusOr<std::string> BackupBlocking(const std::string& path);

}  // namespace metamcp::config
