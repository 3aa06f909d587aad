#include "services/connector/stdio_channel.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::connector {
namespace {

constexpr size_t kReadBytes = 64u << 10;
// What one writev takes; more waits for the next.
constexpr size_t kGatherMax = 64;
// A child's last words are read for this long after its end; a grandchild may hold the pipe.
constexpr std::chrono::milliseconds kDrain{200};

// How long a child that broke the framing may take to end.
constexpr std::chrono::milliseconds kGraceOfTheBroken{100};

auto Tuple() { return boost::asio::as_tuple(boost::asio::use_awaitable); }

}  // namespace

StdioChannel::StdioChannel(std::unique_ptr<ChildProcess> child, TaskGroup& tasks,
                           std::shared_ptr<LogRing> log, StdioLimits limits)
    : child_(std::move(child)),
      tasks_(tasks),
      log_(std::move(log)),
      limits_(limits),
      gone_(child_->out().get_executor(), boost::asio::steady_timer::time_point::max()),
      drained_(child_->out().get_executor(), boost::asio::steady_timer::time_point::max()) {}

StdioChannel::~StdioChannel() = default;

void StdioChannel::Start(std::weak_ptr<ChannelHandler> handler) {
  handler_ = std::move(handler);
  started_ = true;
  tasks_.Spawn("stdio.out", ReadOutput(shared_from_this()));
  tasks_.Spawn("stdio.err", ReadErrors(shared_from_this()));
  tasks_.Spawn("stdio.watch", Watch(shared_from_this()));
}

