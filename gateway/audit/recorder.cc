#include "gateway/audit/recorder.h"

#include <algorithm>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::gateway {
namespace {

using std::chrono::milliseconds;

constexpr size_t kBatchMax = 500;
constexpr milliseconds kShipEvery{100};
constexpr milliseconds kIdleLook{1000};
constexpr milliseconds kRetryMin{50};
constexpr milliseconds kRetryMax{2000};
constexpr std::chrono::seconds kStoreTime{15};

absl::Status Unavailable(std::string_view why) {
  return MakeError("AUDIT_UNAVAILABLE", "audit", why);
}

Awaitable<absl::Status> AsStatus(Awaitable<void> wait) {
  co_await std::move(wait);
  co_return absl::OkStatus();
}

}  // namespace

AuditRecorder::AuditRecorder(boost::asio::any_io_executor executor,
                             audit::v1::AuditService& service, Options options,
                             std::unique_ptr<Spool> spool)
    : executor_(executor),
      service_(service),
      options_(std::move(options)),
      spool_(std::move(spool)),
      tasks_(executor),
      work_(executor) {}

AuditRecorder::~AuditRecorder() = default;

absl::StatusOr<std::unique_ptr<AuditRecorder>> AuditRecorder::CreateBlocking(
    boost::asio::any_io_executor executor, audit::v1::AuditService& service, Options options) {
  std::unique_ptr<Spool> spool;
  if (!options.strict) {
    METAMCP_ASSIGN_OR_RETURN(spool, Spool::OpenBlocking(executor, options.spool));
  }
  return std::unique_ptr<AuditRecorder>(
      new AuditRecorder(std::move(executor), service, std::move(options), std::move(spool)));
}

void AuditRecorder::Start() {
  tasks_.Spawn("audit-recorder", spool_ ? RunShipping() : RunStrict());
}

Awaitable<void> AuditRecorder::Stop(std::chrono::steady_clock::duration grace) {
  const auto until = std::chrono::steady_clock::now() + grace;
  const auto left = [this] { return spool_ ? spool_->bytes() > 0 : !waiting_.empty(); };
  while (left() && std::chrono::steady_clock::now() < until) {
    work_.Notify();
    const bool slept = co_await Sleep(milliseconds(10));
    if (!slept) break;
  }
  stopping_ = true;
  tasks_.CancelAll();
  (void)co_await tasks_.Join(std::chrono::seconds(5));
  if (!spool_ && !waiting_.empty()) {
    Log(LogLevel::kError, "audit.events_lost", {{"count", static_cast<int64_t>(waiting_.size())}});
  }
}

absl::Status AuditRecorder::Ready() const {
  if (stopping_) return Unavailable("this process ends");
  if (spool_) {
    if (!spool_->failing()) return absl::OkStatus();
    return Unavailable("the audit spool cannot be written, so nothing is called");
  }
  if (waiting_.size() >= options_.waiting_max) return Unavailable("too many audit records wait");
  if (!down_) return absl::OkStatus();
  return Unavailable("the audit service does not store records now, so nothing is called");
}

void AuditRecorder::Complete(audit::v1::Event& event) const {
  if (event.id().empty()) event.set_id(NewUuidV7());
  if (event.time_us() == 0) event.set_time_us(NowMicros());
  event.set_source(options_.source);
  if (event.principal().tenant().empty()) event.mutable_principal()->set_tenant("default");
}

bool AuditRecorder::Enqueue(std::shared_ptr<Waiting> waiting) {
  if (waiting_.size() >= options_.waiting_max) return false;
  waiting_.push_back(std::move(waiting));
  work_.Notify();
  return true;
}

Awaitable<absl::Status> AuditRecorder::UntilStored(std::shared_ptr<Waiting> waiting) {
  while (!waiting->stored) co_await waiting->done.Wait();
  co_return absl::OkStatus();
}

Awaitable<absl::Status> AuditRecorder::WaitFor(std::shared_ptr<Waiting> waiting) {
  auto stored = UntilStored(std::move(waiting));
  auto bounded = RunUntil(std::chrono::steady_clock::now() + options_.patience, std::move(stored));
  const absl::Status status = co_await std::move(bounded);
  if (absl::IsDeadlineExceeded(status)) {
    co_return Unavailable("what was done could not be recorded in time; its record is kept back");
  }
  co_return status;
}

Awaitable<absl::Status> AuditRecorder::Record(audit::v1::Event event) {
  Complete(event);
  if (spool_) {
    auto appending = spool_->Append(event.SerializeAsString());
    const absl::Status spooled = co_await std::move(appending);
    if (spooled.ok()) co_return spooled;
    // A full disk here need not be one there.
    Batch one;
    one.push_back(std::move(event));
    auto storing = Store(std::move(one));
    const absl::Status stored = co_await std::move(storing);
    if (stored.ok()) co_return stored;
    co_return Unavailable("what was done could not be recorded: the audit spool cannot be written");
  }
  auto waiting = std::make_shared<Waiting>(std::move(event), executor_);
  if (!Enqueue(waiting)) co_return Unavailable("too many audit records wait");
  auto done = WaitFor(std::move(waiting));
  co_return co_await std::move(done);
}

