#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/async/call_context.h"
#include "common/async/sink.h"
#include "common/http/address_rule.h"
#include "common/http/http_types.h"
#include "common/http/websocket.h"

namespace metamcp::http {

struct HttpClientRequest {
  using Duration = std::chrono::steady_clock::duration;
  HttpClientRequest() {}
  HttpClientRequest(std::string method_in, std::string url_in)
      : method(std::move(method_in)), url(std::move(url_in)) {}

  std::string method = "GET";
  std::string url;  // http or https
  // Host (unless set), Content-Length, Connection and Accept-Encoding: identity are added.
  HttpHeaders headers;
  std::string body;
  std::string unix_socket;  // connect to this path instead; the URL still names host and path

  // May be sent a second time when a pooled connection turns out to be dead after bytes were sent.
  bool idempotent = false;
  bool allow_plain_http = false;  // http:// to hosts other than this machine
  bool allow_tls12 = false;       // 1.3 only otherwise
  std::string ca_file;            // PEM file of more authorities; the system's are kept
  // PEM files of our certificate and its key, shown to servers that ask; read again for the next
  // connection when they change. Both or neither.
  std::string client_cert_file;
  std::string client_key_file;
  // Where the URL may lead when it comes from somebody else than our operator.
  AddressRule addresses = AddressRule::kAny;

  Duration connect_timeout = std::chrono::seconds(10);     // DNS, TCP, proxy and TLS together
  Duration first_byte_timeout = std::chrono::seconds(60);  // from sent to the response's head
  Duration idle_timeout = std::chrono::seconds(90);        // between two pieces of the body

  std::string domain = "http";  // of errors: "upstream:<slug>"
};

// A response whose head has arrived. Destroying it before the end closes the connection, which is
// how a modern MCP server learns of a cancellation. Thread: the client's executor.
class HttpClientResponse {
 public:
  virtual ~HttpClientResponse() = default;
  virtual int status() const = 0;
  virtual const HttpHeaders& headers() const = 0;

  // The next piece of the body, as it arrives; nullopt at its end. One call at a time; being
  // cancelled closes the connection. Errors: UPSTREAM_LOST when the connection broke or the body
  // was cut short, UPSTREAM_PROTOCOL for bad framing, UPSTREAM_TIMEOUT after idle_timeout.
  virtual Awaitable<absl::StatusOr<std::optional<std::string>>> ReadSome() = 0;
  // The rest of the body. UPSTREAM_RESULT_TOO_LARGE when it exceeds `bytes_max`.
  virtual Awaitable<absl::StatusOr<std::string>> ReadAll(size_t bytes_max) = 0;
  // Closes the connection now; later reads return CANCELLED.
  virtual void Close() = 0;
};

struct HttpClientOptions {
  using Duration = std::chrono::steady_clock::duration;
  HttpClientOptions();  // with the environment of the process

  size_t connections_per_host_max = 64;
  size_t waiters_per_host_max = 256;  // above: QUEUE_FULL
  size_t idle_per_host_max = 16;
  Duration idle_timeout = std::chrono::seconds(50);  // of a pooled connection
  size_t header_bytes_max = 64 << 10;                // of a response; above: UPSTREAM_PROTOCOL
  // Reads HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in either case (for http only http_proxy in lower
  // case, as CGI sets the other). Hosts of this machine are never proxied. nullptr: no proxy.
  std::function<const char*(const char*)> environment;
  std::string user_agent = "meta-mcp";
};

// HTTP/1.1 client. All calls on the executor's one thread.
class HttpClient {
 public:
  virtual ~HttpClient() = default;

  // Sends `request` and returns when the head of the response is there, whatever its status;
  // redirects are not followed. `ctx.deadline` bounds this call, not the reading of the body.
  // Cancelling the awaiting coroutine closes the connection.
  // Errors: UPSTREAM_UNAVAILABLE name not found, refused, TLS (the message names the cause), an
  // address that `addresses` forbids, or http:// to another machine without allow_plain_http;
  // UPSTREAM_TIMEOUT; UPSTREAM_LOST when the connection broke after the request was sent (it may
  // have taken effect); UPSTREAM_PROTOCOL for a malformed response; QUEUE_FULL; CONFIG_INVALID for
  // a bad URL; CANCELLED.
  virtual Awaitable<absl::StatusOr<std::unique_ptr<HttpClientResponse>>> Send(
      const CallContext& ctx, HttpClientRequest request) = 0;

  // Opens a WebSocket to a ws:// or wss:// URL on a connection of its own, with the request's
  // headers and its rules for plain text, TLS and proxies (always by CONNECT). Errors: as above,
  // and UPSTREAM_AUTH where the server answered 401 or 403. It must not outlive the client.
  virtual Awaitable<absl::StatusOr<std::unique_ptr<WebSocket>>> OpenWebSocket(
      const CallContext& ctx, HttpClientRequest request, WebSocketOptions options) = 0;
};

// The implementation on Asio and Beast, with a pool of keep-alive connections per scheme, host,
// port and TLS options. Responses must not outlive it.
std::unique_ptr<HttpClient> NewHttpClient(boost::asio::any_io_executor executor,
                                          HttpClientOptions options);

}  // namespace metamcp::http
