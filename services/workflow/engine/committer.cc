#include "services/workflow/engine/committer.h"

#include <algorithm>
#include <chrono>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/telemetry/log.h"
#include "services/workflow/store/sql_store.h"

namespace metamcp::workflow {
namespace {

constexpr size_t kBatchMax = 256;
constexpr std::chrono::milliseconds kRetryMin(100);
constexpr std::chrono::milliseconds kRetryMax(2000);

// A database that is away, or a commit of which nobody knows whether it took effect: every commit
// may be applied again.
bool Passes(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsUnknown(status) ||
         absl::IsDeadlineExceeded(status) || absl::IsAborted(status) ||
         absl::IsResourceExhausted(status);
}

}  // namespace

Committer::Committer(boost::asio::any_io_executor executor, db::DbExecutor& database)
    : executor_(executor), database_(database), work_(executor) {}

Awaitable<absl::Status> Committer::Commit(RunCommit commit) {
  auto entry = std::make_shared<Entry>(std::move(commit), executor_);
  pending_.push_back(entry);
  work_.Notify();
  while (!entry->finished) co_await entry->done.Wait();
  co_return entry->result;
}

void Committer::Stop() {
  stopping_ = true;
  work_.Notify();
}

Awaitable<void> Committer::Run() {
  while (!stopping_ || !pending_.empty()) {
    if (pending_.empty()) {
      co_await work_.Wait();
      continue;
    }
    Entries batch;
    const size_t size = std::min(pending_.size(), kBatchMax);
    batch.assign(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(size));
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(size));
    auto storing = Store(std::move(batch));
    co_await std::move(storing);
    if (on_commit) on_commit();
  }
}

Awaitable<absl::StatusOr<std::vector<absl::Status>>> Committer::TryStore(const Entries& batch) {
  std::vector<RunCommit> commits;
  commits.reserve(batch.size());
  for (const auto& entry : batch) commits.push_back(entry->commit);
  std::function<absl::StatusOr<std::vector<absl::Status>>(db::Database&)> op =
      [commits = std::move(commits)](db::Database& database) {
        return SqlStore(database).Apply(commits);
      };
  const CallContext ctx;
  auto running = database_.Run<std::vector<absl::Status>>(ctx, std::move(op));
  co_return co_await std::move(running);
}

Awaitable<void> Committer::Store(Entries batch) {
  std::chrono::milliseconds pause = kRetryMin;
  for (;;) {
    auto storing = TryStore(batch);
    const auto results = co_await std::move(storing);
    if (!results.ok() && Passes(results.status()) && !stopping_) {
      Log(LogLevel::kWarning, "workflow.commit_waits",
          {{"error", std::string(results.status().message())}});
      (void)co_await Sleep(pause);
      pause = std::min(pause * 2, kRetryMax);
      continue;
    }
    if (!results.ok() && batch.size() > 1) {
      // One of them spoils the transaction: each by itself.
      for (const auto& entry : batch) {
        Entries one;
        one.push_back(entry);
        auto single = Store(std::move(one));
        co_await std::move(single);
      }
      co_return;
    }
    for (size_t i = 0; i < batch.size(); ++i) {
      batch[i]->result = results.ok() ? (*results)[i] : results.status();
      batch[i]->finished = true;
      batch[i]->done.Notify();
    }
    co_return;
  }
}

}  // namespace metamcp::workflow