void AuditRecorder::Note(audit::v1::Event event) {
  Complete(event);
  if (spool_) {
    spool_->Push(event.SerializeAsString());
    return;
  }
  auto waiting = std::make_shared<Waiting>(std::move(event), executor_);
  if (!Enqueue(std::move(waiting))) Log(LogLevel::kError, "audit.event_lost", {{"error", "full"}});
}

Awaitable<absl::Status> AuditRecorder::StoreAll(audit::v1::AppendRequest request) {
  const CallContext ctx(nullptr, CallContext::Clock::now() + kStoreTime);
  auto appending = service_.Append(ctx, std::move(request));
  const auto response = co_await CatchStatus(std::move(appending));
  SetDown(response.status());
  co_return response.status();
}

void AuditRecorder::SetDown(const absl::Status& status) {
  const bool down = !status.ok() && !absl::IsInvalidArgument(status) && !absl::IsCancelled(status);
  if (down == down_) return;
  down_ = down;
  Log(down ? LogLevel::kError : LogLevel::kInfo, down ? "audit.service_lost" : "audit.service_back",
      {{"error", std::string(status.message())}});
}

Awaitable<absl::Status> AuditRecorder::Store(Batch batch) {
  audit::v1::AppendRequest request;
  for (const audit::v1::Event& event : batch) *request.add_events() = event;
  auto storing = StoreAll(std::move(request));
  absl::Status status = co_await std::move(storing);
  if (!absl::IsInvalidArgument(status)) co_return status;
  for (audit::v1::Event& event : batch) {
    audit::v1::AppendRequest one;
    const std::string id = event.id();
    *one.add_events() = std::move(event);
    auto single = StoreAll(std::move(one));
    status = co_await std::move(single);
    if (absl::IsInvalidArgument(status)) {
      Log(LogLevel::kError, "audit.event_refused",
          {{"id", id}, {"error", std::string(status.message())}});
      status = absl::OkStatus();
    }
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

// Everything that waits goes into one transaction each time the service is free.
Awaitable<void> AuditRecorder::RunStrict() {
  milliseconds pause = kRetryMin;
  for (;;) {
    if (waiting_.empty()) {
      co_await work_.Wait();
      continue;
    }
    std::vector<std::shared_ptr<Waiting>> group(
        waiting_.begin(),
        waiting_.begin() + static_cast<std::ptrdiff_t>(std::min(waiting_.size(), kBatchMax)));
    Batch batch;
    for (const auto& one : group) batch.push_back(one->event);
    auto storing = Store(std::move(batch));
    const absl::Status status = co_await std::move(storing);
    if (!status.ok()) {
      const bool slept = co_await Sleep(pause);
      if (!slept) co_return;
      pause = std::min(pause * 2, kRetryMax);
      continue;
    }
    pause = kRetryMin;
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(group.size()));
    for (const auto& one : group) {
      one->stored = true;
      one->done.Notify();
    }
  }
}

Awaitable<void> AuditRecorder::RunShipping() {
  for (;;) {
    auto shipping = ShipSome();
    const bool more = co_await std::move(shipping);
    if (more) continue;
    // Few large transactions leave the database to others; nobody waits for these.
    const bool slept = co_await Sleep(kShipEvery);
    if (!slept) co_return;
    if (spool_->bytes() > 0) continue;
    auto written = AsStatus(spool_->Written());
    auto bounded = RunUntil(std::chrono::steady_clock::now() + kIdleLook, std::move(written));
    (void)co_await std::move(bounded);
  }
}

// Whether there may be more at once.
Awaitable<bool> AuditRecorder::ShipSome() {
  auto reading = spool_->Read(kBatchMax);
  auto read = co_await std::move(reading);
  if (!read.ok()) {
    Log(LogLevel::kError, "audit.spool_unreadable",
        {{"error", std::string(read.status().message())}});
    co_return false;
  }
  Batch batch;
  for (const std::string& text : read->events) {
    audit::v1::Event event;
    if (event.ParseFromString(text)) {
      batch.push_back(std::move(event));
    } else {
      Log(LogLevel::kError, "audit.event_unreadable",
          {{"bytes", static_cast<int64_t>(text.size())}});
    }
  }
  milliseconds pause = kRetryMin;
  while (!batch.empty()) {
    Batch copy = batch;
    auto storing = Store(std::move(copy));
    const absl::Status status = co_await std::move(storing);
    if (status.ok()) break;
    const bool slept = co_await Sleep(pause);
    if (!slept) co_return false;
    pause = std::min(pause * 2, kRetryMax);
  }
  if (read->events.empty()) co_return false;
  auto confirming = spool_->Confirm(read->end);
  const absl::Status confirmed = co_await std::move(confirming);
  if (!confirmed.ok()) {
    Log(LogLevel::kWarning, "audit.not_confirmed", {{"error", std::string(confirmed.message())}});
  }
  co_return read->events.size() == kBatchMax;
}

}  // namespace metamcp::gateway
