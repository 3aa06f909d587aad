#include "services/connector/manager.h"

#include <algorithm>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::connector {
namespace {

using Clock = std::chrono::steady_clock;

// Changes of one burst go to the catalog together.
constexpr std::chrono::milliseconds kCoalesce(5);
constexpr std::chrono::seconds kReportTimeout(20);
constexpr std::chrono::milliseconds kRetryMin(200);
constexpr std::chrono::milliseconds kRetryMax(5000);
constexpr std::chrono::seconds kLastReports(2);
// How often leases are looked at; sooner while something is under way.
constexpr std::chrono::milliseconds kScan(1000);
constexpr std::chrono::milliseconds kScanSoon(150);
constexpr std::chrono::milliseconds kHandOverLook(150);
// A process that stood still for longer than that may have lost its lease, which runs for 5 s and
// is renewed every 1.5 s.
constexpr std::chrono::milliseconds kBeat(500);
constexpr std::chrono::milliseconds kStill(2500);

}  // namespace

class Manager::WatchSink final : public Sink<catalog_pb::WatchUpstreamsResponse> {
 public:
  explicit WatchSink(Manager& manager) : manager_(manager) {}
  Awaitable<absl::Status> Write(catalog_pb::WatchUpstreamsResponse message) override {
    ++received;
    manager_.Apply(std::move(message));
    co_return absl::OkStatus();
  }
  int received = 0;

 private:
  Manager& manager_;
};

Manager::Manager(Core& core, metamcp::catalog::v1::CatalogService& catalog, Leases& leases)
    : core_(core),
      catalog_(catalog),
      leases_(leases),
      hold_(core.executor),
      report_(core.executor),
      flush_(core.executor) {}

Manager::~Manager() = default;

void Manager::Start() {
  core_.tasks.Spawn("connector.watch", Watch(this));
  core_.tasks.Spawn("connector.report", Report(this));
  if (leases_.alone()) return;
  beat_ = Clock::now();
  core_.tasks.Spawn("connector.hold", Hold(this));
  core_.tasks.Spawn("connector.beat", Beat(this));
}

Awaitable<void> Manager::Watch(Manager* self) {
  Backoff backoff(kRetryMin, kRetryMax, 1);
  while (!self->stopping_) {
    WatchSink sink(*self);
    CallContext ctx;
    ctx.deadline = Clock::time_point::max();
    catalog_pb::WatchUpstreamsRequest request;
    auto watching = self->catalog_.WatchUpstreams(ctx, std::move(request), sink);
    const absl::Status status = co_await std::move(watching);
    if (self->stopping_) break;
    if (sink.received > 0) backoff.Reset();
    Log(LogLevel::kWarning, "connector.watch_lost", {{"error", std::string(status.message())}});
    // Upstreams run on with the last known wish.
    auto pause = Sleep(backoff.Next());
    if (!co_await std::move(pause)) break;
  }
}

void Manager::Apply(catalog_pb::WatchUpstreamsResponse change) {
  if (stopping_) return;
  if (change.begin()) {
    listing_ = true;
    seen_.clear();
  }
  for (catalog_pb::Upstream& desired : *change.mutable_upstreams()) {
    const std::string id = desired.meta().id();
    if (listing_) seen_.insert(id);
    if (!leases_.alone()) desired_[id] = desired;
    const auto it = upstreams_.find(id);
    if (it != upstreams_.end() && it->second->slug() == desired.meta().name()) {
      it->second->Update(std::move(desired));
      continue;
    }
    const bool ran = it != upstreams_.end();
    Remove(id);
    if (leases_.alone() || ran) Run(desired);
  }
  for (const std::string& id : change.removed_upstream_ids()) Forget(id);
  hold_.Set();
  if (!change.end() || !listing_) return;
  listing_ = false;
  informed_ = true;
  std::vector<std::string> gone;
  for (const auto& [id, upstream] : upstreams_) {
    if (seen_.count(id) == 0) gone.push_back(id);
  }
  for (const auto& [id, desired] : desired_) {
    if (seen_.count(id) == 0) gone.push_back(id);
  }
  for (const std::string& id : gone) Forget(id);
}

void Manager::Run(const catalog_pb::Upstream& desired) {
  auto changed = [this](const std::string& which) { Changed(which); };
  auto upstream = std::make_shared<Upstream>(core_, desired, std::move(changed));
  upstreams_[desired.meta().id()] = upstream;
  upstream->Start();
}

