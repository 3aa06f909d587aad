#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace metamcp::testing {

// A new folder under the system's temporary one, removed with what is in it.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

void WriteFile(const std::string& path, const std::string& text);
std::string ReadFile(const std::string& path);

// Path of a program of this build; METAMCP_BIN names another meta-mcp.
std::string BinaryPath(const std::string& name);

// One program of ours, run from outside. Its standard error goes to a file. Ended, if need be by
// force, when destroyed. Nothing but this process id is ever signalled.
class Process {
 public:
  struct Options {
    std::string stderr_file = "/dev/null";
    std::map<std::string, std::string> env;  // beside ours
  };
  Process(const std::vector<std::string>& command, const Options& options);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  // The next line of standard output; nullopt at its end or after `limit`.
  std::optional<std::string> ReadLine(std::chrono::milliseconds limit);
  void WriteIn(const std::string& text);
  void CloseIn();
  void Signal(int signal) const;
  // The exit code, or minus the signal that ended it; nullopt if it still runs after `limit`.
  std::optional<int> Wait(std::chrono::milliseconds limit);

 private:
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1;
  std::string buffer_;
  std::optional<int> exit_;
};

// Asks every few milliseconds until `condition` holds. False after `limit`.
bool Eventually(std::chrono::milliseconds limit, const std::function<bool()>& condition);

// The living children of a process, oldest first.
std::vector<pid_t> ChildrenOf(pid_t pid);
// Words of a process's command line.
std::vector<std::string> CommandLine(pid_t pid);
// Open descriptors of a process.
size_t CountFds(pid_t pid);
// Whether the size of a process of this build means anything.
#ifdef METAMCP_SANITIZED
inline constexpr bool kMemoryIsOurs = false;
#else
inline constexpr bool kMemoryIsOurs = true;
#endif
// Resident memory in KiB.
int64_t ResidentKib(pid_t pid);

}  // namespace metamcp::testing
