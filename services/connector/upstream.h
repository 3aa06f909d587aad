#pragma once

#include <array>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/async/call_context.h"
#include "common/config/config.h"
#include "common/telemetry/trace.h"
#include "metamcp/catalog/v1/catalog_service.pb.h"
#include "services/connector/breaker.h"
#include "services/connector/dialer.h"
#include "services/connector/discovery.h"
#include "services/connector/event.h"
#include "services/connector/limiter.h"
#include "services/connector/log_ring.h"
#include "services/connector/parked_calls.h"
#include "services/connector/resource_cache.h"

namespace metamcp::connector {

class TokenExchange;

namespace catalog_pb = ::metamcp::catalog::v1;

// What all upstreams of a connector share. Outlives them.
struct Core {
  Core(boost::asio::any_io_executor executor_in, TaskGroup& tasks_in, Dialer& dialer_in,
       ParkedCalls& parked_in)
      : executor(std::move(executor_in)), tasks(tasks_in), dialer(dialer_in), parked(parked_in) {}
  boost::asio::any_io_executor executor;
  TaskGroup& tasks;
  Dialer& dialer;
  ParkedCalls& parked;
  config::ConnectorConfig config;
  std::chrono::milliseconds refresh{300000};
  DiscoveryLimits discovery;
  size_t result_bytes_max = 32u << 20;
  size_t queued_calls_max = 1024;  // per upstream
  config::Environment environment;
  LoginCore* logins = nullptr;         // null: no logins by OAuth
  ResourceCache* resources = nullptr;  // null: no resource is kept
};

class Upstream;

// One session of an upstream with those who use it. The main instance also finds out the lists;
// others exist per isolation key and capability set, and expire when idle.
class Instance final : public SessionObserver, public std::enable_shared_from_this<Instance> {
 public:
  Instance(Core& core, std::weak_ptr<Upstream> owner, std::string key_in, Capset declared_in);
  ~Instance() override;

  void OnReached() override;
  void OnListChanged(ListKind kind) override;
  void OnResourceUpdated(const std::string& uri) override;
  void OnAmbiguousQuestion() override;
  void OnRemark(std::string_view text) override;
  void OnLost(const absl::Status& why) override;

  bool usable() const { return session != nullptr && !session->lost(); }

  const std::string key;
  const Capset declared;
  std::string login_owner;           // of the login that it uses; empty: the shared one
  std::shared_ptr<Session> session;  // none before it is open
  bool opening = false;
  absl::Status why;  // of not being open
  Broadcast opened;
  std::shared_ptr<Limiter> turn;  // of interactive calls, one at a time
  int users = 0;
  std::chrono::steady_clock::time_point used_at;
  // It runs a task that somebody may ask for until then.
  std::chrono::steady_clock::time_point kept_until;

 private:
  std::weak_ptr<Upstream> owner_;
};

// Receives resource updates for one Listen stream.
struct Listener {
  explicit Listener(const boost::asio::any_io_executor& executor) : event(executor) {}
  std::vector<std::string> uris;
  std::vector<std::string> updated;
  std::vector<std::string> tasks;  // results of tasks/get that are news
  bool gone = false;
  Event event;
};

// The actor of one upstream: connects, keeps the connection alive, finds out what is offered, and
// runs calls. Everything happens on one thread; nobody else touches its state. States as people see
// them: stopped, configured (a variable is missing), connecting, initializing, ready, degraded,
// needs-login, open (the breaker), stopping. Owned by shared_ptr; Stop before letting go.
class Upstream : public std::enable_shared_from_this<Upstream> {
 public:
  using Clock = std::chrono::steady_clock;
  // Called (from within the actor) when there is something to report.
  using OnChange = std::function<void(const std::string& id)>;

  Upstream(Core& core, catalog_pb::Upstream desired, OnChange on_change);
  ~Upstream();

  void Start();
  // Takes a new wish. A different specification reconnects; labels do not.
  void Update(catalog_pb::Upstream desired);
  // Reconnects now. Calls in flight fail with UPSTREAM_LOST.
  void Restart();
  // Ends everything and waits for it.
  Awaitable<void> Stop();

  // Whether it answers on the connection that calls use. Errors: why not.
  Awaitable<absl::Status> Probe();

  // provider.v1 Call and Listen for this upstream.
  Awaitable<absl::Status> Call(const CallContext& ctx, pb::CallRequest request,
                               Sink<pb::CallResponse>& sink);
  Awaitable<absl::Status> Listen(const CallContext& ctx, pb::ListenRequest request,
                                 Sink<pb::ListenResponse>& sink);

