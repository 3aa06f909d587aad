#include "common/telemetry/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace metamcp {

LogFile::~LogFile() {
  if (file_ >= 0) ::close(file_);
}

bool LogFile::Open(std::string* error) {
  file_ = ::open(options_.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  struct stat about {};
  if (file_ < 0 || ::fstat(file_, &about) != 0) {
    if (error != nullptr) *error = options_.path + ": " + std::strerror(errno);
    return false;
  }
  bytes_ = about.st_size;
  // When its first line was written is not kept; its last is never later than that of a new file.
  since_us_ = bytes_ > 0 ? static_cast<int64_t>(about.st_mtim.tv_sec) * 1'000'000 : 0;
  return true;
}

void LogFile::Write(std::string_view line, int64_t now_us) {
  const auto size = static_cast<int64_t>(line.size());
  const bool full = bytes_ > 0 && bytes_ + size > options_.bytes_max;
  const bool old =
      bytes_ > 0 && options_.age_max_s > 0 && now_us - since_us_ > options_.age_max_s * 1'000'000;
  if (full || old) Rotate();
  if (bytes_ == 0) since_us_ = now_us;
  if (dropped_ > 0) {
    char note[96];
    const int length = std::snprintf(
        note, sizeof(note), "{\"level\":\"error\",\"event\":\"log.dropped\",\"lines\":%llu}\n",
        static_cast<unsigned long long>(dropped_));
    if (!Append(std::string_view(note, static_cast<size_t>(length)))) {
      ++dropped_;
      return;
    }
    dropped_ = 0;
  }
  if (!Append(line)) ++dropped_;
}

bool LogFile::Append(std::string_view line) {
  if (file_ < 0 && !Open(nullptr)) return false;
  const ssize_t written = ::write(file_, line.data(), line.size());
  if (written == static_cast<ssize_t>(line.size())) {
    bytes_ += written;
    return true;
  }
  // Half a line would spoil the next.
  if (written > 0 && ::ftruncate(file_, bytes_) != 0) bytes_ += written;
  return false;
}

void LogFile::Rotate() {
  if (file_ >= 0) ::close(file_);
  file_ = -1;
  const auto name = [this](int i) {
    return i == 0 ? options_.path : options_.path + "." + std::to_string(i);
  };
  if (options_.files_max <= 0) ::unlink(options_.path.c_str());
  for (int i = options_.files_max; i > 0; --i) {
    ::rename(name(i - 1).c_str(), name(i).c_str());
  }
  bytes_ = 0;
  Open(nullptr);
}

}  // namespace metamcp
