#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "gateway/protocol/front.h"

namespace metamcp::gateway {

// One connection that carries whole messages both ways, as stdio does: HTTP+SSE, WebSocket, the
// pipes of `meta-mcp translate`. The transport gives it what the client sent (Take) and sends what
// comes out (Next); here is what the messages mean. Requests that name a modern revision in
// params._meta are served by themselves; `initialize` opens the one legacy session that a
// connection may have; both may be mixed. A request is cancelled by notifications/cancelled, and by
// the end of the connection, with which the session ends too. Many requests run at once; answers
// come in the order in which they are ready. Sources: MCP 2024-11-05 and 2026-07-28,
// basic/transports (HTTP with SSE; stdio; custom transports).
//
// Single-threaded. Held by shared_ptr, as running requests refer to it.
class DuplexConnection final : public std::enable_shared_from_this<DuplexConnection> {
 public:
  struct Options {
    Options() {}
    std::string transport;  // for lists of sessions: sse, ws, stdio
    std::string virtual_server;
    std::shared_ptr<const Principal> principal;
    size_t json_depth_max = 64;
    size_t batch_max = 50;
    size_t requests_max = 512;           // in flight; above: QUEUE_FULL
    size_t queue_messages_max = 256;     // not sent yet; above, writers wait
    size_t queue_bytes_max = 8u << 20;   // likewise; one message may exceed it
    size_t held_bytes_max = 128u << 20;  // queued, and with writers that wait; above: it ends
    std::function<void()> on_end;        // when the connection is over; called once
  };
  // Why nothing is taken any more. kBehind: the client did not read what it had asked to hear of.
  enum class End { kOpen, kGone, kRevoked, kBehind, kStopping };

  // References outlive the connection; `tasks` runs its requests.
  DuplexConnection(const FrontDeps& deps, ModernFront& modern, LegacyFront& legacy,
                   TaskGroup& tasks, Options options);
  ~DuplexConnection();

  // Takes one message of the client, or a batch where its session's revision has them. Waits while
  // what was said before is not sent. An error is a text without an id that could be answered:
  // PARSE_ERROR, INVALID_REQUEST.
  Awaitable<absl::Status> Take(std::string text);
  // Whether Take would have to wait.
  bool full() const { return queue_bytes_ > options_.queue_bytes_max; }

  // Whether Next has something at once.
  bool queued() const { return !queue_.empty(); }
  // The next message for the client; nothing when `wait` has passed, or when it is over and all is
  // sent. One caller at a time.
  Awaitable<std::optional<std::string>> Next(std::chrono::steady_clock::duration wait);
  // Queues an error that answers no request in particular.
  Awaitable<void> Report(absl::Status status);

  // Nothing more is taken; what is queued can still be sent.
  void Close(End why);
  // The transport is over: cancels what runs and ends the session. Idempotent.
  void Gone();
  // New requests are refused; closes when those that run have been answered.
  void Drain();
  // The client says no more: closes when what runs has been answered, listen streams apart.
  void InputEnded();
  End end() const { return end_; }
  const std::shared_ptr<const Principal>& principal() const { return options_.principal; }

 private:
  class Call;
  Awaitable<absl::Status> TakeOne(std::string_view text, bool in_batch);
  Awaitable<void> TakeRequest(std::shared_ptr<Call> call, bool in_batch);
  void TakeNotification(const jsonrpc::Envelope& envelope);
  absl::Status Admit(Call& call, bool in_batch);
  Awaitable<void> Open(std::shared_ptr<Call> call);
  static Awaitable<void> Run(std::shared_ptr<Call> call);
  // Carries what belongs to no request from the session to the queue.
  static Awaitable<void> Forward(std::shared_ptr<DuplexConnection> self,
                                 std::shared_ptr<LegacySession> session);
  Awaitable<absl::Status> Send(std::string message);
  void CloseIfDrained();

  const FrontDeps& deps_;
  ModernFront& modern_;
  LegacyFront& legacy_;
  TaskGroup& tasks_;
  const Options options_;
  End end_ = End::kOpen;
  bool over_ = false;
  bool draining_ = false;
  bool input_ended_ = false;
  std::shared_ptr<LegacySession> session_;
  bool opening_ = false;  // initialize is being answered
  std::map<jsonrpc::Id, Call*> running_;
  std::deque<std::string> queue_;
  size_t queue_bytes_ = 0;
  size_t waiting_bytes_ = 0;         // of writers
  boost::asio::steady_timer ready_;  // cancelled when there is something to send, or it is over
  boost::asio::steady_timer room_;   // cancelled when there is room in the queue, or it is over
};

}  // namespace metamcp::gateway
