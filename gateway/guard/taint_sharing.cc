#include "gateway/guard/taint_sharing.h"

#include <algorithm>
#include <utility>

#include "common/async/run.h"
#include "common/telemetry/log.h"

namespace metamcp::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kBatch = 1000;
// A call waits at most so long for the others to hear of it.
constexpr milliseconds kSayLimit{1500};
constexpr milliseconds kReportEvery{500};
constexpr milliseconds kRetry{200};
constexpr seconds kWatchLifetime{12 * 3600};
// The service says something every second.
constexpr seconds kSilence{3};

}  // namespace

// Takes what the service sends.
class TaintGuard::Learner final : public Sink<catalog::v1::WatchTaintResponse> {
 public:
  explicit Learner(TaintGuard& guard) : guard_(guard) {}
  Awaitable<absl::Status> Write(catalog::v1::WatchTaintResponse message) override {
    guard_.heard_ = std::chrono::steady_clock::now();
    for (const auto& scope : message.scopes()) {
      TaintStage::Mark mark;
      mark.key = scope.key();
      mark.sources.assign(scope.sources().begin(), scope.sources().end());
      mark.until_us = scope.until_us();
      guard_.stage_.Learn(mark);
    }
    co_return guard_.needed() ? absl::OkStatus() : absl::CancelledError("not needed any more");
  }

 private:
  TaintGuard& guard_;
};

TaintGuard::TaintGuard(boost::asio::any_io_executor executor, const config::TaintConfig& config,
                       Options options)
    : options_(std::move(options)),
      stage_(config,
             [this] {
               TaintStage::Options stage;
               if (options_.service != nullptr && options_.shared) {
                 stage.informed = [this] { return informed(); };
               }
               return stage;
             }()),
      wanted_(std::move(executor)) {}

void TaintGuard::SetConfig(const config::TaintConfig& config) {
  stage_.SetConfig(config);
  wanted_.Notify();
}

void TaintGuard::OnSnapshot(const Snapshot& snapshot) {
  const auto any = [](const auto& view) {
    const auto& upstreams = view.second->upstreams();
    return std::any_of(upstreams.begin(), upstreams.end(),
                       [](const auto& upstream) { return !upstream->trusted; });
  };
  untrusted_ = std::any_of(snapshot.views.begin(), snapshot.views.end(), any);
  wanted_.Notify();
}

bool TaintGuard::informed() const {
  return heard_ && std::chrono::steady_clock::now() - *heard_ < kSilence;
}

bool TaintGuard::Unsaid(const StageCall& call) const {
  return options_.service != nullptr && stage_.Unsaid(call);
}

Awaitable<void> TaintGuard::Say(const StageCall& call) {
  TaintStage::Mark mark = stage_.Begin(call);
  if (mark.key.empty()) co_return;
  std::vector<TaintStage::Mark> marks{mark};
  auto telling = Tell(std::move(marks), kSayLimit);
  const bool told = co_await std::move(telling);
  if (!told) stage_.Keep(std::move(mark));
}

Awaitable<bool> TaintGuard::Tell(std::vector<TaintStage::Mark> marks, milliseconds limit) {
  catalog::v1::MarkTaintRequest request;
  for (const TaintStage::Mark& mark : marks) {
    auto& scope = *request.add_scopes();
    scope.set_key(mark.key);
    for (const std::string& source : mark.sources) scope.add_sources(source);
    scope.set_until_us(mark.until_us);
  }
  const CallContext ctx(nullptr, CallContext::Clock::now() + limit);
  auto marking = options_.service->MarkTaint(ctx, std::move(request));
  auto caught = CatchStatus(std::move(marking));
  const auto marked = co_await std::move(caught);
  if (!marked.ok()) {
    Log(LogLevel::kWarning, "taint.not_told",
        {{"scopes", static_cast<int64_t>(marks.size())},
         {"error", std::string(marked.status().message())}});
    co_return false;
  }
  for (const TaintStage::Mark& mark : marks) stage_.Told(mark);
  co_return true;
}

Awaitable<void> TaintGuard::Report() {
  if (options_.service == nullptr) co_return;
  for (;;) {
    const bool slept = co_await Sleep(kReportEvery);
    if (!slept) co_return;
    std::vector<TaintStage::Mark> marks = stage_.TakeUntold();
    while (!marks.empty()) {
      const size_t count = std::min(marks.size(), kBatch);
      std::vector<TaintStage::Mark> some(marks.end() - static_cast<std::ptrdiff_t>(count),
                                         marks.end());
      marks.resize(marks.size() - count);
      auto telling = Tell(some, seconds(5));
      const bool told = co_await std::move(telling);
      if (told) continue;
      for (TaintStage::Mark& mark : some) stage_.Keep(std::move(mark));
      for (TaintStage::Mark& mark : marks) stage_.Keep(std::move(mark));
      break;
    }
  }
}

Awaitable<void> TaintGuard::Follow() {
  if (options_.service == nullptr) co_return;
  for (;;) {
    while (!needed()) co_await wanted_.Wait();
    Learner learner(*this);
    const CallContext ctx(nullptr, CallContext::Clock::now() + kWatchLifetime);
    const catalog::v1::WatchTaintRequest request;
    auto watching = options_.service->WatchTaint(ctx, request, learner);
    auto caught = CatchStatus(std::move(watching));
    (void)co_await std::move(caught);
    const bool slept = co_await Sleep(kRetry);
    if (!slept) co_return;
  }
}

}  // namespace metamcp::gateway
