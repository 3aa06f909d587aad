#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/async/sink.h"

namespace metamcp::connector {

// One JSON-RPC message to an upstream. `json` is a single line. The rest describes a request to
// transports that mirror it in headers (MCP 2026-07-28, Streamable HTTP).
struct Outgoing {
  Outgoing() = default;
  explicit Outgoing(std::string text) : json(std::move(text)) {}
  std::string json;
  uint64_t request_id = 0;  // 0: a notification or a response
  std::string method;
  std::string name;  // tool or prompt name, resource URI; empty where the method has none
  std::vector<std::pair<std::string, std::string>> headers;
};

// Receives what a channel brings. Called on the channel's thread; from inside Send only
// OnRequestFailed (of the request that is sent) and OnClosed.
class ChannelHandler {
 public:
  virtual ~ChannelHandler() = default;
  // One message. `stream_of` is the id of the request whose own stream carried it, 0 where the
  // channel is shared. The text lives during the call only.
  virtual void OnMessage(std::string_view json, uint64_t stream_of) = 0;
  // Whether the answer to a request is still expected.
  virtual bool Expects(uint64_t request_id) const = 0;
  // The request's stream ended early; the server is asked for the rest after `retry_after`.
  virtual void OnPaused(uint64_t, std::chrono::milliseconds) {}
  // This request will get no answer; the channel lives on.
  virtual void OnRequestFailed(uint64_t request_id, absl::Status why) = 0;
  // The channel is gone; nothing follows. Called once, also after Close.
  virtual void OnClosed(absl::Status why) = 0;
};

// A transport to one upstream session: a child's pipes, or an HTTP endpoint. Owned by shared_ptr,
// as its coroutines keep it alive. Single-threaded.
class Channel {
 public:
  virtual ~Channel() = default;
  // Begins to read. Nothing is delivered to a handler that is gone.
  virtual void Start(std::weak_ptr<ChannelHandler> handler) = 0;
  // Queues a message. Errors: UNAVAILABLE when closed, RESOURCE_EXHAUSTED when the queue is full.
  virtual absl::Status Send(Outgoing message) = 0;
  // Stops listening for the answer of a request. Where CancelsByAbandon, this is the cancellation.
  virtual void Abandon(uint64_t request_id) = 0;
  virtual bool CancelsByAbandon() const = 0;
  // Whether a message's stream says which request it belongs to.
  virtual bool Correlates() const = 0;
  // Tells the channel what was negotiated, once.
  virtual void SetProtocol(bool modern, std::string_view version) = 0;
  // Ends the connection and waits until nothing of it is left. Idempotent.
  virtual Awaitable<void> Close() = 0;
  // Begins to close without waiting. Idempotent.
  virtual void Drop() = 0;
  // The child's process id; 0 for others.
  virtual int pid() const { return 0; }
};

}  // namespace metamcp::connector
