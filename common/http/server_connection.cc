#include "common/http/server_connection.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <charconv>
#include <cstring>

#include "common/async/run.h"
#include "common/base/strings.h"
#include "common/http/url.h"
#include "common/http/websocket_open.h"
#include "common/telemetry/log.h"

namespace metamcp::http {
namespace {

namespace asio = boost::asio;

constexpr size_t kBufferBytesStart = 4 << 10;
constexpr size_t kBufferBytesMax = 64 << 10;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
// After an error the client may still be sending; what it sends is read and dropped for a while,
// because closing with unread data resets the connection and may destroy our answer on its way
// (RFC 9112, 9.6).
constexpr auto kLingerTime = std::chrono::seconds(2);
constexpr size_t kLingerBytesMax = 4 << 20;

ParserLimits LimitsOf(const HttpServerOptions& o) {
  ParserLimits limits;
  limits.body_bytes_max = o.body_bytes_max;
  limits.header_bytes_max = o.header_bytes_max;
  limits.header_count_max = o.header_count_max;
  limits.target_bytes_max = o.target_bytes_max;
  return limits;
}

void DescribePeer(int fd, HttpRequest& request) {
  sockaddr_storage peer{};
  socklen_t size = sizeof(peer);
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return;
  char text[INET6_ADDRSTRLEN] = "";
  if (peer.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in&>(peer).sin_addr, text, sizeof(text));
  } else if (peer.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6&>(peer).sin6_addr, text, sizeof(text));
  }
  request.is_unix_socket = peer.ss_family == AF_UNIX;
  request.remote_address = text;
  request.is_loopback = request.is_unix_socket || IsLoopbackHost(text);
}

// Fields that the server itself writes; a handler's would contradict the framing.
bool IsFramingField(std::string_view name) {
  switch (name.size()) {
    case 4:
      return EqualsNoCase(name, "Date");
    case 10:
      return EqualsNoCase(name, "Connection") || EqualsNoCase(name, "Keep-Alive");
    case 14:
      return EqualsNoCase(name, "Content-Length");
    case 17:
      return EqualsNoCase(name, "Transfer-Encoding");
    default:
      return false;
  }
}

void AppendNumber(size_t number, int base, std::string& out) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof(digits), number, base);
  out.append(digits, static_cast<size_t>(end.ptr - digits));
}

absl::Status Gone() { return absl::CancelledError("the client is gone"); }

}  // namespace

