#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "common/async/task_group.h"
#include "common/auth/authenticator.h"
#include "common/http/http_server.h"
#include "common/http/origin.h"
#include "gateway/protocol/front.h"
#include "gateway/transport/http_reply.h"

namespace metamcp::gateway {

// Streamable HTTP of every revision on /mcp and /servers/{name}/mcp: decides the era of each
// message (mcp-digest 3.1) and hands it to the front that serves it. Single-threaded.
class McpEndpoint {
 public:
  struct Options {
    Options() {}
    size_t json_depth_max = 64;
    size_t batch_max = 50;
    size_t streams_per_session_max = 16;
    // Legacy clients get no session and need none; then nothing can be asked of them.
    bool stateless = false;
    // Every answer is one JSON body: no notifications, no questions, no listen streams.
    bool json_only = false;
  };
  // References must outlive the endpoint; `tasks` runs the calls of legacy clients, which go on
  // when their connection breaks, and must have ended before the endpoint does.
  McpEndpoint(FrontDeps deps, const auth::Authenticator& authenticator, TaskGroup& tasks,
              KeepAlive& keep_alive, Options options);

  // The fronts, for the other transports; they live as long as the endpoint.
  ModernFront& modern() { return modern_; }
  LegacyFront& legacy() { return legacy_; }

  // Carries the standalone stream of a session that lives here, or what followed the event that
  // `last_event_id` names; empty: none. Returns when the connection is done.
  Awaitable<void> ServeStream(std::shared_ptr<LegacySession> session, std::string last_event_id,
                              http::HttpResponder& responder, http::HttpHeaders cors);

  // Ends the streams that are passed on from other gateways, at once and in order; no new ones are
  // opened. Their clients come back elsewhere with the last id they have.
  void Drain();
  // Ends those of `principal`.
  void CloseWhere(const std::function<bool(const Principal&)>& who);

  // Answers one request. `cors` are headers for every answer. Origin and Host have been checked.
  Awaitable<void> Handle(http::HttpRequest& request, http::HttpResponder& responder,
                         std::string virtual_server, http::HttpHeaders cors);

 private:
  struct Exchange;    // one HTTP request on its way
  struct LegacyCall;  // a request that outlives it
  struct Passed;      // a stream of another gateway
  Awaitable<void> HandlePost(Exchange& x);
  Awaitable<void> HandleMessage(Exchange& x, std::string_view text, Reply& reply);
  Awaitable<void> HandleModern(Exchange& x, const jsonrpc::Envelope& envelope, Reply& reply);
  Awaitable<void> HandleLegacy(Exchange& x, jsonrpc::Envelope& envelope, Reply& reply);
  // Both take what they need out of the envelope.
  Awaitable<void> HandleLegacyCall(Exchange& x, jsonrpc::Envelope& envelope,
                                   std::shared_ptr<LegacySession> session);
  Awaitable<void> RunLegacyCall(std::shared_ptr<LegacyCall> call);
  Awaitable<void> HandleBatch(Exchange& x);
  Awaitable<void> HandleGet(Exchange& x);
  Awaitable<void> HandleDelete(Exchange& x);
  // What belongs to another process: who it is (empty: nobody else), and how it gets there.
  std::string OwnerOf(const jsonrpc::Envelope& envelope, const LegacySession& session) const;
  Awaitable<void> PassOn(Exchange& x, const jsonrpc::Envelope& envelope, std::string owner,
                         Reply& reply);
  Awaitable<void> CancelElsewhere(Exchange& x, const jsonrpc::Envelope& envelope);
  // Requests about tasks, which any gateway may have made. False: it is handled here.
  Awaitable<bool> HandleTaskElsewhere(Exchange& x, const jsonrpc::Envelope& envelope,
                                      std::shared_ptr<LegacySession> session, Reply& reply);
  Awaitable<void> ListTasks(Exchange& x, const jsonrpc::Envelope& envelope,
                            std::shared_ptr<LegacySession> session, Reply& reply);
  Awaitable<void> AttachElsewhere(Exchange& x, std::string owner, std::string last_event_id);
  absl::StatusOr<std::shared_ptr<LegacySession>> FindSession(const Exchange& x) const;
  std::shared_ptr<LegacySession> PassingSession(const Exchange& x) const;
  bool MayStream(const Exchange& x) const;
  absl::Status CheckLegacyVersion(const Exchange& x, const LegacySession& session) const;

  FrontDeps deps_;
  const auth::Authenticator& authenticator_;
  TaskGroup& tasks_;
  KeepAlive& keep_alive_;
  const Options options_;
  ModernFront modern_;
  LegacyFront legacy_;
  std::set<Passed*> passed_;
  bool draining_ = false;
};

}  // namespace metamcp::gateway
