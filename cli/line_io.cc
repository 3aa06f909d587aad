#include "cli/line_io.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kQueuedBytesMax = 8 << 20;

// Wakes one coroutine on the executor's thread from another thread. Shared with handlers that may
// still be queued when the owner is gone.
struct Wake {
  explicit Wake(boost::asio::any_io_executor executor_in)
      : executor(std::move(executor_in)), timer(executor) {
    timer.expires_at(Clock::time_point::max());
  }
  Awaitable<void> Wait() {
    co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  static void Post(const std::shared_ptr<Wake>& self) {
    boost::asio::post(self->executor, [self] { self->timer.cancel(); });
  }
  boost::asio::any_io_executor executor;
  boost::asio::steady_timer timer;
  std::function<void()> closed;  // on the executor's thread
};

class FdLineSource final : public LineSource {
 public:
  FdLineSource(boost::asio::any_io_executor executor, int fd, size_t line_bytes_max)
      : fd_(fd), line_bytes_max_(line_bytes_max), wake_(std::make_shared<Wake>(executor)) {
    if (::pipe2(stop_, O_CLOEXEC) != 0) stop_[0] = stop_[1] = -1;
    thread_ = std::thread([this] { ReadLoop(); });
  }
  ~FdLineSource() override {
    Stop();
    thread_.join();
    if (stop_[0] >= 0) ::close(stop_[0]);
  }

  Awaitable<absl::StatusOr<std::optional<std::string>>> ReadLine() override {
    for (;;) {
      {
        std::lock_guard lock(mu_);
        if (stopped_) co_return std::nullopt;
        if (!lines_.empty()) {
          auto line = std::move(lines_.front());
          lines_.pop_front();
          if (line.ok()) queued_bytes_ -= line->size();
          room_.notify_one();
          if (!line.ok()) co_return line.status();
          std::optional<std::string> out(*std::move(line));
          co_return out;
        }
        if (ended_) co_return std::nullopt;
      }
      co_await wake_->Wait();
    }
  }

  void Stop() override {
    std::lock_guard lock(mu_);
    if (stopped_) return;
    stopped_ = true;
    room_.notify_one();
    if (stop_[1] >= 0) ::close(stop_[1]);
    Wake::Post(wake_);
  }

 private:
  void ReadLoop() {
    char buffer[64 << 10];
    for (;;) {
      pollfd watched[2] = {{fd_, POLLIN, 0}, {stop_[0], POLLIN, 0}};
      if (::poll(watched, 2, -1) < 0 && errno != EINTR) break;
      if (watched[1].revents != 0) break;
      if (watched[0].revents == 0) continue;
      const ssize_t n = ::read(fd_, buffer, sizeof(buffer));
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (n <= 0) break;
      if (!Take(std::string_view(buffer, static_cast<size_t>(n)))) return;
    }
    EndLine();
    std::lock_guard lock(mu_);
    ended_ = true;
    Wake::Post(wake_);
  }

  // False once the source was stopped.
  bool Take(std::string_view bytes) {
    while (!bytes.empty()) {
      const size_t end = std::min(bytes.find('\n'), bytes.size());
      if (line_.size() + end > line_bytes_max_) {
        too_long_ = true;
        line_.clear();
      } else if (!too_long_) {
        line_.append(bytes.substr(0, end));
      }
      if (end == bytes.size()) return true;
      if (!EndLine()) return false;
      bytes.remove_prefix(end + 1);
    }
    return true;
  }

  bool EndLine() {
    if (!line_.empty() && line_.back() == '\r') line_.pop_back();
    absl::StatusOr<std::string> line = std::move(line_);
    line_.clear();
    if (too_long_) {
      line = MakeError("BODY_TOO_LARGE", "cli",
                       StrCat("a message is longer than ", line_bytes_max_, " bytes"));
    } else if (line->find_first_not_of(" \t") == std::string::npos) {
      return true;
    }
    too_long_ = false;
    std::unique_lock lock(mu_);
    room_.wait(lock, [this] { return stopped_ || queued_bytes_ < kQueuedBytesMax; });
    if (stopped_) return false;
    if (line.ok()) queued_bytes_ += line->size();
    lines_.push_back(std::move(line));
    Wake::Post(wake_);
    return true;
  }

