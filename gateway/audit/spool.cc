#include "gateway/audit/spool.h"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <boost/asio/post.hpp>

#include "common/async/async_lock.h"
#include "common/base/ids.h"
#include "common/telemetry/log.h"
#include "gateway/audit/spool_files.h"

namespace metamcp::gateway {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kFailingUs = 1'000'000;
constexpr size_t kGroupMax = 512;
constexpr int64_t kUnwaitedMax = int64_t{64} << 20;  // bytes in memory

class SpoolImpl final : public Spool {
 public:
  SpoolImpl(boost::asio::any_io_executor executor, SpoolOptions options, SpoolFiles files)
      : executor_(std::move(executor)),
        options_(std::move(options)),
        files_(std::move(files)),
        shared_(std::make_shared<Shared>(executor_)),
        bytes_(files_.bytes()),
        thread_([this] { Work(); }) {}

  ~SpoolImpl() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  Awaitable<absl::Status> Append(std::string event) override {
    auto entry = std::make_shared<Entry>(std::move(event), executor_);
    Enqueue(entry);
    while (!entry->result) co_await entry->done.Wait();
    co_return *entry->result;
  }

  void Push(std::string event) override {
    if (queued_.load() > kUnwaitedMax) {
      Log(LogLevel::kError, "audit.event_lost", {{"error", "the spool's disk is too slow"}});
      return;
    }
    auto entry = std::make_shared<Entry>(std::move(event), executor_);
    entry->nobody_waits = true;
    Enqueue(std::move(entry));
  }

  Awaitable<absl::StatusOr<Batch>> Read(size_t events_max) override {
    auto job = std::make_shared<Job<absl::StatusOr<Batch>>>(executor_);
    return Run<absl::StatusOr<Batch>>(
        job, [events_max](SpoolFiles& files) { return files.Read(events_max); });
  }

  Awaitable<absl::Status> Confirm(Position end) override {
    auto job = std::make_shared<Job<absl::Status>>(executor_);
    return Run<absl::Status>(job, [end](SpoolFiles& files) { return files.Confirm(end); });
  }

  Awaitable<void> Written() override { return shared_->written.Wait(); }
  bool failing() const override { return NowMicros() - failed_us_.load() < kFailingUs; }
  int64_t bytes() const override { return bytes_.load() + queued_.load(); }

 private:
  struct Entry {
    Entry(std::string event_in, boost::asio::any_io_executor executor)
        : event(std::move(event_in)), done(std::move(executor)) {}
    std::string event;
    Signal done;
    std::optional<absl::Status> result;  // on the io thread
    bool nobody_waits = false;
  };
  using Group = std::vector<std::shared_ptr<Entry>>;
  template <typename T>
  struct Job {
    explicit Job(boost::asio::any_io_executor executor) : done(std::move(executor)) {}
    Signal done;
    std::optional<T> result;
  };
  // What completions touch, which may come after the spool's end.
  struct Shared {
    explicit Shared(boost::asio::any_io_executor executor) : written(std::move(executor)) {}
    Signal written;
  };

  void Enqueue(std::shared_ptr<Entry> entry) {
    queued_ += static_cast<int64_t>(entry->event.size());
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      events_.push_back(std::move(entry));
    }
    wake_.notify_one();
  }

  template <typename T>
  Awaitable<T> Run(std::shared_ptr<Job<T>> job, std::function<T(SpoolFiles&)> op) {
    std::function<void()> work = [this, job, op = std::move(op)] {
      auto result = std::make_shared<T>(op(files_));
      bytes_ = files_.bytes();
      boost::asio::post(executor_, [job, result] {
        job->result.emplace(std::move(*result));
        job->done.Notify();
      });
    };
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      jobs_.push_back(std::move(work));
    }
    wake_.notify_one();
    while (!job->result) co_await job->done.Wait();
    co_return std::move(*job->result);
  }

  // The spool's thread: all events that wait are one write and, at once or in a while, one sync.
  void Work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      const auto idle = [this] { return !stopping_ && events_.empty() && jobs_.empty(); };
      if (dirty_) {
        wake_.wait_until(lock, sync_at_, [&idle] { return !idle(); });
      } else {
        wake_.wait(lock, [&idle] { return !idle(); });
      }
      const bool last = stopping_ && events_.empty() && jobs_.empty();
      Group group(events_.begin(), events_.begin() + static_cast<std::ptrdiff_t>(
                                                         std::min(events_.size(), kGroupMax)));
      events_.erase(events_.begin(), events_.begin() + static_cast<std::ptrdiff_t>(group.size()));
      std::vector<std::function<void()>> jobs = std::exchange(jobs_, {});
      lock.unlock();
      if (!group.empty()) Write(std::move(group));
      if (dirty_ && (last || Clock::now() >= sync_at_)) SyncNow();
      for (const auto& job : jobs) job();
      if (last) return;
      lock.lock();
    }
  }

  void Write(Group group) {
    std::vector<std::string_view> events;
    for (const auto& entry : group) events.emplace_back(entry->event);
    absl::Status status = files_.Write(events);
    if (status.ok() && options_.sync.count() == 0) status = files_.Sync();
    if (status.ok() && options_.sync.count() > 0 && !dirty_) {
      dirty_ = true;
      sync_at_ = Clock::now() + options_.sync;
    }
    bytes_ = files_.bytes();
    for (const auto& entry : group) queued_ -= static_cast<int64_t>(entry->event.size());
    Tell(status);
    boost::asio::post(executor_, [group = std::move(group), status, shared = shared_] {
      for (const auto& entry : group) {
        entry->result = status;
        entry->done.Notify();
        if (!status.ok() && entry->nobody_waits) {
          Log(LogLevel::kError, "audit.event_lost", {{"error", std::string(status.message())}});
        }
      }
      shared->written.Notify();
    });
  }

  void SyncNow() {
    dirty_ = false;
    Tell(files_.Sync());
  }

  // Once for each time that it begins and ends.
  void Tell(const absl::Status& status) {
    const bool was = failed_us_.load() != 0;
    failed_us_ = status.ok() ? 0 : NowMicros();
    if (was == !status.ok()) return;
    Log(status.ok() ? LogLevel::kInfo : LogLevel::kError,
        status.ok() ? "audit.spool_writes_again" : "audit.spool_failed",
        {{"error", std::string(status.message())}, {"folder", options_.folder}});
  }

  const boost::asio::any_io_executor executor_;
  const SpoolOptions options_;
  SpoolFiles files_;  // on the thread
  const std::shared_ptr<Shared> shared_;
  std::atomic<int64_t> failed_us_{0};
  std::atomic<int64_t> bytes_{0};
  std::atomic<int64_t> queued_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::shared_ptr<Entry>> events_;  // guarded by mutex_
  std::vector<std::function<void()>> jobs_;     // guarded by mutex_
  bool stopping_ = false;                       // guarded by mutex_
  bool dirty_ = false;                          // on the thread
  Clock::time_point sync_at_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace

absl::StatusOr<std::unique_ptr<Spool>> Spool::OpenBlocking(boost::asio::any_io_executor executor,
                                                           SpoolOptions options) {
  auto files = SpoolFiles::Open(options);
  if (!files.ok()) return files.status();
  return std::unique_ptr<Spool>(
      new SpoolImpl(std::move(executor), std::move(options), *std::move(files)));
}

}  // namespace metamcp::gateway
