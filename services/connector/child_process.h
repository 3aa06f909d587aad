#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/async/sink.h"

namespace metamcp::connector {

// What to run. `env` is the configured environment with references already resolved.
struct SpawnOptions {
  std::string command;
  std::vector<std::string> args;
  std::map<std::string, std::string> env;
  std::string cwd;  // empty: ours
};

// One start in full: nothing is added to it and nothing is looked up. `fds` become the child's
// descriptors 3, 4, … and must be 64 or more; `held` keeps them until the child has started, `kept`
// lives as long as the child.
struct SpawnPlan {
  std::string name;               // for messages
  std::string file;               // to run
  std::vector<std::string> args;  // the first is the program's name for itself
  std::vector<std::string> env;   // NAME=value
  std::string cwd;                // empty: ours
  std::vector<int> fds;
  std::shared_ptr<const void> held;
  std::shared_ptr<const void> kept;
};

// How a child ended: exactly one of the two is meaningful.
struct ExitStatus {
  int code = -1;
  int signal = 0;
  // "exited with code 3" or "killed by signal 9".
  std::string ToString() const;
};

// The hard cap on children of this process. Single-threaded.
class ProcessBudget {
 public:
  explicit ProcessBudget(int max) : max_(max) {}
  int running() const { return running_; }
  int max() const { return max_; }

 private:
  friend class ChildProcess;
  const int max_;
  int running_ = 0;
};

// Returns the environment a child gets: of ours only PATH, HOME, LANG, LC_ALL, TMPDIR, USER and
// LOGNAME, then what the configuration says, which wins. Nothing else leaks in.
std::map<std::string, std::string> ChildEnvironment(
    const std::map<std::string, std::string>& configured);

// Returns the path that `command` names: itself where it holds a '/', else the first executable
// file on `path`. Errors: UPSTREAM_UNAVAILABLE that names the command and suggests a mend.
absl::StatusOr<std::string> ResolveCommand(const std::string& command, const std::string& path);

// The plan of a child that nothing confines: its environment is ChildEnvironment's.
// Errors: UPSTREAM_UNAVAILABLE where the command or the working directory is not there.
absl::StatusOr<SpawnPlan> PlainPlan(const SpawnOptions& options);

// Starts `plan` with these standard streams and returns the process, a session's leader whom nobody
// watches yet. Errors: UPSTREAM_UNAVAILABLE.
absl::StatusOr<int> StartPlan(const SpawnPlan& plan, int in, int out, int err);

// One child in a session (so also a process group) of its own, with pipes on its three standard
// streams. Started by posix_spawn: nothing of ours runs in the child, no descriptor but the three
// is inherited, signals have default dispositions.
//
// Nobody is left behind: when the leader ends, whoever remains in its group is killed before the
// leader is reaped (so the group id cannot have been reused), and the destructor kills the group.
// Processes that leave the group by setsid are beyond reach. Thread: the executor's one.
class ChildProcess {
 public:
  using Descriptor = boost::asio::posix::stream_descriptor;

  // `budget` must outlive the child. SIGPIPE is ignored in this process from the first call on.
  // Errors: RESOURCE_EXHAUSTED at the cap, UPSTREAM_UNAVAILABLE
  // where the command cannot be run (the message says why).
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Spawn(boost::asio::any_io_executor executor,
                                                             const SpawnOptions& options,
                                                             ProcessBudget& budget);
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Spawn(boost::asio::any_io_executor executor,
                                                             SpawnPlan plan, ProcessBudget& budget);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  int pid() const { return pid_; }
  // Non-blocking ends of the child's streams.
  Descriptor& in() { return in_; }
  Descriptor& out() { return out_; }
  Descriptor& err() { return err_; }

  bool exited() const { return exited_; }
  const ExitStatus& exit_status() const { return exit_; }

  // Waits for the end; several may wait. Returns false when the wait was cancelled.
  Awaitable<bool> WaitExit();

  // Closes stdin and waits `grace`, sends TERM to the group and waits `grace`, then KILL.
  Awaitable<void> Stop(std::chrono::milliseconds grace);

  // Sends `signal` to the whole group while the leader has not been reaped.
  void SignalGroup(int signal);

 private:
  ChildProcess(boost::asio::any_io_executor executor, int pid, int pidfd, ProcessBudget& budget);
  Awaitable<bool> WaitExitUntil(std::chrono::steady_clock::time_point until);
  void Reap();

  ProcessBudget& budget_;
  const int pid_;
  bool exited_ = false;
  ExitStatus exit_;
  Descriptor pidfd_;
  Descriptor in_, out_, err_;
  std::shared_ptr<const void> kept_;
};

}  // namespace metamcp::connector
