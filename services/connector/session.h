#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/async/sink.h"
#include "common/mcp/jsonrpc.h"
#include "common/mcp/version.h"
#include "services/connector/channel.h"
#include "services/connector/event.h"
#include "services/connector/exchange.h"

namespace metamcp::connector {

// What a handshake found out.
struct Negotiated {
  mcp::Revision revision = mcp::kLatestLegacy;
  bool modern() const { return mcp::IsModern(revision); }
  std::string server_info;   // raw JSON object, may be empty
  std::string capabilities;  // raw JSON object in the modern shape
  std::string instructions;
  bool tools = false;
  bool prompts = false;
  bool resources = false;
  bool subscribe = false;
  bool logging = false;
  bool completions = false;
  bool extensions = false;  // declares any
  bool tasks = false;       // its tools may run as tasks, of its revision's flavour
};

enum class ListKind { kTools, kResources, kPrompts };

// Learns what a session brings outside of requests. Called on the session's thread.
class SessionObserver {
 public:
  virtual ~SessionObserver() = default;
  // The upstream is there: its process runs, or it has answered something.
  virtual void OnReached() = 0;
  virtual void OnListChanged(ListKind kind) = 0;
  virtual void OnResourceUpdated(const std::string& uri) = 0;
  // A question could not be attributed to one call and was refused.
  virtual void OnAmbiguousQuestion() = 0;
  // For the upstream's log.
  virtual void OnRemark(std::string_view text) = 0;
  // The session is over. Called once.
  virtual void OnLost(const absl::Status& why) = 0;
};

struct SessionOptions {
  std::string domain;               // of errors: "upstream:<slug>"
  std::string client_info;          // raw JSON object
  std::string client_capabilities;  // raw JSON object, declared at initialize
  // Questions outside of any call wait for the next capable one, at most this long; zero refuses
  // them at once (a session that several principals share must not hand them to whoever comes).
  std::chrono::milliseconds hold_questions{0};
  size_t pending_max = 4096;
};

// One MCP client session over a channel, of either era: numbers requests, matches answers,
// attributes progress, log messages and questions, answers pings. Owned by shared_ptr.
// Single-threaded. Sources: MCP 2025-11-25 basic/lifecycle, 2026-07-28 basic.
class Session final : public ChannelHandler, public std::enable_shared_from_this<Session> {
 public:
  struct Answer {
    std::string result;
    std::optional<RpcError> error;
  };

  Session(boost::asio::any_io_executor executor, std::shared_ptr<Channel> channel,
          SessionOptions options, SessionObserver& observer);
  ~Session() override;

  // Begins to read. Call once.
  void Start();
  // Nobody is told anything any more.
  void Detach() { observer_ = nullptr; }

  // The legacy handshake: initialize, notifications/initialized. Errors: UPSTREAM_PROTOCOL for an
  // unusable answer, UPSTREAM_TIMEOUT, UPSTREAM_LOST, UPSTREAM_ERROR.
  Awaitable<absl::StatusOr<Negotiated>> Initialize(std::chrono::milliseconds timeout);
  // server/discover of 2026-07-28. `answer` carries JSON-RPC errors for the prober to judge.
  Awaitable<absl::StatusOr<Answer>> Discover(std::chrono::milliseconds timeout);
  // Sets what was negotiated and lets calls begin.
  void Adopt(Negotiated negotiated);
  const Negotiated& negotiated() const { return negotiated_; }