  const std::string& id() const { return id_; }
  const std::string& slug() const { return slug_; }
  const std::string& type() const { return spec_.type(); }
  const catalog_pb::UpstreamSpec& spec() const { return spec_; }
  const catalog_pb::UpstreamStatus& status() const { return status_; }
  const LogRing& log() const { return *log_; }
  // The OAuth logins of this upstream. Errors: ARGUMENT_INVALID where it cannot have any; those of
  // its variables.
  absl::StatusOr<std::shared_ptr<Credentials>> Logins();
  // The same if they are in use.
  const std::shared_ptr<Credentials>& credentials() const { return credentials_; }
  const Breaker& breaker() const { return breaker_; }
  int instances() const;
  int in_flight() const;
  int queued() const { return static_cast<int>(limiter_->queued()); }
  int parked() const { return static_cast<int>(core_.parked.Count(id_)); }
  // Whether somebody would notice if it ran elsewhere from now on.
  bool busy() const {
    return in_flight() > 0 || queued() > 0 || parked() > 0 || !extra_.empty() ||
           !listeners_.empty();
  }
  // Whether a call would be lost with it.
  bool working() const { return in_flight() > 0 || queued() > 0 || parked() > 0; }
  // Whoever listens is told to ask again who runs it.
  void EndListeners() { DropListeners(); }
  int64_t calls() const { return calls_; }
  int64_t failures() const { return failures_; }

  // What changed since the last time; the caller gives it back when it could not be delivered.
  catalog_pb::ReportRequest TakeReport();
  void ReportFailed(catalog_pb::ReportRequest report);

 private:
  friend class Instance;
  struct CallRun;
  Awaitable<absl::Status> RunCall(const CallContext& ctx, pb::CallRequest request,
                                  Sink<pb::CallResponse>& sink);
  Awaitable<absl::Status> CallInSpan(const CallContext& ctx, pb::CallRequest request,
                                     Sink<pb::CallResponse>& sink);
  trace::Span BeginSpan(const pb::CallRequest& request, CallContext& ctx) const;
  struct TaskNews;
  // The open tasks/result of a legacy task that may ask something.
  struct HeldTask {
    HeldTask(std::shared_ptr<Session> session_in, std::shared_ptr<Exchange> exchange_in)
        : session(std::move(session_in)), exchange(std::move(exchange_in)) {}
    std::shared_ptr<Session> session;
    std::shared_ptr<Exchange> exchange;
    std::map<std::string, Question> questions;  // by key
    int asked = 0;
    bool watched = false;  // somebody waits for the exchange
  };

  // Lifecycle (upstream.cc).
  static Awaitable<void> Run(std::shared_ptr<Upstream> self);
  Awaitable<void> ConnectOnce();
  // Opens the main session and serves it until it is lost; `opened` says how the first went.
  Awaitable<void> Live(absl::Status* opened);
  Awaitable<absl::Status> OpenInstance(std::shared_ptr<Instance> instance,
                                       std::chrono::milliseconds hold);
  Awaitable<void> CloseMain();
  Awaitable<void> CloseAll();
  void SetState(std::string_view state, bool reachable, std::string_view detail);
  void Connected();
  void ConnectFailed(const absl::Status& why);
  absl::Status NotReady() const;
  void UseCredentials(const Target& target);
  void LoginChanged(const std::string& owner);
  // Whose token a call is sent with; empty: that of all.
  std::string OwnerOf(const CallContext& ctx) const;
  // Makes the caller's token the one to exchange. Errors: UPSTREAM_AUTH where a call must have one
  // and has none.
  absl::Status OfferToken(const CallContext& ctx, const pb::CallRequest& request);
  std::shared_ptr<Signer> SignerNow() const;
  void Remark(std::string_view text);

  // Upkeep while connected (upstream_lists.cc).
  Awaitable<void> Serve();
  Awaitable<void> RefreshLists();
  Awaitable<bool> Heartbeat();
  void MarkLists(bool tools, bool resources, bool prompts);
  bool AnyDirty() const;
  static Awaitable<void> FollowModern(std::shared_ptr<Upstream> self,
                                      std::shared_ptr<Session> session);
  Awaitable<absl::Status> Subscribe(std::string uri);
  static Awaitable<void> Unsubscribe(std::shared_ptr<Upstream> self, std::vector<std::string> uris);
  Awaitable<void> SubscribeAgain();
  void ResourceUpdated(const std::string& uri);
  void DropListeners();
  void SubscriptionsChanged();
  void ExpireInstances();

  // Calls (upstream_call.cc).
  Awaitable<absl::StatusOr<std::shared_ptr<Instance>>> Pick(const CallContext& ctx,
                                                            const pb::CallRequest& request,
                                                            Clock::time_point until);
  Awaitable<absl::Status> WaitReady(Clock::time_point until);
  Awaitable<absl::StatusOr<std::shared_ptr<Instance>>> Extra(std::string key, std::string owner,
                                                             Capset capset,
                                                             Clock::time_point until);
  static Awaitable<void> OpenExtra(std::shared_ptr<Upstream> self,
                                   std::shared_ptr<Instance> instance);
  static Awaitable<void> CloseInstance(std::shared_ptr<Instance> instance);
  std::string IsolationOf(const Negotiated& peer) const;
  // What the client of a call can be asked for. Valid until the next use.
  const Capset& CapsetOf(const pb::CallRequest& request);
  Awaitable<absl::Status> FreshCall(CallRun& run);
  Awaitable<absl::Status> RetriedCall(CallRun& run);
  Awaitable<absl::Status> PassNotes(CallRun& run, std::shared_ptr<Exchange> exchange);
  // Reads the exchange until it is over or asks something.
  Awaitable<absl::Status> Drive(CallRun& run);
  Awaitable<bool> Mend(CallRun& run);
  Awaitable<bool> RefreshHeaders(CallRun& run);
  Awaitable<absl::Status> Conclude(CallRun& run);
  Awaitable<absl::Status> Deliver(CallRun& run, CallOutcome outcome);
  void CountOutcome(const absl::Status& status);
  // Nothing that was kept of its resources holds any more.
  void ForgetResources() {
    if (core_.resources != nullptr) core_.resources->Forget(id_);
  }

