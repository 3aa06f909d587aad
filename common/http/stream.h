#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <span>
#include <string>

#include "common/async/sink.h"
#include "common/http/http_types.h"

namespace metamcp::http {

// What came of one read or write; bytes may be above 0 beside an error.
struct IoResult {
  IoResult() = default;
  IoResult(boost::system::error_code error_in, size_t bytes_in)
      : error(error_in), bytes(bytes_in) {}
  boost::system::error_code error;
  size_t bytes = 0;
};

// A TCP or unix socket, with TLS on top or without: the one place where TLS streams are
// instantiated. Not thread-safe. One read and one write may be pending; the object must outlive
// them (close and let them end first). Cancelling a pending operation leaves the socket open.
class Stream {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  explicit Stream(Socket socket);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  // Puts TLS on the socket and shakes hands as the server.
  Awaitable<boost::system::error_code> AcceptTls(std::shared_ptr<boost::asio::ssl::context> tls);
  // The same as the client: SNI, ALPN http/1.1, certificate and host name checked. On an error,
  // `why` says what was wrong with the certificate, if anything was.
  Awaitable<boost::system::error_code> ConnectTls(std::shared_ptr<boost::asio::ssl::context> tls,
                                                  std::string host, std::string* why);

  // Reads at least one byte; asio::error::eof at the end of the stream.
  Awaitable<IoResult> ReadSome(boost::asio::mutable_buffer into);
  // Writes some of one or more buffers when the socket is not ready to take them at once.
  Awaitable<IoResult> WriteSome(std::span<const boost::asio::const_buffer> buffers);
  // Writes without waiting; 0 bytes without an error means that it would have to wait, which is
  // always so on TLS.
  IoResult TryWrite(std::span<const boost::asio::const_buffer> buffers);

  // Ends the pending operations with operation_aborted.
  void Cancel();
  // Sends FIN; on TLS exchanges close_notify first, which Cancel cuts short.
  Awaitable<void> Shutdown();
  void Close();

  bool tls() const { return tls_ != nullptr; }
  // After AcceptTls: the client's certificate; null where it showed none.
  std::shared_ptr<const ClientCertificate> PeerCertificate() const;
  bool tls12() const;
  bool open() const { return socket_.is_open(); }
  int fd() { return socket_.native_handle(); }
  Socket& socket() { return socket_; }

 private:
  friend class WebSocketLayer;
  struct Tls;  // stream_tls.h
  Socket socket_;
  std::unique_ptr<Tls> tls_;
};

}  // namespace metamcp::http
