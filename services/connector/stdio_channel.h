#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <string>

#include "common/async/task_group.h"
#include "services/connector/channel.h"
#include "services/connector/child_process.h"
#include "services/connector/log_ring.h"

namespace metamcp::connector {

struct StdioLimits {
  size_t line_bytes_max = 32u << 20;
  size_t queue_bytes_max = 64u << 20;
  std::chrono::milliseconds stop_grace{2000};
};

// A child's pipes as a channel: newline-delimited JSON on stdin and stdout, stderr into the log
// (MCP, transports/stdio). A line over the limit ends the child: what follows cannot be framed.
class StdioChannel final : public Channel, public std::enable_shared_from_this<StdioChannel> {
 public:
  // `tasks` must outlive the channel; it runs the pipe coroutines.
  StdioChannel(std::unique_ptr<ChildProcess> child, TaskGroup& tasks, std::shared_ptr<LogRing> log,
               StdioLimits limits);
  ~StdioChannel() override;

  void Start(std::weak_ptr<ChannelHandler> handler) override;
  absl::Status Send(Outgoing message) override;
  void Abandon(uint64_t) override {}
  bool CancelsByAbandon() const override { return false; }
  bool Correlates() const override { return false; }
  void SetProtocol(bool, std::string_view) override {}
  Awaitable<void> Close() override;
  void Drop() override;
  int pid() const override { return child_->pid(); }

 private:
  static Awaitable<void> ReadOutput(std::shared_ptr<StdioChannel> self);
  static Awaitable<void> ReadErrors(std::shared_ptr<StdioChannel> self);
  static Awaitable<void> Watch(std::shared_ptr<StdioChannel> self);
  static Awaitable<void> StopChild(std::shared_ptr<StdioChannel> self);
  // Returns how many bytes were used, or npos where a line is too long.
  size_t DeliverLines(std::string_view buffer, size_t scan_from);
  void Flush();
  void Fail(absl::Status why);

  std::unique_ptr<ChildProcess> child_;
  TaskGroup& tasks_;
  std::shared_ptr<LogRing> log_;
  StdioLimits limits_;
  std::weak_ptr<ChannelHandler> handler_;
  bool started_ = false;
  std::deque<std::string> queue_;
  size_t queue_bytes_ = 0;
  size_t front_sent_ = 0;
  bool flush_pending_ = false;
  bool closed_ = false;    // nothing is sent or delivered any more
  bool stopping_ = false;  // StopChild runs or ran
  bool output_done_ = false;
  boost::asio::steady_timer gone_;     // cancelled once the child is reaped
  boost::asio::steady_timer drained_;  // cancelled once stdout is at its end
};

}  // namespace metamcp::connector
