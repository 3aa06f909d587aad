#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/async/call_context.h"
#include "common/async/task_group.h"
#include "common/mcp/jsonrpc.h"
#include "common/mcp/meta.h"
#include "gateway/protocol/edge_peers.h"
#include "gateway/protocol/reply.h"
#include "gateway/protocol/session.h"
#include "gateway/protocol/subscriptions.h"
#include "gateway/routing/call_chain.h"
#include "gateway/routing/mirror.h"
#include "gateway/routing/view_filter.h"
#include "gateway/routing/view_preparer.h"

namespace metamcp::gateway {

// What the protocol handlers share. References outlive the handlers.
struct FrontDeps {
  FrontDeps(boost::asio::any_io_executor ex, CatalogMirror& m, CallChain& c, SessionRegistry& s,
            SubscriptionHub& h, const KeyRing& k)
      : executor(std::move(ex)), mirror(m), chain(c), sessions(s), hub(h), keys(k) {}
  boost::asio::any_io_executor executor;
  CatalogMirror& mirror;
  CallChain& chain;
  SessionRegistry& sessions;
  SubscriptionHub& hub;
  const KeyRing& keys;
  // Runs what outlives a request. Null only in tests that ask nothing.
  TaskGroup* tasks = nullptr;
  ViewPreparer* preparer = nullptr;  // null: what is shown is found out at once
  ViewFilter* filter = nullptr;      // null: everybody sees everything
  EdgePeers* peers = nullptr;        // null: no other gateway, and nothing outlives the process
  size_t page_size = 1000;
  // How long a list waits for upstreams that are new and still connecting.
  std::chrono::milliseconds first_list_wait{0};
  std::chrono::milliseconds request_timeout = std::chrono::minutes(15);
  std::chrono::milliseconds ask_timeout = std::chrono::minutes(10);
  int ask_rounds_max = 8;  // mcp-digest 12
  size_t outbox_messages_max = 1024;
};

// One message as it came in, with what the transport knows of it.
struct Incoming {
  const jsonrpc::Envelope* envelope = nullptr;
  std::shared_ptr<const ServerView> view;
  std::shared_ptr<const Principal> principal;
  // The value of a header, if the transport has headers and the client sent it.
  std::function<std::optional<std::string_view>(std::string_view)> header;
  bool has_headers = false;
  TraceContext trace;  // of the request's span, where spans are recorded
};

// The deadline and the principal of a call that starts now, with the trace context of its metadata.
CallContext MakeContext(const FrontDeps& deps, const Incoming& in, const mcp::RequestMeta& meta);

// Runs `op` until it ends or the client behind `reply` is gone; then cancels it.
Awaitable<absl::StatusOr<CallOutcome>> RunWhileConnected(
    Reply& reply, bool cancel_when_gone, std::function<void(std::function<void()>)> register_cancel,
    Awaitable<absl::StatusOr<CallOutcome>> op);

// Serves requests of MCP 2026-07-28. `meta` has been parsed and its version is supported.
class ModernFront {
 public:
  explicit ModernFront(FrontDeps deps) : deps_(std::move(deps)) {}
  // Answers one request through `reply`.
  Awaitable<void> Handle(Incoming in, mcp::RequestMeta meta, Reply& reply);

 private:
  Awaitable<void> HandleCall(Incoming in, mcp::RequestMeta meta, Reply& reply);
  Awaitable<void> HandleListen(Incoming in, mcp::RequestMeta meta, Reply& reply);
  absl::Status CheckParamHeaders(const Incoming& in) const;
  FrontDeps deps_;
};

// Serves legacy requests (2024-11-05 to 2025-11-25) of one session.
class LegacyFront {
 public:
  explicit LegacyFront(FrontDeps deps);

  // Answers initialize and makes the session, whose id goes into the header Mcp-Session-Id.
  Awaitable<std::shared_ptr<LegacySession>> Initialize(Incoming in, std::string transport,
                                                       Reply& reply);
  // Answers a request of `session`.
  Awaitable<void> HandleRequest(Incoming in, std::shared_ptr<LegacySession> session, Reply& reply);
  // Takes a notification. False if it cancels a request that does not run here.
  bool HandleNotification(const Incoming& in, LegacySession& session);
  // Takes an answer to one of our questions. False if no question with this id waits.
  bool HandleAnswer(const jsonrpc::Envelope& envelope, LegacySession& session);

 private:
  Awaitable<void> HandleCall(Incoming in, std::shared_ptr<LegacySession> session, Reply& reply);
  // The outcome of the last round: complete or failed.
  Awaitable<absl::StatusOr<CallOutcome>> CallWithQuestions(const CallContext& ctx, CallSpec spec,
                                                           std::shared_ptr<LegacySession> session,
                                                           CallEvents& events, Reply& reply);
  Awaitable<absl::StatusOr<std::string>> AskAll(std::shared_ptr<LegacySession> session,
                                                std::string raw_requests, Reply& reply);
  Awaitable<void> SetLogLevel(std::shared_ptr<LegacySession> session, std::string level);
  // Tasks (legacy_tasks.cc).
  static bool OffersTasks(const Incoming& in, const LegacySession& session);
  std::string TaskCreated(LegacySession& session, const CallOutcome& outcome,
                          absl::StatusOr<std::string> converted);
  static CallSpec TaskSpec(const Incoming& in, const LegacySession& session, bool can_push);
  Awaitable<void> HandleTask(Incoming in, std::shared_ptr<LegacySession> session, Reply& reply);
  Awaitable<absl::StatusOr<CallOutcome>> RunTask(const CallContext& ctx, CallSpec spec,
                                                 std::string method, std::string id,
                                                 std::shared_ptr<LegacySession> session,
                                                 CallEvents& events, Reply& reply);
  Awaitable<absl::StatusOr<std::string>> AskTask(const CallContext& ctx, CallSpec spec,
                                                 std::string method, std::string id,
                                                 std::string responses, CallEvents& events);
  Awaitable<absl::StatusOr<std::string>> TaskNow(const CallContext& ctx, const CallSpec& spec,
                                                 std::string id,
                                                 std::shared_ptr<LegacySession> session,
                                                 CallEvents& events);
  Awaitable<absl::StatusOr<std::string>> TaskResult(const CallContext& ctx, const CallSpec& spec,
                                                    std::string id,
                                                    std::shared_ptr<LegacySession> session,
                                                    CallEvents& events, Reply& reply);
  Awaitable<absl::StatusOr<std::string>> CancelTask(const CallContext& ctx, const CallSpec& spec,
                                                    std::string id,
                                                    std::shared_ptr<LegacySession> session,
                                                    CallEvents& events);
  Awaitable<absl::StatusOr<std::string>> ListTasks(const CallContext& ctx, const CallSpec& spec,
                                                   std::shared_ptr<LegacySession> session,
                                                   CallEvents& events);
  Awaitable<void> Subscribe(Incoming in, std::shared_ptr<LegacySession> session, Reply& reply);
  FrontDeps deps_;
};

// The process that asked the question with this id; empty for a client's own ids.
std::string AskerOf(const jsonrpc::Id& id);
// The process that alone knows the task with this id; empty for one that runs at a server.
std::string HolderOf(std::string_view task_id);
// The results of tasks/list, raw, as one: each task once.
absl::StatusOr<std::string> JoinTaskLists(const std::vector<std::string>& results);

// Sends `status` as the JSON-RPC error of request `id`.
Awaitable<void> RespondError(Reply& reply, const jsonrpc::Id& id, const absl::Status& status,
                             mcp::Era era);

}  // namespace metamcp::gateway
