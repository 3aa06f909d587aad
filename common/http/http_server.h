#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/async/sink.h"
#include "common/http/http_types.h"
#include "common/http/websocket.h"

namespace metamcp::http {

// How a handler answers: Send once, or StartStream, Write any number of times and Finish, or
// Upgrade. Every call is awaited (back-pressure: it returns when the kernel has taken the bytes),
// by one coroutine at a time. CANCELLED: the client is gone or did not read for
// write_stall_timeout. A handler that returns without an answer gives 500; without Finish, the
// stream is cut off.
class HttpResponder {
 public:
  virtual ~HttpResponder() = default;
  virtual Awaitable<absl::Status> Send(HttpResponse response) = 0;
  // Sends the head at once. Chunked on HTTP/1.1, ended by closing on HTTP/1.0.
  virtual Awaitable<absl::Status> StartStream(int status, HttpHeaders headers) = 0;
  // `data` must stay valid until the call returns. Empty data sends nothing.
  virtual Awaitable<absl::Status> Write(std::string_view data) = 0;
  virtual Awaitable<absl::Status> Finish() = 0;
  // Instead of an answer: turns the connection into a WebSocket, which must end, and be destroyed,
  // before the handler does. The subprotocol is named where the client offers it. An opening that
  // is malformed (AsksForWebSocket tells) is answered with 400 and CANCELLED.
  virtual Awaitable<absl::StatusOr<std::unique_ptr<WebSocket>>> Upgrade(
      WebSocketOptions options) = 0;

  // `callback` runs at most once, on the executor, when the client goes away before the answer is
  // complete; at once when it already has. It is dropped with the answer. A call replaces it.
  //
  // Found by polling every sweep_interval, so that short requests pay nothing. A reset, and any
  // close of a unix socket or TLS connection, counts. A FIN over plain TCP may be a close or only
  // shutdown(SHUT_WR) by a client that still reads, and the two look alike until something is
  // written: before the answer's head we then send an interim "100 Continue" (which every client
  // skips, RFC 9110 15.2), inside an event stream one comment line. A closed client answers with a
  // reset; a half-closed one gets its answer. In other streams the next Write finds out.
  virtual void OnDisconnect(std::function<void()> callback) = 0;
  virtual bool disconnected() const = 0;
  // Whether the head of an answer has been sent.
  virtual bool started() const = 0;
};

// Both references stay valid until the handler's coroutine ends. An exception that leaves it is
// logged and answered with 500.
using HttpHandler = std::function<Awaitable<void>(HttpRequest&, HttpResponder&)>;

struct HttpTlsServerOptions {
  std::string cert_file;  // PEM, leaf first, then the chain
  std::string key_file;   // PEM
  // PEM. Not empty: clients are asked for a certificate of these authorities. Who shows none, or
  // one that is not good, is served all the same: HttpRequest::certificate says what was shown.
  std::string client_ca_file;
  bool allow_tls12 = false;
  bool check_time = true;  // a certificate whose time is not now is refused
};

// What reading certificates again found.
struct CertificateReload {
  bool changed = false;
  bool authorities = false;  // of clients, among what changed
  int64_t not_after_us = 0;  // of the certificate in use
};

struct HttpServerOptions {
  using Duration = std::chrono::steady_clock::duration;
  HttpServerOptions() {}

  size_t body_bytes_max = 4 << 20;     // above: 413, also for chunked bodies
  size_t header_bytes_max = 32 << 10;  // request line and headers together; above: 431
  size_t header_count_max = 100;       // above: 431
  size_t target_bytes_max = 8 << 10;   // above: 414
  size_t connections_max = 10000;      // above: 503 and close
  Duration header_timeout = std::chrono::seconds(15);  // from a request's first byte; above: 408
  Duration body_timeout = std::chrono::seconds(60);    // above: 408
  Duration idle_timeout = std::chrono::seconds(75);    // between requests; above: close
  Duration write_stall_timeout = std::chrono::seconds(60);  // of one Write; above: close
  Duration tls_handshake_timeout = std::chrono::seconds(10);
  // How often time-outs and disconnects are looked at; their granularity.
  Duration sweep_interval = std::chrono::milliseconds(100);
  std::string server_name;  // the Server header; empty: none
};

// Where a listener listens.
struct HttpEndpoint {
  std::string host;  // numeric address
  uint16_t port = 0;
  std::string unix_path;  // instead of host and port
  bool tls = false;
  std::string ToString() const;  // "http://127.0.0.1:8931", "https://[::1]:443", "unix:/run/x.sock"
};

// HTTP/1.1 (and 1.0) server on Asio: keep-alive, pipelined requests one after the other, HEAD,
// Expect: 100-continue. Ambiguous framing (Content-Length beside Transfer-Encoding, differing or
// repeated lengths, bad chunks) is answered with 400 and a close. Memory per idle connection is
// about 6 KiB. All calls on the executor's one thread. Once it listens, Stop must have been
// awaited before it is destroyed (checked).
class HttpServer {
 public:
  static std::unique_ptr<HttpServer> Create(boost::asio::any_io_executor executor,
                                            HttpHandler handler, HttpServerOptions options);
  virtual ~HttpServer() = default;

  // Binds, listens and starts to accept. `host` is an address or a name that resolves here
  // (resolved while blocking: start-up only); port 0 takes a free one. Any number of listeners.
  // Errors: UNAVAILABLE when the address is in use or not ours, with the system's words.
  virtual absl::StatusOr<HttpEndpoint> ListenTcp(const std::string& host, uint16_t port) = 0;
  // The same with TLS. Errors: also CONFIG_INVALID when the files do not fit, with "part" in its
  // metadata: cert, key or client_ca. Plain HTTP is answered with 400.
  virtual absl::StatusOr<HttpEndpoint> ListenTls(const std::string& host, uint16_t port,
                                                 const HttpTlsServerOptions& tls) = 0;
  // Replaces a dead socket file; refuses (ALREADY_EXISTS) one on which somebody listens and
  // anything that is not a socket. Mode 0600; removed on Stop.
  virtual absl::StatusOr<HttpEndpoint> ListenUnix(const std::string& path) = 0;

  // Reads the certificate files of every TLS listener again; running connections keep theirs. Where
  // the authorities of clients changed, connections that showed a certificate end after the request
  // in hand. On an error the old ones stay. Blocks on the file system.
  virtual absl::StatusOr<CertificateReload> ReloadCertificates() = 0;

  // Closes the listeners and idle connections, lets running requests finish for at most `grace`
  // (their connections close afterwards), then cuts off the rest and waits for their handlers,
  // which are cancelled.
  virtual Awaitable<void> Stop(std::chrono::steady_clock::duration grace) = 0;

  virtual size_t connections() const = 0;
};

}  // namespace metamcp::http
