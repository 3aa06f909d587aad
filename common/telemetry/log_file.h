#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace metamcp {

// A log file that makes room for itself: PATH is written, PATH.1 is the one before, and so on. A
// file is changed when it is full or its first line too old. What cannot be written (the disk is
// full) is dropped and counted, and the next line that can be written says how much. Thread: one
// at a time.
class LogFile {
 public:
  struct Options {
    std::string path;
    int64_t bytes_max = 10 << 20;
    int64_t age_max_s = 0;  // 0: whatever its age
    int files_max = 5;      // beside the one that is written
  };
  explicit LogFile(Options options) : options_(std::move(options)) {}
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // Opens, or goes on in, PATH (mode 0600). False: `*error` says why.
  bool Open(std::string* error);
  // `line` ends with its line break. `now_us` since the epoch.
  void Write(std::string_view line, int64_t now_us);

 private:
  bool Append(std::string_view line);
  void Rotate();

  const Options options_;
  int file_ = -1;
  int64_t bytes_ = 0;
  int64_t since_us_ = 0;  // of the first line
  uint64_t dropped_ = 0;
};

}  // namespace metamcp