void Manager::Forget(const std::string& id) {
  if (desired_.erase(id) > 0) {
    GiveUp(id);
  } else {
    Remove(id);
  }
}

void Manager::GiveUp(const std::string& id) {
  const auto it = upstreams_.find(id);
  if (it == upstreams_.end()) return;
  ending_.insert(id);
  core_.tasks.Spawn("upstream.end", EndOne(this, id, it->second));
  upstreams_.erase(it);
  dirty_.erase(id);
}

Awaitable<void> Manager::EndOne(Manager* self, std::string id, std::shared_ptr<Upstream> upstream) {
  auto stopping = upstream->Stop();
  co_await std::move(stopping);
  self->ending_.erase(id);
  self->ended_.push_back(std::move(id));
  self->hold_.Set();
}

Awaitable<void> Manager::Beat(Manager* self) {
  for (;;) {
    const bool slept = co_await Sleep(kBeat);
    if (!slept) co_return;
    (void)self->doubtful();
  }
}

// Calls that waited in our sockets are looked at before any timer that is due.
bool Manager::doubtful() {
  if (leases_.alone()) return false;
  const auto now = Clock::now();
  if (now - beat_ > kStill) {
    Log(LogLevel::kWarning, "connector.stood_still",
        {{"ms", std::chrono::duration_cast<std::chrono::milliseconds>(now - beat_).count()}});
    doubtful_ = true;
    hold_.Set();
  }
  beat_ = now;
  return doubtful_;
}

Awaitable<void> Manager::Hold(Manager* self) {
  while (!self->stopping_) {
    auto holding = self->HoldOnce();
    const bool settled = co_await std::move(holding);
    auto waiting = self->hold_.WaitUntil(Clock::now() + (settled ? kScan : kScanSoon));
    co_await std::move(waiting);
    const auto state = co_await boost::asio::this_coro::cancellation_state;
    if (state.cancelled() != boost::asio::cancellation_type::none) break;
  }
}

// One look at who should run what; false if the next one should be soon.
Awaitable<bool> Manager::HoldOnce() {
  Leases::Wishes wishes;
  for (const auto& [id, desired] : desired_) {
    wishes.desired.push_back(id);
    const auto running = Find(id);
    const bool ending = ending_.count(id) > 0;
    if (running == nullptr && !ending) continue;
    wishes.running.insert(id);
    if (ending || Stays(*running)) wishes.busy.insert(id);
  }
  wishes.ended.swap(ended_);
  const std::vector<std::string> released = wishes.ended;
  wishes.leaving = handing_over_;
  const auto asked = Clock::now();
  auto asking = leases_.Ask(std::move(wishes));
  const auto verdict = co_await std::move(asking);
  // An answer that is as old as our doubt does not end it.
  if (verdict.ok() && Clock::now() - asked < kStill) doubtful_ = false;
  if (!verdict.ok()) ended_.insert(ended_.end(), released.begin(), released.end());
  if (!verdict.ok() || stopping_) co_return false;
  for (const std::string& id : verdict->start) {
    const auto desired = desired_.find(id);
    const bool here = upstreams_.count(id) > 0 || ending_.count(id) > 0;
    if (desired != desired_.end() && !here) Run(desired->second);
  }
  for (const std::string& id : verdict->stop) {
    Log(LogLevel::kWarning, "connector.lease_lost", {{"upstream", id}});
    Remove(id);
  }
  // Ended here before it begins elsewhere; all at once, as each takes as long as its child.
  for (const std::string& id : verdict->move) {
    const auto upstream = Find(id);
    if (upstream != nullptr && !Stays(*upstream)) GiveUp(id);
  }
  co_return ended_.empty();
}

bool Manager::Stays(const Upstream& upstream) const {
  return handing_over_ ? upstream.working() : upstream.busy();
}

absl::Status Manager::Missing(const std::string& id) const {
  if (!informed_ && leases_.alone()) {
    return MakeError("UPSTREAM_UNAVAILABLE", "connector",
                     "the connector has just started and does not know its upstreams yet");
  }
  if (informed_ && desired_.count(id) == 0) {
    return MakeError("NOT_FOUND", "connector", "this connector does not have that upstream");
  }
  return MakeError("NOT_OWNER", "connector", "another connector runs this upstream",
                   {{"owner", handing_over_ || doubtful_ ? std::string() : leases_.OwnerOf(id)}});
}

