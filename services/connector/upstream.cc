#include "services/connector/upstream.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <functional>

#include "common/async/run.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "services/connector/handshake.h"

namespace metamcp::connector {
namespace {

// A connection that lasted this long was a good one: the next failure starts counting anew.
constexpr std::chrono::seconds kStable(10);
// Files behind ${file:…} may appear while we run.
constexpr std::chrono::seconds kConfiguredRetry(30);

// Whether a change of the specification needs a new connection.
bool SameConnection(const catalog_pb::UpstreamSpec& a, const catalog_pb::UpstreamSpec& b) {
  catalog_pb::UpstreamSpec x = a;
  catalog_pb::UpstreamSpec y = b;
  for (catalog_pb::UpstreamSpec* spec : {&x, &y}) {
    spec->clear_priority();
    spec->clear_fallbacks();
    spec->clear_timeout_ms();
    spec->clear_tool_timeouts_ms();
  }
  // Maps have no order on the wire; texts of both are compared after sorting by protobuf itself.
  return x.ShortDebugString() == y.ShortDebugString();
}

}  // namespace

Instance::Instance(Core& core, std::weak_ptr<Upstream> owner, std::string key_in,
                   Capset declared_in)
    : key(std::move(key_in)),
      declared(declared_in),
      opened(core.executor),
      turn(std::make_shared<Limiter>(core.executor, 1, core.queued_calls_max, "connector")),
      used_at(Upstream::Clock::now()),
      owner_(std::move(owner)) {}

Instance::~Instance() {
  if (session != nullptr) session->Detach();
}

void Instance::OnReached() {
  const auto owner = owner_.lock();
  if (owner == nullptr || owner->main_.get() != this) return;
  // Why the last attempt failed stays to be seen until this one succeeds.
  if (owner->status_.state() == "connecting") {
    const std::string detail = owner->status_.detail();
    owner->SetState("initializing", false, detail);
  }
}

void Instance::OnListChanged(ListKind kind) {
  const auto owner = owner_.lock();
  if (owner == nullptr || owner->main_.get() != this) return;
  owner->Remark("the upstream says a list changed");
  if (kind == ListKind::kResources) owner->ForgetResources();
  owner->MarkLists(kind == ListKind::kTools, kind == ListKind::kResources,
                   kind == ListKind::kPrompts);
  owner->wake_.Set();
}

void Instance::OnResourceUpdated(const std::string& uri) {
  if (const auto owner = owner_.lock()) owner->ResourceUpdated(uri);
}

void Instance::OnAmbiguousQuestion() {
  const auto owner = owner_.lock();
  if (owner == nullptr || owner->interactive_) return;
  owner->interactive_ = true;
  owner->Remark("it asks its clients: from now on calls that can be asked run one at a time");
}

void Instance::OnRemark(std::string_view text) {
  if (const auto owner = owner_.lock()) owner->Remark(text);
}

void Instance::OnLost(const absl::Status& lost) {
  why = lost;
  opened.WakeAll();
  const auto owner = owner_.lock();
  if (owner == nullptr) return;
  if (owner->main_.get() != this) return;
  // Seen at once, however long the farewell takes. Probing also loses sessions; that is no news.
  if (owner->status_.reachable()) owner->SetState("connecting", false, Sv(lost.message()));
  owner->wake_.Set();
}

Upstream::Upstream(Core& core, catalog_pb::Upstream desired, OnChange on_change)
    : core_(core),
      id_(desired.meta().id()),
      tenant_(desired.meta().tenant()),
      slug_(desired.meta().name()),
      domain_(StrCat("upstream:", slug_)),
      spec_(desired.spec()),
      enabled_(desired.enabled()),
      on_change_(std::move(on_change)),
      log_(std::make_shared<LogRing>(static_cast<size_t>(core.config.log_lines))),
      breaker_(static_cast<int>(core.config.breaker.failures),
               std::chrono::milliseconds(core.config.breaker.open_ms)),
      backoff_(std::chrono::milliseconds(core.config.backoff.min_ms),
               std::chrono::milliseconds(core.config.backoff.max_ms),
               static_cast<uint32_t>(std::hash<std::string>()(RandomBytes(8)))),
      wake_(core.executor),
      interrupt_(core.executor),
      state_changed_(core.executor),
      stopped_(core.executor),
      interactive_(spec_.interactive()),
      acknowledged_(core.executor) {
  const int64_t permits = spec_.concurrency() > 0 ? spec_.concurrency() : core.config.concurrency;
  limiter_ = std::make_shared<Limiter>(core.executor, static_cast<int>(permits),
                                       core.queued_calls_max, domain_);
  SetState("discovered", false, "");
}

Upstream::~Upstream() = default;

void Upstream::Start() {
  METAMCP_CHECK(!started_);
  started_ = running_ = true;
  core_.tasks.Spawn(StrCat("upstream ", slug_), Run(shared_from_this()));
}

void Upstream::Update(catalog_pb::Upstream desired) {
  const bool same = SameConnection(spec_, desired.spec()) && enabled_ == desired.enabled();
  const bool same_spec = spec_.concurrency() == desired.spec().concurrency();
  spec_ = desired.spec();
  enabled_ = desired.enabled();
  if (!same_spec) {
    const int64_t permits =
        spec_.concurrency() > 0 ? spec_.concurrency() : core_.config.concurrency;
    limiter_ = std::make_shared<Limiter>(core_.executor, static_cast<int>(permits),
                                         core_.queued_calls_max, domain_);
  }
  if (same) return;
  interactive_ = spec_.interactive();
  era_ = EraMemory();
  Restart();
}

void Upstream::Restart() {
  Remark(enabled_ ? "restarting" : "stopping");
  ForgetResources();
  backoff_.Reset();
  breaker_.Succeeded();
  ever_tried_ = false;
  reconnect_ = true;
  interrupt_.Set();
  wake_.Set();
}

Awaitable<void> Upstream::Stop() {
  const auto self = shared_from_this();
  stopping_ = true;
  reconnect_ = true;
  interrupt_.Set();
  wake_.Set();
  while (running_) {
    auto waiting = stopped_.WaitUntil(Clock::now() + std::chrono::seconds(1));
    co_await std::move(waiting);
  }
}

void Upstream::Remark(std::string_view text) {
  log_->AddRemark(text);
  Log(LogLevel::kDebug, "upstream.remark", {{"upstream", slug_}, {"text", text}});
}

void Upstream::SetState(std::string_view state, bool reachable, std::string_view detail) {
  if (status_.state() == state && status_.reachable() == reachable && status_.detail() == detail) {
    return;
  }
  if (status_.state() != state) status_.set_since_us(NowMicros());
  status_.set_state(std::string(state));
  status_.set_reachable(reachable);
  status_.set_detail(std::string(detail));
  status_.set_attempts(backoff_.attempts());
  status_dirty_ = true;
  state_changed_.WakeAll();
  if (on_change_) on_change_(id_);
}

Awaitable<void> Upstream::Run(std::shared_ptr<Upstream> self) {
  struct Ended {
    Upstream* upstream;
    ~Ended() {
      upstream->running_ = false;
      upstream->stopped_.WakeAll();
    }
  } ended{self.get()};
  while (!self->stopping_) {
    self->reconnect_ = false;
    self->interrupt_.Clear();
    if (!self->enabled_) {
      self->SetState("stopped", false, "disabled");
      auto waiting = self->wake_.WaitUntil(Clock::time_point::max());
      co_await std::move(waiting);
      continue;
    }
    auto connecting = self->ConnectOnce();
    co_await std::move(connecting);
  }
  auto closing = self->CloseAll();
  co_await std::move(closing);
  self->SetState("stopped", false, "");
}

Awaitable<void> Upstream::ConnectOnce() {
  using boost::asio::experimental::awaitable_operators::operator||;
  const auto target = ResolveTarget(slug_, spec_, core_.environment);
  if (!target.ok()) {
    ever_tried_ = true;
    SetState("configured", false, Sv(target.status().message()));
    auto waiting = wake_.WaitUntil(Clock::now() + kConfiguredRetry);
    co_await std::move(waiting);
    co_return;
  }
  UseCredentials(*target);
  breaker_.Allow(Clock::now());
  SetState(backoff_.attempts() == 0 ? "connecting" : status_.state(), false, status_.detail());
  main_ = std::make_shared<Instance>(core_, weak_from_this(), "", GatewayCapset());
  absl::Status opened = absl::CancelledError("interrupted");
  auto living = Live(&opened);
  auto interrupted = interrupt_.WaitUntil(Clock::time_point::max());
  co_await (std::move(living) || std::move(interrupted));
  const absl::Status why = !opened.ok() ? opened : main_->why;
  // Other sessions live on: their calls, also parked ones, are not this one's.
  auto closing = reconnect_ || stopping_ ? CloseAll() : CloseMain();
  co_await std::move(closing);
  if (reconnect_ || stopping_) co_return;
  const auto info = GetErrorInfo(why);
  if (info && info->reason == "UPSTREAM_LOGIN_REQUIRED") {
    // Only somebody who logs in can change this.
    connected_at_ = Clock::time_point();
    Remark(Sv(why.message()));
    SetState("needs-login", false, Sv(why.message()));
    auto login = wake_.WaitUntil(Clock::time_point::max());
    co_await std::move(login);
    co_return;
  }
  ConnectFailed(why);
  const auto wait = backoff_.Next();
  status_.set_attempts(backoff_.attempts());
  auto until = Clock::now() + wait;
  if (breaker_.open()) until = std::max(until, breaker_.retry_at());
  auto waiting = wake_.WaitUntil(until);
  co_await std::move(waiting);
}

Awaitable<void> Upstream::Live(absl::Status* opened) {
  auto opening = OpenInstance(main_, std::chrono::milliseconds(0));
  *opened = co_await std::move(opening);
  ever_tried_ = true;
  if (!opened->ok() || reconnect_) co_return;
  Connected();
  auto serving = Serve();
  co_await std::move(serving);
}

Awaitable<absl::Status> Upstream::OpenInstance(std::shared_ptr<Instance> instance,
                                               std::chrono::milliseconds hold) {
  auto target = ResolveTarget(slug_, spec_, core_.environment);
  if (!target.ok()) co_return target.status();
  instance->opening = true;
  Dialer::Request request(*target, log_);
  request.declared = instance->declared;
  request.hold_questions = hold;
  request.credentials = SignerNow();
  request.owner = instance->login_owner;
  auto dialing = core_.dialer.Dial(std::move(request), era_, *instance);
  auto session = co_await std::move(dialing);
  instance->opening = false;
  if (session.ok()) {
    instance->session = std::move(*session);
    instance->why = absl::OkStatus();
  } else {
    instance->why = session.status();
  }
  instance->opened.WakeAll();
  co_return instance->why;
}

void Upstream::Connected() {
  const Negotiated& peer = main_->session->negotiated();
  connected_at_ = heard_at_ = Clock::now();
  status_.set_era(peer.modern() ? "modern" : "legacy");
  status_.set_protocol_version(std::string(mcp::RevisionName(peer.revision)));
  status_.set_server_info(peer.server_info);
  status_.set_capabilities(peer.capabilities);
  status_.set_instructions(peer.instructions);
  status_.set_pid(main_->session->channel().pid());
  const sandbox::Runner* rooms = status_.pid() != 0 ? core_.dialer.options().sandboxes : nullptr;
  status_.set_sandbox(rooms == nullptr ? "" : rooms->Shown(spec_.sandbox()));
  breaker_.Succeeded();
  Remark(StrCat("connected: ", status_.era(), " ", status_.protocol_version(),
                status_.pid() != 0 ? StrCat(", process ", status_.pid()) : std::string()));
  Log(LogLevel::kInfo, "upstream.connected",
      {{"upstream", slug_}, {"version", status_.protocol_version()}, {"pid", status_.pid()}});
  SetState("ready", true, "");
}

void Upstream::ConnectFailed(const absl::Status& why) {
  const bool connected = connected_at_ != Clock::time_point();
  if (connected && Clock::now() - connected_at_ > kStable) backoff_.Reset();
  connected_at_ = Clock::time_point();
  breaker_.Failed(Clock::now());
  status_.set_pid(0);
  const std::string detail(why.message());
  Remark(StrCat("not connected: ", detail));
  Log(LogLevel::kError, "upstream.failed",
      {{"upstream", slug_}, {"attempt", backoff_.attempts() + 1}, {"error", detail}});
  SetState(breaker_.open() ? "open" : "connecting", false, detail);
}

absl::Status Upstream::NotReady() const {
  if (!enabled_) return MakeError("UPSTREAM_DISABLED", domain_, StrCat(slug_, " is disabled"));
  if (status_.state() == "needs-login") {
    return MakeError("UPSTREAM_LOGIN_REQUIRED", domain_, Sv(status_.detail()),
                     {{"login", "shared"}});
  }
  if (breaker_.open()) {
    return MakeError("UPSTREAM_BREAKER_OPEN", domain_,
                     StrCat(slug_, " failed repeatedly: ", status_.detail()));
  }
  return MakeError("UPSTREAM_UNAVAILABLE", domain_,
                   StrCat(slug_, " is not connected",
                          status_.detail().empty() ? "" : StrCat(": ", status_.detail())));
}

Awaitable<void> Upstream::CloseMain() {
  const std::shared_ptr<Instance> instance = main_;
  if (instance != nullptr && instance->session != nullptr) {
    const std::shared_ptr<Session> session = instance->session;
    auto closing = session->Close();
    co_await std::move(closing);
  }
  DropListeners();
}

Awaitable<void> Upstream::CloseAll() {
  if (status_.reachable() && (stopping_ || reconnect_)) SetState("stopping", false, "");
  // Parked calls of a restart end with their sessions, so that a retry is told why.
  if (stopping_) core_.parked.DropUpstream(id_);
  std::vector<std::shared_ptr<Instance>> all;
  if (main_ != nullptr) all.push_back(main_);
  for (const auto& [key, instance] : extra_) all.push_back(instance);
  extra_.clear();
  // All at once: each takes up to three grace periods.
  for (const auto& instance : all) {
    if (instance->session != nullptr) instance->session->channel().Drop();
  }
  for (const auto& instance : all) {
    if (instance->session == nullptr) continue;
    const std::shared_ptr<Session> session = instance->session;
    auto closing = session->Close();
    co_await std::move(closing);
  }
  DropListeners();
}

int Upstream::instances() const {
  int count = main_ != nullptr && main_->usable() ? 1 : 0;
  for (const auto& [key, instance] : extra_) count += instance->usable();
  return count;
}

int Upstream::in_flight() const {
  size_t count = main_ != nullptr && main_->usable() ? main_->session->in_flight() : 0;
  for (const auto& [key, instance] : extra_) {
    if (instance->usable()) count += instance->session->in_flight();
  }
  return static_cast<int>(count);
}

catalog_pb::ReportRequest Upstream::TakeReport() {
  catalog_pb::ReportRequest report;
  report.set_upstream_id(id_);
  *report.mutable_status() = status_;
  status_dirty_ = false;
  for (auto& [kind, list] : pending_lists_) *report.add_lists() = std::move(list);
  pending_lists_.clear();
  return report;
}

void Upstream::ReportFailed(catalog_pb::ReportRequest report) {
  status_dirty_ = true;
  for (catalog_pb::ItemList& list : *report.mutable_lists()) {
    pending_lists_.try_emplace(list.kind(), std::move(list));
  }
}

}  // namespace metamcp::connector
