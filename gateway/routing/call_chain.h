#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/async/call_context.h"
#include "common/async/sink.h"
#include "common/base/key_ring.h"
#include "common/mcp/jsonrpc.h"
#include "common/telemetry/trace.h"
#include "gateway/routing/builtin_tools.h"
#include "gateway/routing/call_auditor.h"
#include "gateway/routing/call_observer.h"
#include "gateway/routing/call_stage.h"
#include "gateway/routing/consent_gate.h"
#include "gateway/routing/login_links.h"
#include "gateway/routing/snapshot.h"
#include "gateway/routing/view_filter.h"
#include "metamcp/provider/v1/provider_service.metamcp.h"

namespace metamcp::gateway {

// Finds the provider that serves an upstream. The gateway never branches on its kind.
class ProviderDirectory {
 public:
  virtual ~ProviderDirectory() = default;
  // Null where nobody serves it. Valid as long as the directory.
  virtual provider::v1::ProviderService* Find(const UpstreamInfo& upstream) = 0;
};

// One request of whoever starts a call, in the shape of MCP 2026-07-28.
struct CallSpec {
  std::shared_ptr<const ServerView> view;
  std::string method;  // tools/call, prompts/get, resources/read, completion/complete, or one of
                       // an extension of the view's only upstream
  std::string params;  // raw JSON object with exposed names; _meta, inputResponses and
                       // requestState in it are ignored
  std::string client_capabilities = "{}";
  std::string client_info;
  std::string client_revision;  // empty for calls from inside
  std::string log_level;
  std::string meta;  // further _meta members to pass on, raw object or empty
  std::string input_responses;
  std::string request_state;
  bool has_request_state = false;
  bool abandon = false;  // cancel what request_state names
  bool wants_progress = false;
  std::string affinity;
  std::string holder;  // this process, if nobody else will ever retry the call
  std::string task;    // of a client of 2025-11-25 that wants a task: raw object
};

// Where a task runs.
struct TaskHandle {
  std::string upstream_id;
  std::string task_id;   // the upstream's
  std::string instance;  // the session that runs it
};

// How much of the nearest limit a call left, for its client (gateway/limits).
struct Allowance {
  int64_t limit = 0;  // 0: nothing is said
  int64_t remaining = 0;
  int64_t reset_ms = 0;
};

// What a call ended with: a result in the shape of 2026-07-28 (with resultType), or the JSON-RPC
// error that the upstream answered (codes of 2026-07-28).
struct CallOutcome {
  provider::v1::ResultKind kind = provider::v1::RESULT_KIND_COMPLETE;
  std::string result;
  bool failed = false;
  jsonrpc::ErrorObject error;
  std::string upstream;       // slug of who answered
  bool wraps_output = false;  // of a tool: see ExposedEntry
  std::string owner;          // of an unfinished call: the instance that holds it, or empty
  std::string instance;       // of a task, before its id is sealed
  Allowance allowance;
  std::string rule;  // by which it was let pass; empty where nothing was asked
};

// Where the events of a running call go.
class CallEvents {
 public:
  virtual ~CallEvents() = default;
  // params of the notification as JSON; progress without its token.
  virtual Awaitable<absl::Status> Progress(std::string params) = 0;
  virtual Awaitable<absl::Status> LogMessage(std::string params) = 0;
  // A notification of an extension.
  virtual Awaitable<absl::Status> Notification(std::string, std::string) {
    co_return absl::OkStatus();
  }
  // The upstream wants to be polled for the rest of the call; it goes on by itself.
  virtual Awaitable<absl::Status> Paused(std::chrono::milliseconds) { co_return absl::OkStatus(); }
};

// The one call chain: every call, whoever starts it, runs through Run. Resolves the exposed name
// against the view, maps arguments, chooses a route, calls the provider, seals the state of an
// unfinished call. Stateless but for counters; thread: the io thread.
class CallChain {
 public:
  struct Options {
    Options() {}
    std::string gateway_id;
    size_t hops_max = 4;
    int calls_max = 4096;  // at once; more are refused
    size_t result_bytes_max = 32u << 20;
    size_t state_bytes_max = 8192;  // mcp-digest 19
    // How long a requestState is good for.
    std::chrono::milliseconds state_lifetime = std::chrono::minutes(10);
  };
  // All three must outlive the chain.
  CallChain(ProviderDirectory& providers, const KeyRing& keys, Options options)
      : providers_(providers), keys_(keys), options_(std::move(options)) {}

  // Errors: TOOL_NOT_FOUND, PROMPT_NOT_FOUND, RESOURCE_NOT_FOUND (metadata uri), INVALID_PARAMS,
  // STATE_INVALID, CALL_LOOP, PERMISSION_DENIED, AUDIT_UNAVAILABLE, UPSTREAM_* attributed
  // "upstream:<slug>", DEADLINE_EXCEEDED, CANCELLED.
  Awaitable<absl::StatusOr<CallOutcome>> Run(const CallContext& ctx, const CallSpec& spec,
                                             CallEvents& events);

  // Opens the task id that a client of this principal was given. Errors: TASK_NOT_FOUND.
  absl::StatusOr<TaskHandle> OpenTaskHandle(const CallContext& ctx, const ServerView& view,
                                            std::string_view handle) const;