ServerConnection::ServerConnection(ServerShared& shared, Stream::Socket socket, TlsContext tls)
    : shared_(shared),
      stream_(std::move(socket)),
      tls_(std::move(tls)),
      parser_(LimitsOf(shared.options)) {
  DescribePeer(stream_.fd(), request_);
  request_.tls = tls_ != nullptr;
  if (!request_.is_unix_socket) {
    const int on = 1;
    ::setsockopt(stream_.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
}

void ServerConnection::Enter(Phase phase, HttpServerOptions::Duration limit) {
  phase_ = phase;
  timed_out_ = false;
  deadline_ = shared_.now + limit;
}

void ServerConnection::Enter(Phase phase) {
  phase_ = phase;
  timed_out_ = false;
  deadline_ = TimePoint::max();
}

void ServerConnection::CheckDeadline() {
  if (shared_.now < deadline_) return;
  timed_out_ = true;
  stream_.Cancel();
}

void ServerConnection::Drain() {
  if (phase_ != Phase::kIdle) return;
  timed_out_ = true;
  stream_.Cancel();
}

Awaitable<void> ServerConnection::Run() {
  std::exception_ptr failure;
  try {
    co_await Serve();
  } catch (...) {
    failure = std::current_exception();
  }
  stream_.Close();
  if (!failure) co_return;
  const absl::Status status = StatusFromException(failure);
  if (absl::IsCancelled(status)) co_return;
  Log(LogLevel::kError, "http.connection_failed", {{"error", std::string(status.message())}});
}

Awaitable<void> ServerConnection::Serve() {
  if (tls_) {
    const bool shaken = co_await ShakeHands();
    if (!shaken) co_return;
  }
  for (;;) {
    const bool more = co_await ServeOne();
    if (!more) break;
  }
  if (!gone_ && tls_) {
    Enter(Phase::kClosing, kLingerTime);
    co_await stream_.Shutdown();
  }
}

Awaitable<bool> ServerConnection::ServeOne() {
  const Outcome outcome = co_await ReadRequest();
  if (outcome == Outcome::kClosed) co_return false;
  if (outcome == Outcome::kError) {
    const int status = timed_out_ ? 408 : parser_.error_status();
    const std::string_view text = timed_out_ ? "the request took too long" : parser_.error_text();
    timed_out_ = false;
    co_await SendError(status, text);
    co_await Linger();
    co_return false;
  }
  keep_alive_ = parser_.keep_alive() && !shared_.draining && !distrusted_;
  co_await Handle();
  co_return keep_alive_ && !gone_ && !shared_.draining && !distrusted_;
}

// Reads more bytes into buffer_. False: the client closed, a time-out, or an error.
Awaitable<bool> ServerConnection::Fill() {
  if (begin_ == end_) {
    // A read that filled the buffer is part of something large: the next one takes more.
    if (end_ == buffer_.size() && end_ < kBufferBytesMax) buffer_.resize(end_ * 2);
    begin_ = end_ = 0;
  } else if (end_ == buffer_.size() && begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(std::max(kBufferBytesStart, buffer_.size() * 2));
  const auto into = asio::buffer(buffer_.data() + end_, buffer_.size() - end_);
  const IoResult got = co_await stream_.ReadSome(into);
  end_ += got.bytes;
  co_return !got.error && !timed_out_;
}

Awaitable<ServerConnection::Outcome> ServerConnection::ReadRequest() {
  const HttpServerOptions& options = shared_.options;
  parser_.Start(&request_);
  if (begin_ == end_) {
    if (shared_.draining) co_return Outcome::kClosed;
    if (buffer_.size() > 4 * kBufferBytesStart) {
      std::vector<char>().swap(buffer_);
      begin_ = end_ = 0;
    }
    Enter(Phase::kIdle, options.idle_timeout);
    const bool filled = co_await Fill();
    if (!filled) co_return Outcome::kClosed;
  }
  Enter(Phase::kHead, options.header_timeout);
  bool told_to_continue = false;
  for (;;) {
    size_t used = 0;
    const std::string_view data(buffer_.data() + begin_, end_ - begin_);
    const RequestParser::Result result = parser_.Put(data, &used);
    begin_ += used;
    if (result == RequestParser::Result::kDone) break;
    if (result == RequestParser::Result::kError) co_return Outcome::kError;
    if (parser_.header_done()) {
      if (phase_ == Phase::kHead) Enter(Phase::kBody, options.body_timeout);
      if (parser_.expects_continue() && !told_to_continue && begin_ == end_) {
        told_to_continue = true;
        out_[0] = asio::buffer(kContinue.data(), kContinue.size());
        const TimePoint body_deadline = deadline_;
        const absl::Status written = co_await WriteAll(1);
        if (!written.ok()) co_return Outcome::kClosed;
        phase_ = Phase::kBody;
        deadline_ = body_deadline;
      }
    }
    const bool filled = co_await Fill();
    if (!filled) co_return timed_out_ ? Outcome::kError : Outcome::kClosed;
  }
  co_return Outcome::kRequest;
}

void ServerConnection::BeginAnswer() {
  answer_ = Answer::kNone;
  head_only_ = chunked_ = event_stream_ = false;
  line_end_ = true;
  probed_ = false;
}

Awaitable<void> ServerConnection::Handle() {
  BeginAnswer();
  Enter(Phase::kHandling);
  handling_ = true;
  std::exception_ptr failure;
  try {
    auto handled = shared_.handler(request_, *this);
    co_await std::move(handled);
  } catch (...) {
    failure = std::current_exception();
  }
  handling_ = false;
  on_disconnect_ = nullptr;
  if (failure) {
    const absl::Status status = StatusFromException(failure);
    if (absl::IsCancelled(status)) std::rethrow_exception(failure);
    Log(LogLevel::kError, "http.handler_failed", {{"error", std::string(status.message())}});
  }
  if (gone_) co_return;
  if (answer_ == Answer::kNone) {
    co_await SendError(500, "the handler gave no answer");
  } else if (answer_ == Answer::kStream) {
    // Closing without the last chunk is what tells the client that the answer is cut short.
    keep_alive_ = false;
  }
}

Awaitable<void> ServerConnection::SendError(int status, std::string_view text) {
  BeginAnswer();
  keep_alive_ = false;
  head_only_ = request_.method == "HEAD";
  HttpResponse response(status, "text/plain; charset=utf-8", StrCat(text, "\n"));
  co_await Send(std::move(response));
}

Awaitable<void> ServerConnection::Linger() {
  if (gone_ || tls_) co_return;
  Enter(Phase::kClosing, kLingerTime);
  co_await stream_.Shutdown();
  size_t dropped = 0;
  begin_ = end_ = 0;
  while (dropped < kLingerBytesMax && !timed_out_) {
    begin_ = end_ = 0;
    const bool filled = co_await Fill();
    if (!filled) break;
    dropped += end_;
  }
}

void ServerConnection::BuildHead(int status, const HttpHeaders& headers) {
  head_.clear();
  head_.append(request_.version_minor == 0 ? "HTTP/1.0 " : "HTTP/1.1 ");
  AppendNumber(static_cast<size_t>(std::clamp(status, 100, 999)), 10, head_);
  head_.push_back(' ');
  head_.append(HttpReason(status)).append("\r\n");
  for (size_t i = 0; i < headers.size(); ++i) {
    const HttpHeader h = headers.at(i);
    if (IsFramingField(h.name)) continue;
    // A line break in a value would let its author write the rest of the response.
    if (!IsHttpToken(h.name) || !IsHeaderValue(h.value)) continue;
    head_.append(h.name).append(": ").append(h.value).append("\r\n");
  }
  if (!shared_.options.server_name.empty()) {
    head_.append("Server: ").append(shared_.options.server_name).append("\r\n");
  }
  head_.append("Date: ").append(shared_.date).append("\r\n");
  head_only_ = head_only_ || request_.method == "HEAD" || status == 204 || status == 304;
}

void ServerConnection::EndHead(std::string_view framing) {
  head_.append(framing);
  if (!keep_alive_) {
    head_.append("Connection: close\r\n");
  } else if (request_.version_minor == 0) {
    head_.append("Connection: keep-alive\r\n");
  }
  head_.append("\r\n");
}

Awaitable<absl::Status> ServerConnection::Send(HttpResponse response) {
  if (answer_ != Answer::kNone) co_return absl::FailedPreconditionError("already answered");
  if (gone_) co_return Gone();
  answer_ = Answer::kDone;
  BuildHead(response.status, response.headers);
  if (response.status != 204) {
    head_.append("Content-Length: ");
    AppendNumber(response.body.size(), 10, head_);
    head_.append("\r\n");
  }
  EndHead({});
  out_[0] = asio::buffer(head_);
  out_[1] = asio::buffer(response.body);
  co_return co_await WriteAll(head_only_ || response.body.empty() ? 1 : 2);
}

Awaitable<absl::Status> ServerConnection::StartStream(int status, HttpHeaders headers) {
  if (answer_ != Answer::kNone) co_return absl::FailedPreconditionError("already answered");
  if (gone_) co_return Gone();
  answer_ = Answer::kStream;
  BuildHead(status, headers);
  event_stream_ = headers.Get("Content-Type").substr(0, 17) == "text/event-stream";
  chunked_ = request_.version_minor == 1 && !head_only_;
  if (request_.version_minor == 0 && !head_only_) keep_alive_ = false;
  EndHead(chunked_ ? "Transfer-Encoding: chunked\r\n" : "");
  out_[0] = asio::buffer(head_);
  co_return co_await WriteAll(1);
}

Awaitable<absl::Status> ServerConnection::Write(std::string_view data) {
  if (answer_ != Answer::kStream) co_return absl::FailedPreconditionError("no stream is open");
  if (gone_) co_return Gone();
  if (data.empty() || head_only_) co_return absl::OkStatus();
  line_end_ = data.back() == '\n';
  if (!chunked_) {
    out_[0] = asio::buffer(data.data(), data.size());
    co_return co_await WriteAll(1);
  }
  head_.clear();
  AppendNumber(data.size(), 16, head_);
  head_.append("\r\n");
  out_[0] = asio::buffer(head_);
  out_[1] = asio::buffer(data.data(), data.size());
  out_[2] = asio::buffer("\r\n", 2);
  co_return co_await WriteAll(3);
}

Awaitable<absl::Status> ServerConnection::Finish() {
  if (answer_ != Answer::kStream) co_return absl::FailedPreconditionError("no stream is open");
  if (gone_) co_return Gone();
  answer_ = Answer::kDone;
  if (!chunked_) co_return absl::OkStatus();
  out_[0] = asio::buffer("0\r\n\r\n", 5);
  co_return co_await WriteAll(1);
}

Awaitable<absl::StatusOr<std::unique_ptr<WebSocket>>> ServerConnection::Upgrade(
    WebSocketOptions options) {
  if (answer_ != Answer::kNone) co_return absl::FailedPreconditionError("already answered");
  if (gone_) co_return Gone();
  answer_ = Answer::kDone;
  keep_alive_ = false;
  std::string early(buffer_.data() + begin_, end_ - begin_);
  begin_ = end_ = 0;
  auto accepting = AcceptWebSocket(stream_, std::move(early), request_, std::move(options));
  co_return co_await std::move(accepting);
}

// Writes the first `buffers` of out_. Each piece of progress starts the stall time-out anew.
Awaitable<absl::Status> ServerConnection::WriteAll(size_t buffers) {
  std::span<asio::const_buffer> rest(out_.data(), buffers);
  IoResult done = stream_.TryWrite(rest);
  const Phase before = phase_;
  writing_ = true;
  for (;;) {
    while (!rest.empty() && done.bytes >= rest.front().size()) {
      done.bytes -= rest.front().size();
      rest = rest.subspan(1);
    }
    if (rest.empty() || done.error) break;
    rest.front() += done.bytes;
    Enter(Phase::kWriting, shared_.options.write_stall_timeout);
    done = co_await stream_.WriteSome(rest);
  }
  writing_ = false;
  Enter(before);
  if (!done.error) co_return absl::OkStatus();
  gone_ = true;
  co_return Gone();
}

void ServerConnection::OnDisconnect(std::function<void()> callback) {
  on_disconnect_ = std::move(callback);
  if (!gone_ || !on_disconnect_) return;
  auto now = std::exchange(on_disconnect_, nullptr);
  now();
}

std::function<void()> ServerConnection::CheckPeer(short revents) {
  if (!gone_) {
    if (revents & (POLLERR | POLLHUP | POLLNVAL)) {
      gone_ = true;
    } else if (revents & POLLRDHUP) {
      gone_ = tls_ != nullptr || !ProbePeer();
    }
  }
  if (!gone_) return nullptr;
  if (writing_) stream_.Cancel();
  return std::exchange(on_disconnect_, nullptr);
}

// The client has sent FIN. Writes something that means nothing, so that a closed client resets;
// see HttpResponder::OnDisconnect. False: it is known to be gone.
bool ServerConnection::ProbePeer() {
  if (request_.is_unix_socket || probed_ || writing_ || answer_ == Answer::kDone) return true;
  std::string_view probe;
  if (answer_ == Answer::kNone && request_.version_minor == 1) {
    probe = kContinue;
  } else if (answer_ == Answer::kStream && event_stream_ && line_end_) {
    probe = chunked_ ? "2\r\n:\n\r\n" : ":\n";
  } else {
    return true;
  }
  // With nothing unacknowledged before it, the kernel takes the probe whole. Otherwise those bytes
  // are a probe themselves.
  int unsent = 0;
  if (::ioctl(stream_.fd(), SIOCOUTQ, &unsent) != 0 || unsent > 0) return true;
  probed_ = true;
  return ::send(stream_.fd(), probe.data(), probe.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

}  // namespace metamcp::http
