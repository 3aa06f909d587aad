#pragma once

#include <boost/asio/steady_timer.hpp>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "common/async/task_group.h"
#include "common/http/http_server.h"
#include "gateway/protocol/reply.h"

namespace metamcp::gateway {

class KeepAlive;

// Answers one HTTP request: JSON while there is only the response, an event stream from the first
// other message on. Writes of several coroutines wait for each other. Single-threaded.
class HttpReply final : public Reply {
 public:
  // `responder` must outlive the reply's last call. `accepts_stream`: the client takes
  // text/event-stream.
  HttpReply(boost::asio::any_io_executor executor, http::HttpResponder& responder,
            http::HttpHeaders extra_headers, bool accepts_stream);

  Awaitable<absl::Status> Notify(std::string message) override;
  Awaitable<absl::Status> Respond(int http_status, std::string message) override;
  Awaitable<absl::Status> End(int http_status) override;
  Awaitable<absl::Status> Open() override;
  bool can_push() const override { return accepts_stream_; }
  bool started() const override { return streaming_ || ended_; }
  void OnGone(std::function<void()> callback) override;
  void SetHeader(std::string_view name, std::string_view value) override;

  // Sends an SSE comment if nothing was sent since `before`; opens the stream if need be.
  Awaitable<void> KeepAliveNow(std::chrono::steady_clock::time_point before);
  // Waits for writes that are under way; nothing is written after it. Needless when `settled`.
  Awaitable<void> Finish();
  bool settled() const { return ended_ && !busy_; }
  bool ended() const { return ended_; }

 private:
  // The right to write, while nobody else has it. It is given back also when a cancelled write
  // unwinds; then what was written may be cut in the middle, and nothing more is sent.
  class Turn {
   public:
    explicit Turn(HttpReply& reply) : reply_(reply) { reply_.busy_ = reply_.broken_ = true; }
    ~Turn() { reply_.Unlock(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    void Done() { reply_.broken_ = false; }

   private:
    HttpReply& reply_;
  };
  // For as long as another one writes; one of several who wait goes on, the others wait again.
  Awaitable<void> WaitTurn();
  void Unlock();
  Awaitable<absl::Status> OpenLocked();

  boost::asio::any_io_executor executor_;
  std::optional<boost::asio::steady_timer> turn_;  // made when two want to write at once
  http::HttpResponder& responder_;
  http::HttpHeaders headers_;
  const bool accepts_stream_;
  bool busy_ = false;
  bool streaming_ = false;
  bool ended_ = false;
  bool broken_ = false;
  std::chrono::steady_clock::time_point last_write_;
};

// Keeps idle streams of one process alive: proxies and clients close what is silent.
// Single-threaded.
class KeepAlive {
 public:
  KeepAlive(TaskGroup& tasks, std::chrono::milliseconds interval)
      : tasks_(tasks), interval_(interval) {}
  void Add(std::shared_ptr<HttpReply> reply) { replies_.insert(std::move(reply)); }
  void Remove(const std::shared_ptr<HttpReply>& reply) { replies_.erase(reply); }
  std::chrono::milliseconds interval() const { return interval_; }
  // Runs until cancelled.
  Awaitable<void> Run();

 private:
  static Awaitable<void> Ping(std::shared_ptr<HttpReply> reply,
                              std::chrono::steady_clock::time_point before);
  TaskGroup& tasks_;
  const std::chrono::milliseconds interval_;
  std::set<std::shared_ptr<HttpReply>> replies_;
};

}  // namespace metamcp::gateway
