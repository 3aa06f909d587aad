#include "services/connector/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::connector {
namespace {

// Owns a descriptor until it is handed on.
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
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

struct Pipe {
  Fd read;
  Fd write;
};

absl::Status SystemError(std::string_view what, int error) {
  return MakeError("UPSTREAM_UNAVAILABLE", "connector", StrCat(what, ": ", ::strerror(error)));
}

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return SystemError("cannot make a pipe", errno);
  Pipe pipe;
  pipe.read = Fd(fds[0]);
  pipe.write = Fd(fds[1]);
  return pipe;
}

// Lists the three standard streams, the working directory and the descriptor sweep for the child.
class FileActions {
 public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  int Prepare(int in, int out, int err, const std::vector<int>& fds, const std::string& cwd) {
    int rc = ::posix_spawn_file_actions_adddup2(&actions_, in, 0);
    if (rc == 0) rc = ::posix_spawn_file_actions_adddup2(&actions_, out, 1);
    if (rc == 0) rc = ::posix_spawn_file_actions_adddup2(&actions_, err, 2);
    int next = 3;
    for (const int fd : fds) {
      if (rc == 0) rc = ::posix_spawn_file_actions_adddup2(&actions_, fd, next++);
    }
    if (rc == 0) rc = ::posix_spawn_file_actions_addclosefrom_np(&actions_, next);
    if (rc == 0 && !cwd.empty()) {
      rc = ::posix_spawn_file_actions_addchdir_np(&actions_, cwd.c_str());
    }
    return rc;
  }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

// A new session, an empty signal mask and default dispositions.
class Attributes {
 public:
  Attributes() {
    ::posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }
  const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (std::string& s : strings) out.push_back(s.data());
  out.push_back(nullptr);
  return out;
}

bool IsDirectory(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool IsExecutableFile(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

absl::Status ExecError(const std::string& command, int error) {
  std::string_view mend = "check the command";
  if (error == ENOENT) mend = "install it, or write its full path";
  if (error == EACCES) mend = "make it executable, or choose another command";
  if (error == ENOEXEC) mend = "give the script a first line such as '#!/bin/sh'";
  return MakeError("UPSTREAM_UNAVAILABLE", "connector",
                   StrCat("cannot start '", command, "': ", ::strerror(error), "; ", mend));
}

// Writing to a child that just died must be an error, not our death. A handler that somebody set
// is left alone; children get the default back.
void IgnoreBrokenPipes() {
  struct sigaction now = {};
  if (::sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) {
    ::signal(SIGPIPE, SIG_IGN);
  }
}

}  // namespace

std::string ExitStatus::ToString() const {
  if (signal != 0) return StrCat("was killed by signal ", signal);
  return StrCat("exited with code ", code);
}

std::map<std::string, std::string> ChildEnvironment(
    const std::map<std::string, std::string>& configured) {
  std::map<std::string, std::string> out;
  for (const char* name : {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME"}) {
    if (const char* value = ::getenv(name); value != nullptr) out[name] = value;
  }
  if (out.find("PATH") == out.end()) out["PATH"] = "/usr/local/bin:/usr/bin:/bin";
  for (const auto& [name, value] : configured) out[name] = value;
  return out;
}

absl::StatusOr<std::string> ResolveCommand(const std::string& command, const std::string& path) {
  if (command.empty() || command.find('\0') != std::string::npos) {
    return MakeError("UPSTREAM_UNAVAILABLE", "connector", "the command is empty or malformed");
  }
  if (command.find('/') != std::string::npos) return command;
  size_t begin = 0;
  while (begin <= path.size()) {
    const size_t end = std::min(path.find(':', begin), path.size());
    const std::string folder = path.substr(begin, end - begin);
    std::string candidate = StrCat(folder.empty() ? "." : folder, "/", command);
    if (IsExecutableFile(candidate)) return candidate;
    begin = end + 1;
  }
  return MakeError("UPSTREAM_UNAVAILABLE", "connector",
                   StrCat("cannot start '", command, "': no such command on PATH (", path,
                          "); install it, or write its full path"));
}

ChildProcess::ChildProcess(boost::asio::any_io_executor executor, int pid, int pidfd,
                           ProcessBudget& budget)
    : budget_(budget),
      pid_(pid),
      pidfd_(executor, pidfd),
      in_(executor),
      out_(executor),
      err_(executor) {
  ++budget_.running_;
}

absl::StatusOr<SpawnPlan> PlainPlan(const SpawnOptions& options) {
  const auto environment = ChildEnvironment(options.env);
  auto path = ResolveCommand(options.command, environment.at("PATH"));
  if (!path.ok()) return path.status();
  if (!options.cwd.empty() && !IsDirectory(options.cwd)) {
    return MakeError("UPSTREAM_UNAVAILABLE", "connector",
                     StrCat("the working directory '", options.cwd, "' is not a directory"));
  }
  SpawnPlan plan;
  plan.name = options.command;
  plan.file = std::move(*path);
  plan.args.push_back(options.command);
  plan.args.insert(plan.args.end(), options.args.begin(), options.args.end());
  for (const auto& [name, value] : environment) plan.env.push_back(StrCat(name, "=", value));
  plan.cwd = options.cwd;
  return plan;
}

absl::StatusOr<int> StartPlan(const SpawnPlan& plan, int in, int out, int err) {
  FileActions actions;
  if (const int rc = actions.Prepare(in, out, err, plan.fds, plan.cwd); rc != 0) {
    return SystemError("cannot prepare the child's descriptors", rc);
  }
  const Attributes attributes;
  std::vector<std::string> argv = plan.args, envp = plan.env;
  pid_t pid = -1;
  const int rc = ::posix_spawn(&pid, plan.file.c_str(), actions.get(), attributes.get(),
                               Pointers(argv).data(), Pointers(envp).data());
  if (rc != 0) return ExecError(plan.name, rc);
  return pid;
}

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Spawn(
    boost::asio::any_io_executor executor, const SpawnOptions& options, ProcessBudget& budget) {
  auto plan = PlainPlan(options);
  if (!plan.ok()) return plan.status();
  return Spawn(std::move(executor), std::move(*plan), budget);
}

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Spawn(
    boost::asio::any_io_executor executor, SpawnPlan plan, ProcessBudget& budget) {
  if (budget.running_ >= budget.max_) {
    return MakeError("QUEUE_FULL", "connector",
                     StrCat("the limit of ", budget.max_, " child processes is reached"));
  }
  IgnoreBrokenPipes();
  std::array<Pipe, 3> pipes;
  for (Pipe& pipe : pipes) {
    auto made = MakePipe();
    if (!made.ok()) return made.status();
    pipe = std::move(*made);
  }
  const auto started =
      StartPlan(plan, pipes[0].read.get(), pipes[1].write.get(), pipes[2].write.get());
  if (!started.ok()) return started.status();
  const pid_t pid = *started;
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) {
    const int error = errno;
    ::kill(-pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return SystemError("cannot watch the child", error);
  }
  std::unique_ptr<ChildProcess> child(new ChildProcess(executor, pid, pidfd, budget));
  child->kept_ = std::move(plan.kept);
  child->in_.assign(pipes[0].write.release());
  child->out_.assign(pipes[1].read.release());
  child->err_.assign(pipes[2].read.release());
  for (Descriptor* end : {&child->in_, &child->out_, &child->err_}) end->native_non_blocking(true);
  return child;
}

ChildProcess::~ChildProcess() {
  if (exited_) return;
  // Only KILL is certain; what ends gracefully went through Stop.
  SignalGroup(SIGKILL);
  Reap();
}

void ChildProcess::SignalGroup(int signal) {
  if (!exited_) ::kill(-pid_, signal);
}

void ChildProcess::Reap() {
  if (exited_) return;
  // The zombie leader still holds the group's id, so this cannot hit a stranger.
  ::kill(-pid_, SIGKILL);
  int status = 0;
  pid_t reaped;
  do {
    reaped = ::waitpid(pid_, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  exited_ = true;
  --budget_.running_;
  if (reaped == pid_ && WIFSIGNALED(status)) {
    exit_.signal = WTERMSIG(status);
  } else if (reaped == pid_ && WIFEXITED(status)) {
    exit_.code = WEXITSTATUS(status);
  }
}

Awaitable<bool> ChildProcess::WaitExit() {
  if (!exited_) {
    const auto [error] =
        co_await pidfd_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                                   boost::asio::as_tuple(boost::asio::use_awaitable));
    if (error) co_return exited_;
    Reap();
  }
  co_return true;
}

Awaitable<bool> ChildProcess::WaitExitUntil(std::chrono::steady_clock::time_point until) {
  using boost::asio::experimental::awaitable_operators::operator||;
  if (exited_) co_return true;
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, until);
  auto exit = WaitExit();
  auto expiry = timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  co_await (std::move(exit) || std::move(expiry));
  co_return exited_;
}

Awaitable<void> ChildProcess::Stop(std::chrono::milliseconds grace) {
  // Whoever stops a child wants it gone: a cancelled caller still gets the whole sequence.
  co_await boost::asio::this_coro::reset_cancellation_state(boost::asio::disable_cancellation());
  boost::system::error_code ignored;
  in_.close(ignored);
  const bool ended = co_await WaitExitUntil(std::chrono::steady_clock::now() + grace);
  if (ended) co_return;
  SignalGroup(SIGTERM);
  const bool terminated = co_await WaitExitUntil(std::chrono::steady_clock::now() + grace);
  if (terminated) co_return;
  SignalGroup(SIGKILL);
  co_await WaitExit();
}

}  // namespace metamcp::connector
