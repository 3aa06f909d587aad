#include "common/http/client_connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>

#include "absl/strings/escaping.h"
#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr size_t kBufferBytesStart = 4 << 10;
constexpr size_t kBufferBytesMax = 64 << 10;
// How long one address of several may take before the next one is tried.
constexpr auto kAttemptTime = std::chrono::seconds(3);
constexpr size_t kTunnelHeadMax = 16 << 10;

// A name lookup cannot be interrupted (getaddrinfo), so that its answer goes to a state that may
// outlive the one who asked.
struct Lookup {
  explicit Lookup(asio::any_io_executor executor) : resolver(executor), done(executor) {}
  tcp::resolver resolver;
  asio::steady_timer done;
  bool ended = false;
  error_code error;
  std::vector<tcp::endpoint> found;
};

}  // namespace

ClientConnection::ClientConnection(asio::any_io_executor executor, size_t header_bytes_max)
    : executor_(executor), parser_(header_bytes_max) {}

void ClientConnection::SetDeadline(Clock::time_point deadline) {
  deadline_ = deadline;
  timed_out_ = false;
}

void ClientConnection::CheckDeadline(Clock::time_point now) {
  if (now < deadline_) return;
  timed_out_ = true;
  if (stream_) stream_->Cancel();
}

void ClientConnection::Close() {
  closed_ = true;
  if (stream_) stream_->Close();
}