  // Tasks (upstream_tasks.cc).
  void PrepareTask(CallRun& run, const Negotiated& peer);
  std::shared_ptr<Instance> TaskInstance(const std::string& key);
  Awaitable<absl::StatusOr<Session::Answer>> AskOfTask(const CallRun& run,
                                                       std::shared_ptr<Session> session,
                                                       std::string method, std::string task_id,
                                                       std::string responses);
  Awaitable<absl::StatusOr<TaskNews>> GetTask(const CallRun& run,
                                              std::shared_ptr<Instance> instance,
                                              std::string task_id);
  Awaitable<std::string> HoldTask(const CallRun& run, std::shared_ptr<Instance> instance,
                                  std::string task_id);
  Awaitable<absl::StatusOr<std::optional<RpcError>>> UpdateTask(const CallRun& run,
                                                                std::shared_ptr<Instance> instance,
                                                                std::string task_id,
                                                                std::string responses);
  Awaitable<absl::StatusOr<std::optional<RpcError>>> CancelTask(const CallRun& run,
                                                                std::shared_ptr<Instance> instance,
                                                                std::string task_id);
  Awaitable<absl::Status> TaskCall(CallRun& run);
  Awaitable<absl::Status> TaskMade(CallRun& run, std::string json);
  Awaitable<absl::Status> ResumeTask(CallRun& run, std::string state);
  Awaitable<absl::Status> DriveTask(CallRun& run, std::shared_ptr<Instance> instance,
                                    std::string task_id);
  Awaitable<absl::Status> TaskOver(CallRun& run, std::shared_ptr<Instance> instance, TaskNews news,
                                   std::string task_id);
  void DropTaskOf(const std::string& state, const pb::CallRequest& request);
  static Awaitable<void> DropTask(std::shared_ptr<Upstream> self,
                                  std::shared_ptr<Instance> instance, pb::CallRequest request,
                                  std::string task_id);
  static Awaitable<void> FollowTasks(std::shared_ptr<Upstream> self, pb::ListenRequest request,
                                     std::shared_ptr<Listener> listener);
  std::chrono::milliseconds IdleTimeout(const pb::CallRequest& request) const;

  Core& core_;
  const std::string id_;
  const std::string tenant_;
  std::string slug_;
  std::string domain_;
  catalog_pb::UpstreamSpec spec_;
  bool enabled_ = false;
  const OnChange on_change_;
  std::shared_ptr<LogRing> log_;
  catalog_pb::UpstreamStatus status_;
  bool status_dirty_ = true;
  std::map<int, catalog_pb::ItemList> pending_lists_;  // by kind
  std::array<std::string, 5> reported_;                // digest of each kind's list as reported
  Breaker breaker_;
  Backoff backoff_;
  EraMemory era_;
  std::shared_ptr<Credentials> credentials_;
  std::shared_ptr<TokenExchange> exchange_;  // instead of credentials_
  Event wake_;
  Event interrupt_;  // of whatever the connection is waiting for
  Broadcast state_changed_;
  Broadcast stopped_;
  bool started_ = false;
  bool running_ = false;
  bool stopping_ = false;
  bool reconnect_ = false;
  bool ever_tried_ = false;
  bool interactive_ = false;
  Clock::time_point connected_at_;
  Clock::time_point heard_at_;
  Clock::time_point renegotiated_at_;
  // Clients say the same with every call, so the last one is kept.
  std::string capset_text_;
  Capset capset_;
  std::shared_ptr<Instance> main_;
  std::map<std::string, std::shared_ptr<Instance>> extra_;
  std::map<std::string, bool> task_support_;  // tools that may run as tasks; true: must
  std::map<std::string, std::shared_ptr<HeldTask>> held_;  // by instance and task
  std::shared_ptr<Limiter> limiter_;
  std::array<bool, 5> dirty_{};  // kinds whose list must be read
  Clock::time_point refresh_at_;
  std::list<std::shared_ptr<Listener>> listeners_;
  std::map<std::string, int> subscriptions_;  // by URI, listeners that want it
  bool subscriptions_changed_ = false;
  std::weak_ptr<Exchange> listening_;  // the open subscriptions/listen
  // Counts the changes of what it should ask for, and those that the server has acknowledged.
  uint64_t subscriptions_wanted_ = 0;
  uint64_t subscriptions_acknowledged_ = 0;
  Broadcast acknowledged_;
  int64_t calls_ = 0;
  int64_t failures_ = 0;
};

}  // namespace metamcp::connector
