#pragma once

#include <array>
#include <boost/asio/cancellation_signal.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "common/http/http_server.h"
#include "common/http/request_parser.h"
#include "common/http/stream.h"
#include "common/http/tls.h"

namespace metamcp::http {

// What all connections of one server share. Outlives them.
struct ServerShared {
  using Clock = std::chrono::steady_clock;
  ServerShared(HttpHandler handler_in, HttpServerOptions options_in)
      : handler(std::move(handler_in)), options(std::move(options_in)) {}

  const HttpHandler handler;
  const HttpServerOptions options;
  // The time of the last sweep: exact enough for time-outs, and no clock is read per request.
  Clock::time_point now = Clock::now();
  std::string date;  // the Date header's value
  bool draining = false;
};

// One accepted connection: reads requests one after the other, calls the handler, writes.
class ServerConnection final : public HttpResponder {
 public:
  ServerConnection(ServerShared& shared, Stream::Socket socket, TlsContext tls);

  // Serves until the connection ends. Never throws, also when cancelled.
  Awaitable<void> Run();

  // Cancels what has taken too long; called at every sweep.
  void CheckDeadline();
  // Whether a watcher wants to know when the client goes away.
  bool watched() const { return handling_ && (on_disconnect_ != nullptr) && stream_.open(); }
  int fd() { return stream_.fd(); }
  // Looks at what poll() said about a watched connection. Returns the callback to run, if any.
  std::function<void()> CheckPeer(short revents);
  // The server stops: end now if idle, else after the request in hand.
  void Drain();
  // The same for a connection that showed a certificate, or may be about to: it was judged by
  // authorities that are not the ones in force any more.
  void DistrustCertificate();

  boost::asio::cancellation_signal& signal() { return signal_; }

  // HttpResponder
  Awaitable<absl::Status> Send(HttpResponse response) override;
  Awaitable<absl::Status> StartStream(int status, HttpHeaders headers) override;
  Awaitable<absl::Status> Write(std::string_view data) override;
  Awaitable<absl::Status> Finish() override;
  Awaitable<absl::StatusOr<std::unique_ptr<WebSocket>>> Upgrade(WebSocketOptions options) override;
  void OnDisconnect(std::function<void()> callback) override;
  bool disconnected() const override { return gone_; }
  bool started() const override { return answer_ != Answer::kNone; }

 private:
  using TimePoint = ServerShared::Clock::time_point;
  enum class Phase { kHandshake, kIdle, kHead, kBody, kHandling, kWriting, kClosing };
  enum class Answer { kNone, kStream, kDone };
  enum class Outcome { kRequest, kError, kClosed };

  Awaitable<void> Serve();
  Awaitable<bool> ShakeHands();
  Awaitable<bool> ServeOne();
  Awaitable<Outcome> ReadRequest();
  Awaitable<bool> Fill();
  Awaitable<void> Handle();
  Awaitable<void> SendError(int status, std::string_view text);
  Awaitable<void> Linger();
  Awaitable<absl::Status> WriteAll(size_t buffers);
  void Enter(Phase phase, HttpServerOptions::Duration limit);
  void Enter(Phase phase);  // without a deadline
  bool ProbePeer();
  void BeginAnswer();
  void BuildHead(int status, const HttpHeaders& headers);
  void EndHead(std::string_view framing);

  ServerShared& shared_;
  Stream stream_;
  TlsContext tls_;
  boost::asio::cancellation_signal signal_;

  RequestParser parser_;
  HttpRequest request_;
  std::vector<char> buffer_;
  size_t begin_ = 0;  // what of buffer_ is not parsed yet
  size_t end_ = 0;

  Phase phase_ = Phase::kIdle;
  TimePoint deadline_ = TimePoint::max();
  bool timed_out_ = false;
  bool handling_ = false;
  bool gone_ = false;
  bool keep_alive_ = false;
  bool distrusted_ = false;
  bool probed_ = false;
  bool writing_ = false;

  Answer answer_ = Answer::kNone;
  bool head_only_ = false;  // HEAD, 204, 304
  bool chunked_ = false;
  bool line_end_ = true;  // the stream stands at the start of a line
  bool event_stream_ = false;
  std::string head_;
  std::array<boost::asio::const_buffer, 3> out_;
  std::function<void()> on_disconnect_;
};

}  // namespace metamcp::http
