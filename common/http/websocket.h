#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/async/sink.h"
#include "common/http/http_types.h"

namespace metamcp::http {

// Status codes of a close (RFC 6455, 7.4.1).
enum class WebSocketClose : uint16_t {
  kNormal = 1000,
  kGoingAway = 1001,    // the server stops
  kUnsupported = 1003,  // a binary message
  kPolicy = 1008,       // not (any more) allowed
  kTooBig = 1009,       // a message over the limit
  kInternal = 1011,
};

struct WebSocketOptions {
  using Duration = std::chrono::steady_clock::duration;
  WebSocketOptions() {}
  size_t message_bytes_max = 4 << 20;                  // above: closed with 1009
  Duration message_time = std::chrono::seconds(60);    // from a message's first piece to its last
  Duration write_stall = std::chrono::seconds(60);     // without a byte leaving; then cut off
  Duration handshake_time = std::chrono::seconds(15);  // of the opening
  Duration close_time = std::chrono::seconds(2);       // for the peer's answer to our close
  std::string subprotocol = "mcp";
  std::string domain = "client";  // of errors: "upstream:<slug>"
};

// One open WebSocket that carries text messages, without extensions. One Read and one of Write,
// Ping and Close may be under way at a time. Cancelling a call cuts the connection off. Pings of
// the peer are answered; a flood of control or empty frames cuts it off. Thread: its executor.
class WebSocket {
 public:
  // Calls must have ended.
  virtual ~WebSocket() = default;

  // The next message; nullopt when the peer closed in order. Errors: UPSTREAM_LOST the connection
  // broke, UPSTREAM_PROTOCOL a frame that is not allowed, a binary message or one that is too big
  // (then the peer has been told why). After an error or the end, only Abort is left.
  virtual Awaitable<absl::StatusOr<std::optional<std::string>>> Read() = 0;
  // Returns when the kernel has taken the message; `text` must stay until then. UPSTREAM_LOST.
  virtual Awaitable<absl::Status> Write(std::string_view text) = 0;
  // Asks for a sign of life. UPSTREAM_LOST when nothing came since the ping before; then the
  // connection is cut off. Call it in idle intervals.
  virtual Awaitable<absl::Status> Ping() = 0;
  // Closes with a code and waits shortly for the peer to agree; then the connection is gone.
  virtual Awaitable<void> Close(WebSocketClose code, std::string_view reason) = 0;
  // Cuts the connection off; calls under way end. Idempotent.
  virtual void Abort() = 0;
  // What the peer closed with; 0 while it has not.
  virtual uint16_t peer_close() const = 0;
};

// Whether `request` asks for a WebSocket: GET with Upgrade and Connection.
bool AsksForWebSocket(const HttpRequest& request);

}  // namespace metamcp::http