  // Asks a legacy upstream for log messages from this severity on (-1: none), and returns when it
  // has taken it: a request that is sent then is logged so. One level holds for the whole session,
  // the most talkative that anybody wanted; the rest is filtered. Errors: CANCELLED.
  Awaitable<absl::Status> WantLogs(int severity);
  // Sends a request. Errors: UPSTREAM_LOST, QUEUE_FULL.
  absl::StatusOr<std::shared_ptr<Exchange>> Begin(RequestSpec spec);
  // Sends a request and waits for its answer.
  Awaitable<absl::StatusOr<Answer>> Ask(RequestSpec spec, std::chrono::milliseconds timeout);
  // Gives an unfinished exchange up: tells the upstream in its version's way, forgets it.
  void Cancel(Exchange& exchange, std::string_view reason);
  // Progress still goes to this exchange after its answer: the answer was a task.
  void KeepTelling(const std::shared_ptr<Exchange>& exchange);
  // Answers a question with a raw result.
  // The client itself refused, with this error.
  void RejectQuestion(const Question& question, const RpcError& error);
  void AnswerQuestion(const Question& question, std::string_view raw_result);
  // Answers it as a client that will not.
  void RefuseQuestion(const Question& question);
  absl::Status Notify(std::string_view method, std::string_view raw_params);

  // Ends the session and waits for its channel. Exchanges in flight fail with UPSTREAM_LOST.
  Awaitable<void> Close();

  // Members of _meta for a request of the gateway itself to a modern upstream.
  std::string OwnMeta() const;
  bool lost() const { return lost_; }
  // Calls of clients that are in flight; the gateway's own requests do not count.
  size_t in_flight() const;
  // In flight with a capability to answer questions.
  size_t capable_in_flight() const;
  Channel& channel() { return *channel_; }

  void OnMessage(std::string_view json, uint64_t stream_of) override;
  bool Expects(uint64_t request_id) const override { return pending_.contains(request_id); }
  void OnPaused(uint64_t request_id, std::chrono::milliseconds retry_after) override;
  void OnRequestFailed(uint64_t request_id, absl::Status why) override;
  void OnClosed(absl::Status why) override;

 private:
  void OnMalformed(std::string_view text, const jsonrpc::ParseOutcome& outcome, uint64_t stream_of);
  void FailExchange(const std::shared_ptr<Exchange>& exchange, std::string_view why);
  void CountBroken();
  void OnResponse(const jsonrpc::Envelope& envelope);
  void OnStray(std::string_view id);
  void OnNotification(const jsonrpc::Envelope& envelope, uint64_t stream_of);
  void OnUpstreamRequest(const jsonrpc::Envelope& envelope, uint64_t stream_of);
  void OnProgress(const jsonrpc::Envelope& envelope);
  void OnLog(const jsonrpc::Envelope& envelope, uint64_t stream_of);
  void Route(Question question, uint64_t stream_of);
  void TakeHeld(Exchange& exchange);
  void DropStaleHeld();
  void SendText(std::string text);
  void Remark(std::string_view text);
  void Reached();
  std::string RequestText(const Exchange& exchange) const;
  std::shared_ptr<Exchange> Find(uint64_t id) const;
  // The one call in flight; nullptr where there is none or more than one.
  std::shared_ptr<Exchange> OnlyCall() const;

  struct Held {
    Question question;
    std::chrono::steady_clock::time_point until;
  };

  boost::asio::any_io_executor executor_;
  std::shared_ptr<Channel> channel_;
  const SessionOptions options_;
  SessionObserver* observer_;
  Negotiated negotiated_;
  bool adopted_ = false;
  bool reached_ = false;
  bool started_ = false;
  bool lost_ = false;
  absl::Status lost_why_;
  uint64_t last_id_ = 0;
  int log_severity_set_ = -1;
  bool levelling_ = false;  // the level is being set
  Broadcast levelled_;
  absl::flat_hash_map<uint64_t, std::shared_ptr<Exchange>> pending_;
  absl::flat_hash_map<uint64_t, std::weak_ptr<Exchange>> told_on_;  // by request id
  std::vector<Held> held_;
  std::chrono::steady_clock::time_point stray_at_;  // of the last answer to nobody
  boost::asio::steady_timer held_timer_;
  boost::asio::steady_timer doubt_timer_;
  int remarks_ = 0;
  int broken_ = 0;  // messages that nobody could use since the last good answer
};

}  // namespace metamcp::connector
