#include "gateway/transport/stream_reply.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/http/sse.h"

namespace metamcp::gateway {
namespace {

// An answer that takes longer gets a stream, so that the client has an id to come back with.
constexpr std::chrono::milliseconds kQuietMax{1000};
// What clients are told to wait before they come back, unless an upstream knows better.
constexpr std::chrono::milliseconds kRetry{1000};
constexpr size_t kWriteBytes = 64u << 10;

// Holds the reader's place at a log; also when the connection's coroutine is cancelled.
class Reader {
 public:
  Reader(std::shared_ptr<EventLog> log, uint64_t seq)
      : log_(std::move(log)), number_(log_->Attach(seq)) {}
  ~Reader() { log_->Detach(number_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  bool active() const { return log_->Reads(number_); }

 private:
  const std::shared_ptr<EventLog> log_;
  const uint64_t number_;
};

// The next events as text, up to a bound.
std::string TakeEvents(EventLog& log) {
  std::string text;
  while (const EventLog::Event* event = log.Next()) {
    http::AppendSseEvent(event->message, {}, log.Id(event->seq), text);
    log.Advance();
    if (text.size() >= kWriteBytes) break;
  }
  return text;
}

bool Primes(const LegacySession& session) {
  // Older clients take the data of every event for a message.
  return session.revision >= mcp::Revision::k20251125;
}

}  // namespace

Awaitable<absl::Status> StreamReply::Notify(std::string message) {
  if (answered_) co_return absl::CancelledError("ended");
  OpenStream();
  if (log_->ended()) co_return absl::CancelledError("ended");
  log_->Append(std::move(message));
  co_await log_->WaitForReader();
  co_return absl::OkStatus();
}

Awaitable<absl::Status> StreamReply::Respond(int http_status, std::string message) {
  if (answered_) co_return absl::CancelledError("ended");
  answered_ = true;
  if (log_ != nullptr) {
    log_->Append(std::move(message));
    log_->End();
  } else {
    http_status_ = http_status;
    body_ = std::move(message);
    Wake();
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> StreamReply::End(int http_status) {
  if (answered_) co_return absl::CancelledError("ended");
  answered_ = true;
  http_status_ = http_status;
  if (log_ != nullptr) log_->End();
  Wake();
  co_return absl::OkStatus();
}

Awaitable<absl::Status> StreamReply::Open() {
  OpenStream();
  co_return absl::OkStatus();
}

Awaitable<absl::Status> StreamReply::Pause(std::chrono::milliseconds retry_after) {
  // Who got no first id could not come back.
  if (answered_ || !Primes(*session_)) co_return absl::OkStatus();
  OpenStream();
  log_->Pause(retry_after);
  co_return absl::OkStatus();
}

void StreamReply::WriterGone() {
  answered_ = true;
  if (log_ != nullptr) log_->End();
  Wake();
}

Awaitable<void> StreamReply::WaitForStart(std::chrono::milliseconds wait) {
  if (answered_ || log_ != nullptr) co_return;
  changed_.expires_after(wait);
  co_await changed_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
}

void StreamReply::OpenStream() {
  if (answered_ || log_ != nullptr) return;
  log_ = session_->logs.Open(executor_, false);
  Wake();
}

Awaitable<void> ServeReply(std::shared_ptr<StreamReply> reply, StreamConnection connection) {
  http::HttpResponder& responder = connection.responder;
  responder.OnDisconnect([weak = std::weak_ptr<StreamReply>(reply)] {
    if (const auto alive = weak.lock()) alive->Wake();
  });
  co_await reply->WaitForStart(kQuietMax);
  if (reply->log() == nullptr && reply->answered()) {
    http::HttpResponse response(reply->http_status());
    response.headers = std::move(connection.headers);
    response.body = reply->TakeBody();
    if (!response.body.empty()) response.headers.Set("Content-Type", "application/json");
    (void)co_await responder.Send(std::move(response));
    co_return;
  }
  if (responder.disconnected()) co_return;
  reply->OpenStream();
  const bool prime = Primes(reply->session());
  auto serving = ServeLog(reply->log(), nullptr, 0, prime, std::move(connection));
  reply.reset();
  co_await std::move(serving);
}

Awaitable<void> ServeLog(std::shared_ptr<EventLog> log, std::shared_ptr<LegacySession> session,
                         uint64_t seq, bool prime, StreamConnection connection) {
  http::HttpResponder& responder = connection.responder;
  const Reader reader(log, seq);
  responder.OnDisconnect([weak_log = std::weak_ptr<EventLog>(log),
                          weak_session = std::weak_ptr<LegacySession>(session)] {
    if (const auto alive = weak_log.lock()) alive->Wake();
    if (const auto alive = weak_session.lock()) alive->outbox.WakeAll();
  });
  connection.headers.Set("Content-Type", "text/event-stream");
  connection.headers.Set("Cache-Control", "no-cache, no-transform");
  connection.headers.Set("X-Accel-Buffering", "no");
  absl::Status sent = co_await responder.StartStream(200, std::move(connection.headers));
  std::string text;
  if (prime) text = http::SseEvent("", "", log->Id(0), kRetry.count());
  while (sent.ok() && reader.active() && !responder.disconnected()) {
    text += TakeEvents(*log);
    if (!text.empty()) {
      sent = co_await responder.Write(text);
      text.clear();
      continue;
    }
    if (log->ended()) break;
    if (const auto retry = log->TakePause()) {
      text = http::SseEvent("", "", log->Id(log->last_read()), retry->count());
      sent = co_await responder.Write(text);
      break;
    }
    bool news = true;
    if (session != nullptr) {
      std::optional<std::string> message = co_await session->outbox.Next(connection.keep_alive);
      if (message) {
        log->Append(*std::move(message));
      } else if (session->outbox.closed()) {
        break;
      } else {
        news = !reader.active() || responder.disconnected();
      }
    } else {
      news = co_await log->Wait(connection.keep_alive);
    }
    if (!news) text = std::string(http::kSseKeepAlive);
  }
  if (sent.ok() && !responder.disconnected()) (void)co_await responder.Finish();
}

}  // namespace metamcp::gateway
