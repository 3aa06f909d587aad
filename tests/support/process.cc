#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#ifndef METAMCP_BIN_DIR
#error "METAMCP_BIN_DIR names the folder of the programs under test"
#endif

namespace metamcp::testing {
namespace {

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

int MillisecondsUntil(Clock::time_point until) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
  return static_cast<int>(std::max<int64_t>(0, left.count()));
}

std::vector<std::string> Environment(const std::map<std::string, std::string>& more) {
  std::vector<std::string> all;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string entry = *each;
    if (more.count(entry.substr(0, entry.find('='))) == 0) all.push_back(entry);
  }
  for (const auto& [name, value] : more) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

TempDir::TempDir() {
  std::string pattern = (fs::temp_directory_path() / "metamcp-test.XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) std::abort();
  path_ = pattern;
}
TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void WriteFile(const std::string& path, const std::string& text) {
  // Renamed into place: whoever watches the file sees all of it or nothing.
  std::ofstream(path + ".new") << text;
  fs::rename(path + ".new", path);
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string BinaryPath(const std::string& name) {
  const char* other = name == "meta-mcp" ? std::getenv("METAMCP_BIN") : nullptr;
  return other != nullptr ? other : std::string(METAMCP_BIN_DIR "/") + name;
}

Process::Process(const std::vector<std::string>& command, const Options& options) {
  std::array<int, 2> to{}, from{};
  if (::pipe2(to.data(), O_CLOEXEC) != 0 || ::pipe2(from.data(), O_CLOEXEC) != 0) std::abort();
  const std::vector<std::string> environment = Environment(options.env);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, options.stderr_file.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
  std::vector<char*> arguments = Pointers(command);
  std::vector<char*> variables = Pointers(environment);
  const int failed =
      ::posix_spawnp(&pid_, arguments[0], &actions, nullptr, arguments.data(), variables.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(to[0]);
  ::close(from[1]);
  in_ = to[1];
  out_ = from[0];
  if (failed != 0) {
    errno = failed;
    std::perror(command[0].c_str());
    std::abort();
  }
}

Process::~Process() {
  CloseIn();
  if (!exit_) {
    Signal(SIGTERM);
    if (!Wait(std::chrono::seconds(10))) {
      Signal(SIGKILL);
      Wait(std::chrono::seconds(10));
    }
  }
  ::close(out_);
}

std::optional<std::string> Process::ReadLine(std::chrono::milliseconds limit) {
  const auto until = Clock::now() + limit;
  for (;;) {
    const size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    pollfd waiting{out_, POLLIN, 0};
    if (::poll(&waiting, 1, MillisecondsUntil(until)) <= 0) return std::nullopt;
    std::array<char, 65536> block;
    const ssize_t got = ::read(out_, block.data(), block.size());
    if (got <= 0) return std::nullopt;
    buffer_.append(block.data(), static_cast<size_t>(got));
  }
}

void Process::WriteIn(const std::string& text) {
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t wrote = ::write(in_, text.data() + sent, text.size() - sent);
    if (wrote <= 0) return;
    sent += static_cast<size_t>(wrote);
  }
}

void Process::CloseIn() {
  if (in_ >= 0) ::close(in_);
  in_ = -1;
}

void Process::Signal(int signal) const {
  if (!exit_) ::kill(pid_, signal);
}

std::optional<int> Process::Wait(std::chrono::milliseconds limit) {
  if (exit_) return exit_;
  Eventually(limit, [this] {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
    exit_ = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    return true;
  });
  return exit_;
}

bool Eventually(std::chrono::milliseconds limit, const std::function<bool()>& condition) {
  const auto until = Clock::now() + limit;
  while (!condition()) {
    if (Clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

std::vector<pid_t> ChildrenOf(pid_t pid) {
  std::vector<pid_t> children;
  std::error_code ignored;
  for (const auto& task :
       fs::directory_iterator("/proc/" + std::to_string(pid) + "/task", ignored)) {
    std::ifstream in(task.path() / "children");
    for (pid_t child = 0; in >> child;) children.push_back(child);
  }
  return children;
}

std::vector<std::string> CommandLine(pid_t pid) {
  std::vector<std::string> words;
  std::istringstream in(ReadFile("/proc/" + std::to_string(pid) + "/cmdline"));
  for (std::string word; std::getline(in, word, '\0');) words.push_back(word);
  return words;
}

size_t CountFds(pid_t pid) {
  std::error_code ignored;
  size_t count = 0;
  for ([[maybe_unused]] const auto& each :
       fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd", ignored)) {
    ++count;
  }
  return count;
}

int64_t ResidentKib(pid_t pid) {
  int64_t size = 0, resident = 0;
  std::ifstream("/proc/" + std::to_string(pid) + "/statm") >> size >> resident;
  return resident * (::sysconf(_SC_PAGESIZE) / 1024);
}

}  // namespace metamcp::testing