void Manager::Remove(const std::string& id) {
  const auto it = upstreams_.find(id);
  if (it == upstreams_.end()) return;
  core_.tasks.Spawn("upstream.stop", StopOne(it->second));
  upstreams_.erase(it);
  dirty_.erase(id);
}

Awaitable<void> Manager::StopOne(std::shared_ptr<Upstream> upstream) {
  auto stopping = upstream->Stop();
  co_await std::move(stopping);
}

void Manager::Changed(const std::string& id) {
  dirty_.insert(id);
  report_.Set();
}

Awaitable<void> Manager::Report(Manager* self) {
  Backoff backoff(kRetryMin, kRetryMax, 2);
  while (true) {
    if (self->dirty_.empty()) {
      self->flush_.WakeAll();
      if (self->stopping_ && self->upstreams_.empty()) break;
      auto waiting = self->report_.WaitUntil(Clock::time_point::max());
      co_await std::move(waiting);
    } else {
      auto gathering = Sleep(kCoalesce);
      co_await std::move(gathering);
    }
    const auto state = co_await boost::asio::this_coro::cancellation_state;
    if (state.cancelled() != boost::asio::cancellation_type::none) break;
    std::set<std::string> batch;
    batch.swap(self->dirty_);
    bool delivered = true;
    for (const std::string& id : batch) {
      auto reporting = self->ReportOne(id);
      if (!co_await std::move(reporting)) delivered = false;
    }
    if (delivered) {
      backoff.Reset();
      continue;
    }
    if (self->stopping_) break;
    auto pause = Sleep(backoff.Next());
    if (!co_await std::move(pause)) break;
  }
  self->flushed_ = true;
  self->flush_.WakeAll();
}

Awaitable<bool> Manager::ReportOne(std::string id) {
  const std::shared_ptr<Upstream> upstream = Find(id);
  if (upstream == nullptr) co_return true;
  catalog_pb::ReportRequest report = upstream->TakeReport();
  catalog_pb::ReportRequest copy = report;
  CallContext ctx(nullptr, Clock::now() + kReportTimeout);
  auto reporting = catalog_.Report(ctx, std::move(report));
  const auto answer = co_await std::move(reporting);
  if (answer.ok()) co_return true;
  if (absl::IsNotFound(answer.status())) {
    Remove(id);
    co_return true;
  }
  Log(LogLevel::kWarning, "connector.report_failed",
      {{"upstream", upstream->slug()}, {"error", std::string(answer.status().message())}});
  upstream->ReportFailed(std::move(copy));
  dirty_.insert(id);
  co_return false;
}

Awaitable<void> Manager::HandOver(Clock::time_point until) {
  if (leases_.alone()) co_return;
  handing_over_ = true;
  for (const auto& [id, upstream] : upstreams_) upstream->EndListeners();
  while (!(upstreams_.empty() && ending_.empty() && ended_.empty()) && Clock::now() < until) {
    hold_.Set();
    auto pause = Sleep(kHandOverLook);
    if (!co_await std::move(pause)) co_return;
  }
}

Awaitable<void> Manager::Stop() {
  stopping_ = true;
  auto all = All();
  for (const auto& upstream : all) core_.tasks.Spawn("upstream.stop", StopOne(upstream));
  for (const auto& upstream : all) {
    auto stopping = upstream->Stop();
    co_await std::move(stopping);
  }
  // The catalog should know that they stopped, but not at any price.
  const auto until = Clock::now() + kLastReports;
  report_.Set();
  while (!dirty_.empty() && !flushed_ && Clock::now() < until) {
    auto flushing = flush_.WaitUntil(until);
    co_await std::move(flushing);
  }
  upstreams_.clear();
  dirty_.clear();
  report_.Set();
}

std::shared_ptr<Upstream> Manager::Find(const std::string& id) const {
  const auto it = upstreams_.find(id);
  return it == upstreams_.end() ? nullptr : it->second;
}

std::shared_ptr<Upstream> Manager::FindByName(const std::string& name) const {
  for (const auto& [id, upstream] : upstreams_) {
    if (upstream->slug() == name) return upstream;
  }
  return Find(name);
}

std::vector<std::shared_ptr<Upstream>> Manager::All() const {
  std::vector<std::shared_ptr<Upstream>> out;
  for (const auto& [id, upstream] : upstreams_) out.push_back(upstream);
  std::sort(out.begin(), out.end(),
            [](const auto& a, const auto& b) { return a->slug() < b->slug(); });
  return out;
}

}  // namespace metamcp::connector
