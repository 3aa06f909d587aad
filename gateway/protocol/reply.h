#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/async/sink.h"
#include "common/telemetry/trace.h"

namespace metamcp::gateway {

// Where the messages that belong to one incoming message go. Calls are awaited and may come from
// several coroutines; they do not overtake each other. CANCELLED: the client is gone.
class Reply {
 public:
  virtual ~Reply() = default;

  // Sends a message before the response (a notification, or a request to a legacy client).
  virtual Awaitable<absl::Status> Notify(std::string message) = 0;
  // Sends the response and ends. `http_status` counts only where nothing was sent before.
  virtual Awaitable<absl::Status> Respond(int http_status, std::string message) = 0;
  // Ends without a message: a notification was taken (202), or a cancelled call has no response.
  virtual Awaitable<absl::Status> End(int http_status) = 0;
  // Opens the stream now, so that the client sees that it is served.
  virtual Awaitable<absl::Status> Open() = 0;

  // Sends the client away to come back after `retry_after`, where the transport can: what follows
  // is kept for it. Elsewhere nothing happens.
  virtual Awaitable<absl::Status> Pause(std::chrono::milliseconds) { co_return absl::OkStatus(); }

  // Whether Notify can reach the client at all (it accepts an event stream).
  virtual bool can_push() const = 0;
  // Whether anything was sent.
  virtual bool started() const = 0;
  // Called at most once, when the client goes away before the end.
  virtual void OnGone(std::function<void()> callback) = 0;
  // A header of the answer; before anything was sent.
  virtual void SetHeader(std::string_view name, std::string_view value) = 0;

  // The span of the request that is answered, in which failures are noted. Null: nobody notes them.
  // It must outlive the answer.
  void Trace(trace::Span* span) { span_ = span; }
  trace::Span* span() const { return span_; }

 private:
  trace::Span* span_ = nullptr;
};

}  // namespace metamcp::gateway
