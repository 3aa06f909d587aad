#include "services/workflow/jq/jq_worker.h"

#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <optional>
#include <vector>

#include "common/async/async_lock.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::workflow {
namespace {

namespace asio = boost::asio;

// Takes the exit status of a killed child without blocking the thread.
void Reap(const asio::any_io_executor& executor, pid_t pid) {
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) {
    ::waitpid(pid, nullptr, 0);
    return;
  }
  auto descriptor = std::make_shared<asio::posix::stream_descriptor>(executor, fd);
  descriptor->async_wait(
      asio::posix::stream_descriptor::wait_read,
      [descriptor, pid](const boost::system::error_code&) { ::waitpid(pid, nullptr, WNOHANG); });
}

class Worker {
 public:
  Worker(asio::any_io_executor executor, int fd, pid_t pid)
      : executor_(executor), socket_(executor, asio::local::stream_protocol(), fd), pid_(pid) {}
  ~Worker() {
    boost::system::error_code ignored;
    socket_.close(ignored);
    ::kill(pid_, SIGKILL);
    Reap(executor_, pid_);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  static absl::StatusOr<std::unique_ptr<Worker>> Spawn(asio::any_io_executor executor,
                                                       const std::string& program) {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
      return MakeError("EXPRESSION_WORKER_LOST", "workflow", "no socket for an expression process");
    }
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, fds[1], 0);
    ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t none, all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    std::string path = program;
    char* argv[] = {path.data(), nullptr};
    char* environment[] = {nullptr};
    pid_t pid = 0;
    const int error = ::posix_spawn(&pid, path.c_str(), &actions, &attributes, argv, environment);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(fds[1]);
    if (error != 0) {
      ::close(fds[0]);
      return MakeError("EXPRESSION_WORKER_LOST", "workflow",
                       StrCat("cannot start ", program, ": ", ::strerror(error)));
    }
    return std::make_unique<Worker>(executor, fds[0], pid);
  }

  // The answer's payload, kind first. UNAVAILABLE: the process is gone.
  Awaitable<absl::StatusOr<std::string>> Exchange(const std::string& frame, size_t bytes_max) {
    const auto token = asio::as_tuple(asio::use_awaitable);
    const auto out = asio::buffer(frame);
    auto [write_error, written] = co_await asio::async_write(socket_, out, token);
    if (write_error) co_return absl::UnavailableError("the process is gone");
    std::array<unsigned char, 4> head{};
    const auto head_buffer = asio::buffer(head);
    auto [head_error, head_size] = co_await asio::async_read(socket_, head_buffer, token);
    if (head_error) co_return absl::UnavailableError("the process is gone");
    const size_t size = static_cast<size_t>(head[0]) << 24 | static_cast<size_t>(head[1]) << 16 |
                        static_cast<size_t>(head[2]) << 8 | static_cast<size_t>(head[3]);
    if (size == 0 || size > bytes_max + 1) {
      co_return absl::UnavailableError("the result is too large");
    }
    std::string payload(size, '\0');
    const auto body = asio::buffer(payload);
    auto [body_error, body_size] = co_await asio::async_read(socket_, body, token);
    if (body_error) co_return absl::UnavailableError("the process is gone");
    co_return payload;
  }

 private:
  asio::any_io_executor executor_;
  asio::local::stream_protocol::socket socket_;
  pid_t pid_;
};

void AppendLength(size_t size, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>(static_cast<unsigned char>(size >> shift)));
  }
}

std::string MakeFrame(const std::string& program, const std::string& input) {
  std::string frame;
  frame.reserve(program.size() + input.size() + 8);
  AppendLength(4 + program.size() + input.size(), &frame);
  AppendLength(program.size(), &frame);
  frame += program;
  frame += input;
  return frame;
}

}  // namespace

struct JqWorkers::Core {
  Core(asio::any_io_executor executor_in, Options options_in)
      : executor(executor_in), options(std::move(options_in)), freed(executor_in) {}

  asio::any_io_executor executor;
  const Options options;
  Signal freed;
  std::vector<std::unique_ptr<Worker>> idle;
  int running = 0;  // lent out
  int replaced = 0;
};

namespace {

// A worker on loan; goes back unless it was spoiled.
class Loan {
 public:
  explicit Loan(std::shared_ptr<void> owner, std::function<void(std::unique_ptr<Worker>)> give)
      : owner_(std::move(owner)), give_(std::move(give)) {}
  ~Loan() { give_(spoiled ? nullptr : std::move(worker)); }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;

  std::unique_ptr<Worker> worker;
  bool spoiled = true;  // until an answer has come whole

 private:
  std::shared_ptr<void> owner_;
  std::function<void(std::unique_ptr<Worker>)> give_;
};

}  // namespace

JqWorkers::JqWorkers(asio::any_io_executor executor, Options options)
    : core_(std::make_shared<Core>(std::move(executor), std::move(options))) {}
JqWorkers::~JqWorkers() = default;

int JqWorkers::replaced() const { return core_->replaced; }

Awaitable<absl::StatusOr<std::string>> JqWorkers::Evaluate(std::string program, std::string input) {
  const std::shared_ptr<Core> core = core_;
  while (core->running >= core->options.processes_max) co_await core->freed.Wait();
  ++core->running;
  Loan loan(core, [core](std::unique_ptr<Worker> worker) {
    --core->running;
    if (worker != nullptr) {
      core->idle.push_back(std::move(worker));
    } else {
      ++core->replaced;
    }
    core->freed.Notify();
  });
  if (core->idle.empty()) {
    auto spawned = Worker::Spawn(core->executor, core->options.program);
    if (!spawned.ok()) co_return spawned.status();
    loan.worker = *std::move(spawned);
  } else {
    loan.worker = std::move(core->idle.back());
    core->idle.pop_back();
  }
  const std::string frame = MakeFrame(program, input);
  auto exchange = loan.worker->Exchange(frame, core->options.result_bytes_max);
  auto bounded =
      RunUntil(std::chrono::steady_clock::now() + core->options.timeout, std::move(exchange));
  auto answer = co_await std::move(bounded);
  if (!answer.ok()) {
    if (absl::IsCancelled(answer.status())) co_return answer.status();
    const bool late = absl::IsDeadlineExceeded(answer.status());
    Log(LogLevel::kWarning, "workflow.expression_killed",
        {{"why", late ? "took too long" : "took too much memory, or is gone"}});
    co_return MakeError(
        "EXPRESSION_FAILED", "workflow",
        late ? StrCat("the expression took longer than ", core->options.timeout.count(), " ms")
             : std::string("the expression took too much memory"));
  }
  loan.spoiled = false;
  const std::string text = answer->substr(1);
  if ((*answer)[0] == 'R') co_return text;
  co_return MakeError((*answer)[0] == 'C' ? "EXPRESSION_INVALID" : "EXPRESSION_FAILED", "workflow",
                      text);
}

Awaitable<absl::Status> JqWorkers::Check(std::string program) {
  auto evaluating = Evaluate(std::move(program), std::string());
  const auto result = co_await std::move(evaluating);
  co_return result.status();
}

}  // namespace metamcp::workflow