absl::Status StdioChannel::Send(Outgoing message) {
  if (closed_) return MakeError("UPSTREAM_LOST", "connector", "the upstream's process is gone");
  if (queue_bytes_ + message.json.size() > limits_.queue_bytes_max) {
    return MakeError("QUEUE_FULL", "connector", "the upstream does not read its stdin");
  }
  // Line breaks between JSON tokens are white space; here they would end the message.
  std::replace_if(
      message.json.begin(), message.json.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  message.json.push_back('\n');
  queue_bytes_ += message.json.size();
  queue_.push_back(std::move(message.json));
  if (!flush_pending_) {
    // Posted, so that messages made in the same turn leave in one system call.
    flush_pending_ = true;
    auto flush = [self = shared_from_this()] { self->Flush(); };
    boost::asio::post(child_->in().get_executor(), std::move(flush));
  }
  return absl::OkStatus();
}

void StdioChannel::Flush() {
  flush_pending_ = false;
  while (!queue_.empty() && !closed_ && child_->in().is_open()) {
    std::array<iovec, kGatherMax> parts;
    const size_t count = std::min(queue_.size(), kGatherMax);
    for (size_t i = 0; i < count; ++i) {
      const size_t skip = i == 0 ? front_sent_ : 0;
      parts[i].iov_base = queue_[i].data() + skip;
      parts[i].iov_len = queue_[i].size() - skip;
    }
    ssize_t sent = ::writev(child_->in().native_handle(), parts.data(), static_cast<int>(count));
    if (sent < 0) {
      if (errno == EINTR) continue;
      // EPIPE: the watcher learns of the end by itself.
      if (errno != EAGAIN) return;
      flush_pending_ = true;
      auto resume = [self = shared_from_this()](boost::system::error_code error) {
        if (!error) self->Flush();
      };
      child_->in().async_wait(boost::asio::posix::stream_descriptor::wait_write, std::move(resume));
      return;
    }
    queue_bytes_ -= static_cast<size_t>(sent);
    auto left = static_cast<size_t>(sent);
    while (left > 0) {
      const size_t rest = queue_.front().size() - front_sent_;
      if (left < rest) {
        front_sent_ += left;
        break;
      }
      left -= rest;
      front_sent_ = 0;
      queue_.pop_front();
    }
  }
}

size_t StdioChannel::DeliverLines(std::string_view buffer, size_t scan_from) {
  size_t used = 0;
  const auto handler = handler_.lock();
  if (handler == nullptr) return buffer.size();
  while (!closed_) {
    const size_t newline = buffer.find('\n', std::max(used, scan_from));
    if (newline == std::string_view::npos) {
      return buffer.size() - used > limits_.line_bytes_max ? std::string_view::npos : used;
    }
    std::string_view line = buffer.substr(used, newline - used);
    used = newline + 1;
    if (line.size() > limits_.line_bytes_max) return std::string_view::npos;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (!line.empty()) handler->OnMessage(line, 0);
  }
  return buffer.size();
}

Awaitable<void> StdioChannel::ReadOutput(std::shared_ptr<StdioChannel> self) {
  std::string buffer;
  size_t filled = 0;
  while (!self->closed_) {
    if (buffer.size() < filled + kReadBytes)
      buffer.resize(std::max(2 * filled, filled + kReadBytes));
    const auto space = boost::asio::buffer(buffer.data() + filled, buffer.size() - filled);
    const auto [error, count] = co_await self->child_->out().async_read_some(space, Tuple());
    if (error) break;
    const size_t scan_from = filled;
    filled += count;
    const size_t used = self->DeliverLines(std::string_view(buffer.data(), filled), scan_from);
    if (used == std::string_view::npos) {
      // It does not listen to reason: what is left is to be back soon.
      self->limits_.stop_grace = std::min(self->limits_.stop_grace, kGraceOfTheBroken);
      self->Fail(MakeError(
          "UPSTREAM_PROTOCOL", "connector",
          StrCat("a line on stdout is longer than ", self->limits_.line_bytes_max, " bytes")));
      break;
    }
    filled -= used;
    if (used > 0 && filled > 0) std::memmove(buffer.data(), buffer.data() + used, filled);
    // A huge message must not pin its buffer for the life of the child.
    if (filled == 0 && buffer.size() > 16 * kReadBytes) std::string().swap(buffer);
  }
  self->output_done_ = true;
  self->drained_.cancel();
}

Awaitable<void> StdioChannel::ReadErrors(std::shared_ptr<StdioChannel> self) {
  std::array<char, 4096> chunk;
  std::string line;
  bool cut = false;
  while (true) {
    const auto space = boost::asio::buffer(chunk);
    const auto [error, count] = co_await self->child_->err().async_read_some(space, Tuple());
    if (error) break;
    for (size_t i = 0; i < count; ++i) {
      if (chunk[i] == '\n') {
        if (!line.empty()) self->log_->AddOutput(line);
        line.clear();
        cut = false;
      } else if (line.size() < LogRing::kLineBytesMax) {
        line.push_back(chunk[i]);
      } else {
        cut = true;  // the rest of an endless line is dropped
      }
    }
  }
  if (!line.empty() && !cut) self->log_->AddOutput(line);
}

Awaitable<void> StdioChannel::Watch(std::shared_ptr<StdioChannel> self) {
  for (;;) {
    const bool exited = co_await self->child_->WaitExit();
    if (exited) break;
    const auto cancelled = co_await boost::asio::this_coro::cancellation_state;
    if (cancelled.cancelled() != boost::asio::cancellation_type::none) break;
  }
  if (!self->output_done_) {
    self->drained_.expires_after(kDrain);
    co_await self->drained_.async_wait(Tuple());
  }
  const std::string how =
      self->child_->exited() ? self->child_->exit_status().ToString() : "was given up";
  self->log_->AddRemark(StrCat("process ", self->child_->pid(), " ", how));
  self->Fail(MakeError("UPSTREAM_LOST", "connector", StrCat("the upstream's process ", how)));
  boost::system::error_code ignored;
  self->child_->out().close(ignored);
  self->child_->err().close(ignored);
  self->gone_.expires_at(boost::asio::steady_timer::time_point::min());
}

void StdioChannel::Fail(absl::Status why) {
  if (closed_) return;
  closed_ = true;
  queue_.clear();
  queue_bytes_ = 0;
  if (!child_->exited() && !stopping_) {
    stopping_ = true;
    tasks_.Spawn("stdio.stop", StopChild(shared_from_this()));
  }
  if (const auto handler = handler_.lock()) handler->OnClosed(std::move(why));
}

Awaitable<void> StdioChannel::StopChild(std::shared_ptr<StdioChannel> self) {
  co_await self->child_->Stop(self->limits_.stop_grace);
}

void StdioChannel::Drop() {
  Fail(MakeError("UPSTREAM_LOST", "connector", "the connection was closed"));
}

Awaitable<void> StdioChannel::Close() {
  const auto self = shared_from_this();
  Drop();
  if (started_) {
    co_await gone_.async_wait(Tuple());
  } else {
    co_await child_->WaitExit();
  }
}

}  // namespace metamcp::connector
