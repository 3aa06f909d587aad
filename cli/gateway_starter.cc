#include "cli/gateway_starter.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>

#include "cli/context.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kLook{20};

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { Close(); }
  int get() const { return fd_; }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

// The end of a file, at most 2 KiB, whole lines.
std::string Tail(const std::string& path) {
  constexpr off_t kBytes = 2048;
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return "";
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  if (size > kBytes) ::lseek(file.get(), size - kBytes, SEEK_SET);
  if (size <= kBytes) ::lseek(file.get(), 0, SEEK_SET);
  std::string text(kBytes, '\0');
  const ssize_t n = ::read(file.get(), text.data(), text.size());
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  if (size > kBytes) text.erase(0, text.find('\n') + 1);
  return text;
}

// Waits for the lock, looking whether the gateway came up meanwhile.
absl::Status Lock(int fd, const StartOptions& options, Clock::time_point until) {
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (ListensBlocking(options.socket)) return absl::OkStatus();
    if (Clock::now() > until) {
      return Fail("GATEWAY_UNREACHABLE",
                  "another program has been starting the gateway for too long");
    }
    std::this_thread::sleep_for(kLook);
  }
  return absl::OkStatus();
}

// In the grandchild: becomes the gateway.
[[noreturn]] void Become(char* const* argv, int null, int log) {
  ::dup2(null, STDIN_FILENO);
  ::dup2(null, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execvp(argv[0], argv);
  const char text[] = "cannot start the gateway program\n";
  (void)!::write(STDERR_FILENO, text, sizeof(text) - 1);
  ::_exit(127);
}

// Starts the program in a session of its own, as a child of init. `alive` stays open in it, so that
// its end is seen.
absl::Status Spawn(const StartOptions& options, int log, int alive) {
  const Descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  // Between fork and exec nothing may allocate.
  std::vector<char*> argv = {const_cast<char*>(options.program.c_str())};
  for (const std::string& arg : options.args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return Fail("INTERNAL", StrCat("fork failed: ", std::strerror(errno)));
  if (child == 0) {
    ::setsid();
    const pid_t grandchild = ::fork();
    if (grandchild != 0) ::_exit(grandchild < 0 ? 1 : 0);
    ::fcntl(alive, F_SETFD, 0);
    Become(argv.data(), null.get(), log);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return absl::OkStatus();
}

absl::Status StartAndWait(const StartOptions& options, Clock::time_point until) {
  const std::string log_path = StrCat(options.data_dir, "/serve.log");
  const Descriptor log(
      ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (log.get() < 0) {
    return Fail("PERMISSION_DENIED", StrCat("cannot write ", log_path, ": ", std::strerror(errno)));
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return Fail("INTERNAL", StrCat("pipe failed: ", std::strerror(errno)));
  }
  const Descriptor watched(ends[0]);
  Descriptor alive(ends[1]);
  METAMCP_RETURN_IF_ERROR(Spawn(options, log.get(), alive.get()));
  alive.Close();
  while (!ListensBlocking(options.socket)) {
    pollfd end{watched.get(), POLLIN, 0};
    const bool ended = ::poll(&end, 1, static_cast<int>(kLook.count())) > 0;
    if (ended && ListensBlocking(options.socket)) break;
    if (!ended && Clock::now() < until) continue;
    return Fail(
        "GATEWAY_UNREACHABLE",
        StrCat(ended ? "the gateway ended while it started" : "the gateway starts too slowly",
               "; its last words are in ", log_path, ":\n", Tail(log_path)),
        "'meta-mcp doctor' finds out why.");
  }
  return absl::OkStatus();
}

}  // namespace

bool ListensBlocking(const std::string& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
  const Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd.get() >= 0 &&
         ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
}

absl::Status EnsureGatewayBlocking(const StartOptions& options) {
  if (ListensBlocking(options.socket)) return absl::OkStatus();
  const auto until = Clock::now() + options.limit;
  std::error_code failed;
  const bool made = std::filesystem::create_directories(options.data_dir, failed);
  if (made) ::chmod(options.data_dir.c_str(), S_IRWXU);
  const std::string path = StrCat(options.data_dir, "/start.lock");
  const Descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (lock.get() < 0) {
    return Fail("PERMISSION_DENIED", StrCat("cannot write ", path, ": ", std::strerror(errno)),
                "Choose a folder of yours with --data-dir.");
  }
  METAMCP_RETURN_IF_ERROR(Lock(lock.get(), options, until));
  if (ListensBlocking(options.socket)) return absl::OkStatus();
  return StartAndWait(options, until);
}

}  // namespace metamcp::cli
