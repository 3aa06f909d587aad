#include "common/config/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/json_tree.h"

namespace metamcp::config {
namespace {

constexpr std::string_view kDomain = "config";
constexpr mode_t kNewFileMode = 0600;

absl::Status SystemError(const std::string& path, std::string_view what, int error) {
  const std::string message = StrCat(path, ": ", what, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
      return MakeError("NOT_FOUND", kDomain, message);
    case EACCES:
    case EPERM:
      return MakeError("PERMISSION_DENIED", kDomain, message);
    case EROFS:
      return MakeError("PERMISSION_DENIED", kDomain,
                       StrCat(message, "; change it where it comes from, or use the admin API"));
    default:
      return MakeError("INTERNAL", kDomain, message);
  }
}

// The file behind symbolic links, so that a rename replaces it and not the link.
std::string TargetOf(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_symlink(path, error)) return path;
  const std::filesystem::path target = std::filesystem::weakly_canonical(path, error);
  return error ? path : target.string();
}

std::string FolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// Writes a new file beside `target` and renames it over.
absl::Status WriteAndRename(const std::string& target, std::string_view text, mode_t mode) {
  std::string name = target + ".tmpXXXXXX";
  const int fd = mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) return SystemError(target, "cannot write in its folder", errno);
  int error = 0;
  if (!WriteAll(fd, text) || fchmod(fd, mode) != 0 || fsync(fd) != 0) error = errno;
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && rename(name.c_str(), target.c_str()) != 0) error = errno;
  if (error != 0) {
    unlink(name.c_str());
    return SystemError(target, "cannot be written", error);
  }
  // The rename itself survives a power cut only when the folder is synced.
  const int folder = open(FolderOf(target).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    fsync(folder);
    close(folder);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FileLock> FileLock::AcquireBlocking(const std::string& path) {
  const std::string target = TargetOf(path);
  const std::string folder = FolderOf(target);
  struct stat info {};
  if (stat(folder.c_str(), &info) != 0) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) return SystemError(folder, "cannot be made", error.value());
    chmod(folder.c_str(), 0700);
  }
  const std::string name = target + ".lock";
  for (;;) {
    const int fd = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kNewFileMode);
    if (fd < 0) return SystemError(path, "cannot be edited", errno);
    while (flock(fd, LOCK_EX) != 0) {
      if (errno == EINTR) continue;
      const int error = errno;
      close(fd);
      return SystemError(path, "cannot be locked", error);
    }
    // Who had it before has removed it: the lock is on a file that nobody else will find.
    struct stat held {};
    struct stat named {};
    const bool same = fstat(fd, &held) == 0 && stat(name.c_str(), &named) == 0 &&
                      held.st_dev == named.st_dev && held.st_ino == named.st_ino;
    if (same) return FileLock(fd, name);
    close(fd);
  }
}

FileLock::~FileLock() {
  if (fd_ < 0) return;
  unlink(name_.c_str());  // while it is held, so that it is surely ours
  close(fd_);
}

absl::StatusOr<std::string> ReadTextBlocking(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return SystemError(path, "cannot be read", errno);
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    return MakeError("CONFIG_INVALID", kDomain, StrCat(path, ": is no regular file"));
  }
  std::string text;
  char block[16384];
  ssize_t n = 0;
  while (text.size() <= kConfigBytesMax) {
    n = read(fd, block, sizeof(block));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(block, static_cast<size_t>(n));
  }
  const int error = errno;
  close(fd);
  if (n < 0) return SystemError(path, "cannot be read", error);
  if (text.size() > kConfigBytesMax) {
    return MakeError("CONFIG_INVALID", kDomain,
                     StrCat(path, ": has more than ", kConfigBytesMax, " bytes"));
  }
  return text;
}

absl::Status ReplaceTextBlocking(const std::string& path, std::string_view text) {
  const std::string target = TargetOf(path);
  struct stat info {};
  mode_t mode = kNewFileMode;
  if (stat(target.c_str(), &info) == 0) {
    mode = info.st_mode & 07777;
    // The folder's permission would allow the rename, but the owner said no; root asks too.
    if ((mode & 0222) == 0 || access(target.c_str(), W_OK) != 0) {
      return MakeError(
          "PERMISSION_DENIED", kDomain,
          StrCat(path, ": is read-only; run 'chmod u+w ", path, "' or use the admin API"));
    }
  }
  return WriteAndRename(target, text, mode);
}

absl::StatusOr<std::string> BackupBlocking(const std::string& path) {
  METAMCP_ASSIGN_OR_RETURN(const std::string text, ReadTextBlocking(path));
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return SystemError(path, "cannot be read", errno);
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char stamp[32];
  std::strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);
  std::string name = StrCat(path, ".bak-", stamp);
  for (int i = 2; access(name.c_str(), F_OK) == 0; ++i) name = StrCat(path, ".bak-", stamp, "-", i);
  METAMCP_RETURN_IF_ERROR(WriteAndRename(name, text, info.st_mode & 07777));
  return name;
}

}  // namespace metamcp::config
