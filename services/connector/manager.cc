#include "services/connector/manager.h"

#include <algorithm>

#include "common/async/run.h"
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

Manager::Manager(Core& core, metamcp::catalog::v1::CatalogService& catalog)
    : core_(core), catalog_(catalog), report_(core.executor), flush_(core.executor) {}

Manager::~Manager() = default;

void Manager::Start() {
  core_.tasks.Spawn("connector.watch", Watch(this));
  core_.tasks.Spawn("connector.report", Report(this));
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
    const auto it = upstreams_.find(id);
    if (it != upstreams_.end() && it->second->slug() == desired.meta().name()) {
      it->second->Update(std::move(desired));
      continue;
    }
    Remove(id);
    auto changed = [this](const std::string& which) { Changed(which); };
    auto upstream = std::make_shared<Upstream>(core_, std::move(desired), std::move(changed));
    upstreams_[id] = upstream;
    upstream->Start();
  }
  for (const std::string& id : change.removed_upstream_ids()) Remove(id);
  if (!change.end() || !listing_) return;
  listing_ = false;
  std::vector<std::string> gone;
  for (const auto& [id, upstream] : upstreams_) {
    if (seen_.count(id) == 0) gone.push_back(id);
  }
  for (const std::string& id : gone) Remove(id);
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
