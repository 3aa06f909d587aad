#include "cli/spawn_client.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::cli {
namespace {

constexpr std::chrono::seconds kGrace{2};
constexpr std::chrono::milliseconds kPoll{10};

absl::Status Failed(const std::string& program, int error) {
  return MakeError("CONFIG_INVALID", "cli",
                   StrCat("cannot start ", program, ": ", std::strerror(error)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ClientProgram>> ClientProgram::Spawn(
    const std::vector<std::string>& command) {
  int to[2];
  int from[2];
  if (::pipe2(to, O_CLOEXEC) != 0) return Failed(command.front(), errno);
  if (::pipe2(from, O_CLOEXEC) != 0) {
    const int error = errno;
    ::close(to[0]);
    ::close(to[1]);
    return Failed(command.front(), error);
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
  // What we ignore, it need not.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  ::close(to[0]);
  ::close(from[1]);
  if (error != 0) {
    ::close(to[1]);
    ::close(from[0]);
    return Failed(command.front(), error);
  }
  return std::unique_ptr<ClientProgram>(new ClientProgram(pid, to[1], from[0]));
}

ClientProgram::~ClientProgram() {
  ::close(in_);
  ::close(out_);
  ::kill(pid_, SIGTERM);
  const auto until = std::chrono::steady_clock::now() + kGrace;
  while (::waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > until) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
      return;
    }
    std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace metamcp::cli
