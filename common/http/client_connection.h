#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/http/address_rule.h"
#include "common/http/response_parser.h"
#include "common/http/stream.h"
#include "common/http/tls.h"
#include "common/http/url.h"

namespace metamcp::http {

// Where a connection goes.
struct ConnectTarget {
  Url url;
  std::string unix_socket;
  std::optional<Url> proxy;
  bool tunnel = false;  // by CONNECT through the proxy, also where there is no TLS
  TlsContext tls;       // for https and wss
  AddressRule addresses = AddressRule::kAny;
  std::string domain;
};

// One client connection: connects, and carries one exchange at a time. The pool calls
// CheckDeadline now and then; that is what ends operations that take too long.
class ClientConnection {
 public:
  using Clock = std::chrono::steady_clock;

  ClientConnection(boost::asio::any_io_executor executor, size_t header_bytes_max);
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  // Errors: UPSTREAM_UNAVAILABLE, UPSTREAM_TIMEOUT, CANCELLED.
  Awaitable<absl::Status> Connect(ConnectTarget target, Clock::time_point deadline);

  // Sends a request and reads the head of its response. `head` and `body` must stay until it
  // returns. `stale` is set when nothing came back on a connection used before, so that the server
  // may have closed it before our request; `sent` tells whether any byte left.
  struct Exchange {
    std::string_view head;
    std::string_view body;
    bool no_response_body = false;
    Clock::time_point deadline;
    bool stale = false;
    bool sent = false;
  };
  Awaitable<absl::Status> Run(Exchange& exchange, const std::string& domain);

  // The next piece of the response's body, nullopt at its end: what is there already, or nothing
  // where that has to be waited for.
  using BodyPiece = absl::StatusOr<std::optional<std::string>>;
  std::optional<BodyPiece> TakeBody(const std::string& domain);
  // The same, waiting; see HttpClientResponse::ReadSome.
  Awaitable<BodyPiece> ReadBody(Clock::duration idle, const std::string& domain);

  void CheckDeadline(Clock::time_point now);
  void Close();
  // Whether an idle connection can still be used: open, and nothing has arrived on it.
  bool Alive();
  // After the end of a response: whether another request may follow.
  bool Reusable() const;

  // The connected stream, to be used for another protocol; the connection is over.
  std::unique_ptr<Stream> TakeStream() {
    closed_ = true;
    return std::move(stream_);
  }

  ResponseParser& parser() { return parser_; }
  void MarkUsed() { used_ = true; }
  const std::string& tls_note() const { return tls_note_; }

 private:
  Awaitable<absl::Status> ConnectSocket(const ConnectTarget& target, Clock::time_point deadline);
  Awaitable<absl::StatusOr<std::vector<boost::asio::ip::tcp::endpoint>>> Resolve(
      std::string host, uint16_t port, std::string domain, Clock::time_point deadline);
  Awaitable<absl::Status> OpenTunnel(const ConnectTarget& target);
  Awaitable<absl::Status> StartTls(const ConnectTarget& target);
  Awaitable<IoResult> WriteAll(std::string_view head, std::string_view body);
  Awaitable<IoResult> Fill();
  absl::Status Explain(std::string_view what, const boost::system::error_code& error,
                       std::string_view reason, const std::string& domain) const;
  void SetDeadline(Clock::time_point deadline);

  boost::asio::any_io_executor executor_;
  std::unique_ptr<Stream> stream_;
  ResponseParser parser_;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  Clock::time_point deadline_ = Clock::time_point::max();
  bool timed_out_ = false;
  bool used_ = false;
  bool closed_ = false;
  bool body_done_ = false;
  std::string tls_note_;
};

}  // namespace metamcp::http