bool ClientConnection::Alive() {
  if (closed_ || !stream_ || !stream_->open()) return false;
  char byte;
  const ssize_t n = ::recv(stream_->fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

bool ClientConnection::Reusable() const {
  return body_done_ && !closed_ && begin_ == end_ && parser_.keep_alive() &&
         parser_.status() != 101;
}

absl::Status ClientConnection::Explain(std::string_view what, const error_code& error,
                                       std::string_view reason, const std::string& domain) const {
  if (timed_out_) {
    return MakeError("UPSTREAM_TIMEOUT", domain, StrCat(what, ": no answer in time"));
  }
  if (closed_ || error == asio::error::operation_aborted) {
    return MakeError("CANCELLED", domain, StrCat(what, ": cancelled"));
  }
  return MakeError(reason, domain, StrCat(what, ": ", error.message()));
}

Awaitable<absl::StatusOr<std::vector<tcp::endpoint>>> ClientConnection::Resolve(
    std::string host, uint16_t port, std::string domain, Clock::time_point deadline) {
  std::vector<tcp::endpoint> endpoints;
  error_code ec;
  const auto address = asio::ip::make_address(host, ec);
  if (!ec) {
    endpoints.emplace_back(address, port);
    co_return endpoints;
  }
  auto lookup = std::make_shared<Lookup>(executor_);
  lookup->done.expires_at(deadline);
  auto on_answer = [lookup](const error_code& error, const tcp::resolver::results_type& results) {
    lookup->ended = true;
    lookup->error = error;
    for (const auto& r : results) lookup->found.push_back(r.endpoint());
    lookup->done.cancel();
  };
  lookup->resolver.async_resolve(host, std::to_string(port), std::move(on_answer));
  co_await lookup->done.async_wait(kToken);
  if (!lookup->ended) {
    lookup->resolver.cancel();
    if (Clock::now() >= deadline) {
      co_return MakeError("UPSTREAM_TIMEOUT", domain,
                          StrCat("looking up '", host, "': no answer in time"));
    }
    co_return MakeError("CANCELLED", domain, "cancelled");
  }
  if (lookup->error || lookup->found.empty()) {
    co_return MakeError("UPSTREAM_UNAVAILABLE", domain,
                        StrCat("looking up '", host, "': ", lookup->error.message()));
  }
  co_return std::move(lookup->found);
}

Awaitable<absl::Status> ClientConnection::ConnectSocket(const ConnectTarget& target,
                                                        Clock::time_point deadline) {
  using Endpoint = asio::generic::stream_protocol::endpoint;
  std::vector<std::pair<Endpoint, std::string>> endpoints;
  if (!target.unix_socket.empty()) {
    if (target.unix_socket.size() > 107) {
      co_return MakeError("UPSTREAM_UNAVAILABLE", target.domain, "the socket path is too long");
    }
    endpoints.emplace_back(asio::local::stream_protocol::endpoint(target.unix_socket),
                           StrCat("'", target.unix_socket, "'"));
  } else {
    const Url& peer = target.proxy ? *target.proxy : target.url;
    auto resolving = Resolve(peer.host, peer.port, target.domain, deadline);
    const auto found = co_await std::move(resolving);
    if (!found.ok()) co_return found.status();
    for (const tcp::endpoint& e : *found) {
      if (!target.proxy && !AddressAllowed(target.addresses, e.address().to_string())) continue;
      endpoints.emplace_back(e, StrCat(target.proxy ? "the proxy " : "", peer.authority(), " (",
                                       e.address().to_string(), ")"));
    }
  }
  absl::Status last;
  if (endpoints.empty()) {
    last = MakeError("UPSTREAM_UNAVAILABLE", target.domain,
                     StrCat("'", target.url.host,
                            "' is on a private network or on this machine, where an address that "
                            "somebody else names must not lead"));
  }
  for (size_t i = 0; i < endpoints.size(); ++i) {
    const bool more = i + 1 < endpoints.size();
    const auto until = more ? std::min(deadline, Clock::now() + kAttemptTime) : deadline;
    stream_ = std::make_unique<Stream>(Stream::Socket(executor_));
    SetDeadline(until);
    const auto [ec] = co_await stream_->socket().async_connect(endpoints[i].first, kToken);
    if (!ec && !closed_) {
      error_code ignored;
      if (target.unix_socket.empty()) stream_->socket().set_option(tcp::no_delay(true), ignored);
      SetDeadline(deadline);
      co_return absl::OkStatus();
    }
    last = Explain(StrCat("connecting to ", endpoints[i].second), ec, "UPSTREAM_UNAVAILABLE",
                   target.domain);
    if (absl::IsCancelled(last) || Clock::now() >= deadline) break;
  }
  co_return last;
}

Awaitable<absl::Status> ClientConnection::OpenTunnel(const ConnectTarget& target) {
  const std::string where = StrCat(target.url.ipv6 ? "[" : "", target.url.host,
                                   target.url.ipv6 ? "]" : "", ":", target.url.port);
  std::string head = StrCat("CONNECT ", where, " HTTP/1.1\r\nHost: ", where, "\r\n");
  if (!target.proxy->user_info.empty()) {
    const auto decoded = PercentDecode(target.proxy->user_info);
    if (decoded.ok()) {
      head += StrCat("Proxy-Authorization: Basic ", absl::Base64Escape(*decoded), "\r\n");
    }
  }
  head += "\r\n";
  const std::string what = StrCat("the proxy ", target.proxy->authority());
  const IoResult written = co_await WriteAll(head, "");
  if (written.error) {
    co_return Explain(what, written.error, "UPSTREAM_UNAVAILABLE", target.domain);
  }
  // A 2xx answer to CONNECT has no body, whatever its fields say (RFC 9110, 9.3.6).
  parser_.Start(true);
  for (;;) {
    size_t used = 0;
    const std::string_view data(buffer_.data() + begin_, end_ - begin_);
    const auto result = parser_.Put(data, &used, nullptr);
    begin_ += used;
    if (result == ResponseParser::Result::kHead) break;
    if (result == ResponseParser::Result::kError || end_ > kTunnelHeadMax) {
      co_return MakeError("UPSTREAM_UNAVAILABLE", target.domain,
                          StrCat(what, " gave a malformed answer"));
    }
    const IoResult got = co_await Fill();
    if (got.error) co_return Explain(what, got.error, "UPSTREAM_UNAVAILABLE", target.domain);
  }
  if (parser_.status() / 100 != 2 || begin_ != end_) {
    co_return MakeError("UPSTREAM_UNAVAILABLE", target.domain,
                        StrCat(what, " refused the connection: HTTP ", parser_.status()));
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> ClientConnection::StartTls(const ConnectTarget& target) {
  std::string why;
  const error_code ec = co_await stream_->ConnectTls(target.tls, target.url.host, &why);
  if (!ec) {
    if (stream_->tls12()) tls_note_ = "TLSv1.2";
    co_return absl::OkStatus();
  }
  const std::string what = StrCat("TLS with ", target.url.authority());
  if (timed_out_ || closed_ || ec == asio::error::operation_aborted) {
    co_return Explain(what, ec, "UPSTREAM_UNAVAILABLE", target.domain);
  }
  if (!why.empty()) {
    co_return MakeError("UPSTREAM_UNAVAILABLE", target.domain,
                        StrCat(what, ": its certificate is refused: ", why));
  }
  const std::string text = ec.message();
  const bool version = text.find("version") != std::string::npos;
  co_return MakeError("UPSTREAM_UNAVAILABLE", target.domain,
                      StrCat(what, ": ", text,
                             version ? " (it may only speak TLS 1.2, which must be allowed)" : ""));
}

Awaitable<absl::Status> ClientConnection::Connect(ConnectTarget target,
                                                  Clock::time_point deadline) {
  const absl::Status connected = co_await ConnectSocket(target, deadline);
  if (!connected.ok()) co_return connected;
  if (target.proxy && (target.url.secure() || target.tunnel)) {
    const absl::Status tunnel = co_await OpenTunnel(target);
    if (!tunnel.ok()) co_return tunnel;
  }
  if (target.tls) {
    const absl::Status secured = co_await StartTls(target);
    if (!secured.ok()) co_return secured;
  }
  SetDeadline(Clock::time_point::max());
  co_return absl::OkStatus();
}

Awaitable<IoResult> ClientConnection::WriteAll(std::string_view head, std::string_view body) {
  asio::const_buffer buffers[2] = {asio::buffer(head.data(), head.size()),
                                   asio::buffer(body.data(), body.size())};
  std::span<asio::const_buffer> rest(buffers, body.empty() ? 1 : 2);
  size_t total = 0;
  IoResult done = stream_->TryWrite(rest);
  for (;;) {
    total += done.bytes;
    while (!rest.empty() && done.bytes >= rest.front().size()) {
      done.bytes -= rest.front().size();
      rest = rest.subspan(1);
    }
    if (rest.empty() || done.error) break;
    rest.front() += done.bytes;
    done = co_await stream_->WriteSome(rest);
  }
  co_return IoResult(done.error, total);
}

Awaitable<IoResult> ClientConnection::Fill() {
  if (begin_ == end_) {
    if (end_ == buffer_.size() && end_ < kBufferBytesMax) {
      buffer_.resize(std::max(kBufferBytesStart, end_ * 2));
    }
    begin_ = end_ = 0;
  } else if (end_ == buffer_.size() && begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(std::max(kBufferBytesStart, buffer_.size() * 2));
  const auto into = asio::buffer(buffer_.data() + end_, buffer_.size() - end_);
  const IoResult got = co_await stream_->ReadSome(into);
  end_ += got.bytes;
  co_return got;
}

Awaitable<absl::Status> ClientConnection::Run(Exchange& exchange, const std::string& domain) {
  SetDeadline(exchange.deadline);
  body_done_ = false;
  parser_.Start(exchange.no_response_body);
  const IoResult written = co_await WriteAll(exchange.head, exchange.body);
  exchange.sent = written.bytes > 0;
  // A server may answer, and close, without reading all: its answer counts, so an error of the
  // write shows only if nothing can be read.
  bool received = false;
  for (;;) {
    size_t used = 0;
    const std::string_view data(buffer_.data() + begin_, end_ - begin_);
    const auto result = parser_.Put(data, &used, nullptr);
    begin_ += used;
    if (result == ResponseParser::Result::kHead) {
      if (parser_.status() >= 200 || parser_.status() == 101) break;
      parser_.Start(exchange.no_response_body);  // an interim response
      continue;
    }
    if (result == ResponseParser::Result::kError) {
      co_return MakeError("UPSTREAM_PROTOCOL", domain,
                          StrCat("malformed HTTP response: ", parser_.error()));
    }
    const IoResult got = co_await Fill();
    if (got.error) {
      exchange.stale = used_ && !received && !timed_out_ && !closed_ &&
                       got.error != asio::error::operation_aborted;
      const error_code error = written.error ? written.error : got.error;
      co_return Explain("waiting for the response", error, "UPSTREAM_LOST", domain);
    }
    received = true;
  }
  SetDeadline(Clock::time_point::max());
  co_return absl::OkStatus();
}

std::optional<ClientConnection::BodyPiece> ClientConnection::TakeBody(const std::string& domain) {
  using Result = ResponseParser::Result;
  if (!body_done_ && closed_) return MakeError("CANCELLED", domain, "the response was closed");
  if (!body_done_) {
    std::string piece;
    Result result = Result::kDone;
    if (!parser_.done()) {
      size_t used = 0;
      const std::string_view data(buffer_.data() + begin_, end_ - begin_);
      result = data.empty() ? Result::kNeedMore : parser_.Put(data, &used, &piece);
      begin_ += used;
    }
    if (result == Result::kDone) body_done_ = true;
    if (result == Result::kError) {
      Close();
      return MakeError("UPSTREAM_PROTOCOL", domain,
                       StrCat("malformed HTTP body: ", parser_.error()));
    }
    if (!piece.empty()) return BodyPiece(std::move(piece));
  }
  if (body_done_) return BodyPiece(std::nullopt);
  return std::nullopt;
}

Awaitable<ClientConnection::BodyPiece> ClientConnection::ReadBody(Clock::duration idle,
                                                                  const std::string& domain) {
  for (;;) {
    std::optional<BodyPiece> there = TakeBody(domain);
    if (there) co_return *std::move(there);
    SetDeadline(Clock::now() + idle);
    const IoResult got = co_await Fill();
    if (got.error) {
      if (got.error == asio::error::eof && parser_.PutEnd() == ResponseParser::Result::kDone) {
        body_done_ = true;
        closed_ = true;
        continue;
      }
      const absl::Status status =
          Explain("reading the response", got.error, "UPSTREAM_LOST", domain);
      Close();
      co_return status;
    }
    SetDeadline(Clock::time_point::max());
  }
}

}  // namespace metamcp::http
