#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "common/http/http_server.h"
#include "gateway/protocol/event_log.h"
#include "gateway/protocol/reply.h"
#include "gateway/protocol/session.h"

namespace metamcp::gateway {

// The answer to one legacy request, apart from the connection it came on: the call writes here,
// and ServeReply carries it to the client. When that connection breaks, the call goes on, and a
// GET with Last-Event-ID takes up what its stream had (MCP 2025-11-25, basic/transports).
// Single-threaded; owned by shared_ptr by both sides.
class StreamReply final : public Reply {
 public:
  StreamReply(boost::asio::any_io_executor executor, std::shared_ptr<LegacySession> session)
      : session_(std::move(session)),
        executor_(executor),
        changed_(executor, std::chrono::steady_clock::time_point::max()) {}

  Awaitable<absl::Status> Notify(std::string message) override;
  Awaitable<absl::Status> Respond(int http_status, std::string message) override;
  Awaitable<absl::Status> End(int http_status) override;
  Awaitable<absl::Status> Open() override;
  Awaitable<absl::Status> Pause(std::chrono::milliseconds retry_after) override;
  bool can_push() const override { return true; }
  bool started() const override { return answered_ || log_ != nullptr; }
  // Never: a legacy client's disconnect says nothing about the request.
  void OnGone(std::function<void()>) override {}
  void SetHeader(std::string_view, std::string_view) override {}

  // The writer is done, however it ended: without an answer the client gets none.
  void WriterGone();

  // For the side of the connection. Waits until there is a stream or an answer, at most `wait`.
  Awaitable<void> WaitForStart(std::chrono::milliseconds wait);
  void Wake() { changed_.cancel(); }
  void OpenStream();
  // Null while there is no stream.
  const std::shared_ptr<EventLog>& log() const { return log_; }
  // Answered without a stream: status and body (empty: none).
  bool answered() const { return answered_; }
  int http_status() const { return http_status_; }
  std::string TakeBody() { return std::move(body_); }
  const LegacySession& session() const { return *session_; }

 private:
  std::shared_ptr<LegacySession> session_;
  boost::asio::any_io_executor executor_;
  boost::asio::steady_timer changed_;
  std::shared_ptr<EventLog> log_;
  bool answered_ = false;
  int http_status_ = 500;
  std::string body_;
};

// What a connection that carries a stream needs.
struct StreamConnection {
  StreamConnection(http::HttpResponder& r, http::HttpHeaders h, std::chrono::milliseconds k)
      : responder(r), headers(std::move(h)), keep_alive(k) {}
  http::HttpResponder& responder;
  http::HttpHeaders headers;
  std::chrono::milliseconds keep_alive;
};

// Answers the request's connection: JSON where the answer comes at once, else a stream. Returns
// when the connection is done, which may be before the call is.
Awaitable<void> ServeReply(std::shared_ptr<StreamReply> reply, StreamConnection connection);

// Carries a stream on from after event `seq` until it ends, pauses or is taken up elsewhere.
// `prime`: the client is at the stream's begin and learns its first id. A standalone stream takes
// what `session` has for no request in particular.
Awaitable<void> ServeLog(std::shared_ptr<EventLog> log, std::shared_ptr<LegacySession> session,
                         uint64_t seq, bool prime, StreamConnection connection);

}  // namespace metamcp::gateway