  // Null: nobody is told. Must outlive the chain's last call.
  void SetObserver(CallObserver* observer) { observer_ = observer; }
  // Null: nothing is recorded. Must outlive the chain's last call.
  void SetAuditor(CallAuditor* auditor) { auditor_ = auditor; }
  // Null: nobody can log in from a call. Must outlive the chain's last call.
  void SetLogins(const LoginLinks* logins) { logins_ = logins; }
  // The last of the stages. Must outlive the chain's last call; added before its first.
  void AddStage(CallStage* stage) { stages_.push_back(stage); }
  // Null: nobody is asked. Must outlive the chain's last call.
  void SetConsent(ConsentGate* consent) { consent_ = consent; }
  // Null: the gateway's own tools find everything. Must outlive the chain's last call.
  void SetFilter(ViewFilter* filter) { filter_ = filter; }
  // Null: what only they answer fails. Must outlive the chain's last call.
  void SetBuiltins(BuiltinTools* builtins) { builtins_ = builtins; }

 private:
  struct Target;
  // What the gateway itself asked for in an input_required; the upstream asked in all others.
  enum class OwnQuestion { kNone, kLogin, kUrl, kConsent };
  // A call of one of the gateway's own tools (builtin_call.cc).
  Awaitable<absl::StatusOr<CallOutcome>> RunBuiltin(const CallContext& ctx, const CallSpec& spec,
                                                    BuiltinCall call, CallEvents& events);
  // A call of a run that a model answers.
  Awaitable<absl::StatusOr<CallOutcome>> RunFill(const CallContext& ctx, const CallSpec& spec,
                                                 const Target& target);
  Awaitable<absl::StatusOr<CallOutcome>> RunCut(const CallContext& ctx, const CallSpec& spec,
                                                size_t characters_max, CallEvents& events);
  Awaitable<absl::StatusOr<CallOutcome>> RunRoutes(const CallContext& ctx, const CallSpec& spec,
                                                   CallEvents& events);
  Awaitable<absl::StatusOr<CallOutcome>> TryRoutes(CallContext inner, const CallContext& ctx,
                                                   const CallSpec& spec, const Target& target,
                                                   CallEvents& events);
  Awaitable<absl::StatusOr<CallOutcome>> RunRecorded(const CallContext& ctx, const CallSpec& spec,
                                                     CallEvents& events);
  Awaitable<absl::StatusOr<CallOutcome>> RunAny(const CallContext& ctx, const CallSpec& spec,
                                                CallEvents& events);
  Awaitable<absl::StatusOr<CallOutcome>> RunAudited(const CallContext& ctx, const CallSpec& spec,
                                                    CallEvents& events);
  Awaitable<absl::StatusOr<CallOutcome>> RunObserved(const CallContext& ctx, const CallSpec& spec,
                                                     CallEvents& events);
  absl::StatusOr<Target> Resolve(const CallContext& ctx, const CallSpec& spec) const;
  // The state of the request as it was sealed, and what it is bound to (call_state.cc).
  absl::Status OpenState(const CallContext& ctx, const CallSpec& spec, Target& target) const;
  absl::Status SealState(const CallContext& ctx, const CallSpec& spec, const Target& target,
                         const catalog::v1::Route& route, CallOutcome& outcome,
                         OwnQuestion asked = OwnQuestion::kNone,
                         std::string_view approval = {}) const;
  static bool NeedsLogin(const absl::Status& status);
  // Turns the error of an upstream that needs a login into a question or an answer with the link;
  // the error itself where the caller may not log in.
  absl::StatusOr<CallOutcome> OfferLogin(const CallContext& ctx, const CallSpec& spec,
                                         const Target& target, const catalog::v1::Route& route,
                                         const absl::Status& why) const;
  // The end of a call whose user did not want to log in; nothing when the call goes on.
  absl::StatusOr<std::optional<CallOutcome>> TakeLoginAnswer(const CallSpec& spec,
                                                             const Target& target) const;
  // Whether a call that passed the stages still has to be asked for (call_consent.cc).
  bool NeedsConsent(const CallSpec& spec, const Target& target, const StageCall& call) const;
  // Nothing when a person allowed it; else what the call ends with here.
  Awaitable<absl::StatusOr<std::optional<CallOutcome>>> AskConsent(const CallContext& ctx,
                                                                   const CallSpec& spec,
                                                                   const Target& target,
                                                                   const StageCall& call) const;
  // Replaces the task's id in a result by what its client knows it by.
  absl::Status SealTask(const CallContext& ctx, const CallSpec& spec, const Target& target,
                        const catalog::v1::Route& route, CallOutcome& outcome) const;
  absl::StatusOr<provider::v1::CallRequest> MakeRequest(const CallSpec& spec, const Target& target,
                                                        const catalog::v1::Route& route) const;
  static void DescribeRoute(trace::Span& span, const CallSpec& spec, const Target& target,
                            const catalog::v1::Route& route, size_t attempt);
  // Best first; they live as long as the target.
  std::vector<const catalog::v1::Route*> OrderRoutes(const CallSpec& spec,
                                                     const Target& target) const;
  Awaitable<absl::StatusOr<CallOutcome>> CallRoute(const CallContext& ctx, const CallSpec& spec,
                                                   const Target& target,
                                                   const catalog::v1::Route& route,
                                                   CallEvents& events);

  ProviderDirectory& providers_;
  const KeyRing& keys_;
  const Options options_;
  std::map<std::string, int> in_flight_;  // by upstream id
  int running_ = 0;
  CallObserver* observer_ = nullptr;
  CallAuditor* auditor_ = nullptr;
  const LoginLinks* logins_ = nullptr;
  BuiltinTools* builtins_ = nullptr;
  ConsentGate* consent_ = nullptr;
  ViewFilter* filter_ = nullptr;
  std::vector<CallStage*> stages_;
};

}  // namespace metamcp::gateway
