#include <fcntl.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <map>

#include "tests/bench/lanes.h"

namespace metamcp::load {
namespace {

class StdioLanes final : public Lanes {
 public:
  StdioLanes(fixtures::EventLoop& loop, LaneEvents& events, Work& work,
             const std::vector<std::string>& command, size_t count)
      : loop_(loop), events_(events), lanes_(count) {
    Spawn(command);
    loop_.Add(out_, EPOLLIN, [this](uint32_t) { ReadLines(); });
    loop_.after_round = [this] { WriteAll(); };
    if (work.modern()) {
      initialized_ = true;
      for (size_t lane = 0; lane < count; ++lane) events_.OnFree(lane);
      return;
    }
    initialize_ = work.Initialize();
    buffer_ = initialize_.body + "\n";
  }
  ~StdioLanes() override {
    loop_.after_round = nullptr;
    loop_.Remove(out_);
    ::close(in_);
    ::close(out_);
    ::waitpid(pid_, nullptr, 0);
  }

  void Send(size_t lane, Request request) override {
    const uint64_t id = std::strtoull(request.id_text.c_str() + 5, nullptr, 10);
    buffer_ += request.body;
    buffer_ += '\n';
    lanes_[lane] = std::move(request);
    by_id_[id] = lane;
  }

 private:
  void Spawn(const std::vector<std::string>& command) {
    std::array<int, 2> to{}, from{};
    if (::pipe2(to.data(), O_CLOEXEC) != 0 || ::pipe2(from.data(), O_CLOEXEC) != 0) std::abort();
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    if (::posix_spawnp(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ) != 0) {
      std::perror(arguments[0]);
      std::exit(1);
    }
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(to[0]);
    ::close(from[1]);
    in_ = to[1];
    out_ = from[0];
  }

  void ReadLines() {
    std::array<char, 65536> buffer;
    const ssize_t got = ::read(out_, buffer.data(), buffer.size());
    if (got <= 0) {
      if (got < 0 && errno == EINTR) return;
      for (size_t lane = 0; lane < lanes_.size(); ++lane) events_.OnLost(lane, "the server ended");
      loop_.Stop();
      return;
    }
    text_.append(buffer.data(), static_cast<size_t>(got));
    size_t begin = 0;
    for (size_t end; (end = text_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      OnLine(std::string_view(text_).substr(begin, end - begin));
    }
    text_.erase(0, begin);
  }

  void OnLine(std::string_view line) {
    const size_t at = line.find("\"id\":");
    if (at == std::string_view::npos) return;  // a notification
    if (!initialized_) {
      const std::string problem = Work::Judge(initialize_, line);
      if (!problem.empty()) return events_.OnLost(0, "initialize: " + problem);
      initialized_ = true;
      buffer_ += "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n";
      for (size_t lane = 0; lane < lanes_.size(); ++lane) events_.OnFree(lane);
      return;
    }
    const auto found = by_id_.find(std::strtoull(line.data() + at + 5, nullptr, 10));
    if (found == by_id_.end()) return events_.OnLost(0, "stray answer: " + std::string(line));
    const size_t lane = found->second;
    by_id_.erase(found);
    events_.OnAnswer(lane, Work::Judge(lanes_[lane], line));
    events_.OnFree(lane);
  }

  void WriteAll() {
    size_t sent = 0;
    while (sent < buffer_.size()) {
      const ssize_t wrote = ::write(in_, buffer_.data() + sent, buffer_.size() - sent);
      if (wrote < 0 && errno != EINTR) return loop_.Stop();
      if (wrote > 0) sent += static_cast<size_t>(wrote);
    }
    buffer_.clear();
  }

  fixtures::EventLoop& loop_;
  LaneEvents& events_;
  std::vector<Request> lanes_;
  Request initialize_;
  bool initialized_ = false;
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1;
  std::string buffer_, text_;
  std::map<uint64_t, size_t> by_id_;
};

}  // namespace

std::unique_ptr<Lanes> StartStdio(fixtures::EventLoop& loop, LaneEvents& events, Work& work,
                                  std::vector<std::string> command, size_t count) {
  return std::make_unique<StdioLanes>(loop, events, work, command, count);
}

}  // namespace metamcp::load