  const int fd_;
  const size_t line_bytes_max_;
  const std::shared_ptr<Wake> wake_;
  int stop_[2] = {-1, -1};
  // On the thread.
  std::string line_;
  bool too_long_ = false;
  std::mutex mu_;  // guards what follows
  std::condition_variable room_;
  std::deque<absl::StatusOr<std::string>> lines_;
  size_t queued_bytes_ = 0;
  bool ended_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

class FdLineSink final : public LineSink {
 public:
  FdLineSink(boost::asio::any_io_executor executor, int fd)
      : fd_(fd), wake_(std::make_shared<Wake>(executor)) {
    thread_ = std::thread([this] { WriteLoop(); });
  }
  ~FdLineSink() override {
    {
      std::lock_guard lock(mu_);
      closing_ = true;
      give_up_ = Clock::now() + std::chrono::seconds(2);
      work_.notify_one();
    }
    thread_.join();
  }

  Awaitable<absl::Status> WriteLine(std::string line) override {
    line += '\n';
    for (;;) {
      {
        std::lock_guard lock(mu_);
        if (failed_) co_return absl::UnavailableError("the client closed its end");
        if (queue_.empty() || queue_.size() + line.size() <= kQueuedBytesMax) {
          queue_ += line;
          work_.notify_one();
          co_return absl::OkStatus();
        }
      }
      co_await wake_->Wait();
    }
  }

  void OnClosed(std::function<void()> callback) override { wake_->closed = std::move(callback); }

 private:
  void WriteLoop() {
    for (;;) {
      std::string batch;
      {
        std::unique_lock lock(mu_);
        work_.wait(lock, [this] { return closing_ || !queue_.empty(); });
        if (queue_.empty()) return;
        batch.swap(queue_);
      }
      const bool ok = WriteAll(batch);
      std::lock_guard lock(mu_);
      if (!ok) failed_ = true;
      Wake::Post(wake_);
      if (ok) continue;
      boost::asio::post(wake_->executor, [wake = wake_] {
        if (wake->closed) wake->closed();
      });
      return;
    }
  }

  bool WriteAll(std::string_view bytes) {
    while (!bytes.empty()) {
      {
        std::lock_guard lock(mu_);
        if (closing_ && Clock::now() > give_up_) return false;
      }
      // The time-out only bounds how late a close is noticed.
      pollfd watched{fd_, POLLOUT, 0};
      const int ready = ::poll(&watched, 1, 100);
      if (ready < 0 && errno != EINTR) return false;
      if (ready <= 0) continue;
      // A pipe that is writable takes PIPE_BUF bytes without blocking.
      const ssize_t n = ::write(fd_, bytes.data(), std::min<size_t>(bytes.size(), 4096));
      if (n < 0 && errno != EINTR && errno != EAGAIN) return false;
      if (n > 0) bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  const int fd_;
  const std::shared_ptr<Wake> wake_;
  std::mutex mu_;  // guards what follows
  std::condition_variable work_;
  std::string queue_;
  bool closing_ = false;
  bool failed_ = false;
  Clock::time_point give_up_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<LineSource> NewFdLineSource(boost::asio::any_io_executor executor, int fd,
                                            size_t line_bytes_max) {
  return std::make_unique<FdLineSource>(std::move(executor), fd, line_bytes_max);
}

std::unique_ptr<LineSink> NewFdLineSink(boost::asio::any_io_executor executor, int fd) {
  return std::make_unique<FdLineSink>(std::move(executor), fd);
}

}  // namespace metamcp::cli
