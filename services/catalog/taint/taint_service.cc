#include "services/catalog/taint/taint_service.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "common/async/listed.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "services/catalog/taint/taint_store.h"

namespace metamcp::catalog {
namespace {

namespace asio = boost::asio;

constexpr int kScopesMax = 1000;
constexpr size_t kKeyBytes = 64;
constexpr size_t kNameBytesMax = 256;
constexpr int64_t kPruneUs = 60'000'000;
constexpr int64_t kForwardMaxUs = int64_t{31} * 86'400 * 1'000'000;
constexpr std::chrono::milliseconds kHeartbeat{1000};

bool IsGood(const v1::TaintedScope& scope, int64_t now_us) {
  const bool key = scope.key().size() == kKeyBytes &&
                   scope.key().find_first_not_of("0123456789abcdef") == std::string::npos;
  return key && !scope.sources().empty() && scope.until_us() > 0 &&
         scope.until_us() < now_us + kForwardMaxUs &&
         std::all_of(scope.sources().begin(), scope.sources().end(), [](const std::string& one) {
           return !one.empty() && one.size() <= kNameBytesMax &&
                  one.find('\n') == std::string::npos;
         });
}

}  // namespace

TaintService::TaintService(asio::any_io_executor executor, db::DbExecutor& database,
                           Options options)
    : executor_(std::move(executor)), database_(database), options_(std::move(options)) {}

int64_t TaintService::Now() const { return options_.now_us ? options_.now_us() : NowMicros(); }

Awaitable<absl::StatusOr<v1::MarkTaintResponse>> TaintService::MarkTaint(
    const CallContext& ctx, v1::MarkTaintRequest request) {
  const int64_t now = Now();
  const bool good =
      request.scopes_size() <= kScopesMax &&
      std::all_of(request.scopes().begin(), request.scopes().end(),
                  [now](const v1::TaintedScope& scope) { return IsGood(scope, now); });
  if (!good) {
    co_return MakeError("ARGUMENT_INVALID", "catalog",
                        "at most 1000 scopes, each with a digest, sources and an end");
  }
  const bool prune = now - pruned_us_ > kPruneUs;
  if (prune) pruned_us_ = now;
  std::function<absl::Status(db::Database&)> op = [request = std::move(request), now,
                                                   prune](db::Database& database) -> absl::Status {
    TaintStore store(database);
    if (prune) METAMCP_RETURN_IF_ERROR(store.Prune(now));
    return store.Mark(request, now);
  };
  auto running = database_.RunStatus(ctx, std::move(op));
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(running));
  ++marks_;
  for (asio::steady_timer* watcher : watchers_) watcher->cancel();
  // Whoever follows at another replica looks twice in this time.
  if (options_.poll.count() > 0) co_await Sleep(2 * options_.poll);
  co_return v1::MarkTaintResponse();
}

Awaitable<absl::Status> TaintService::WatchTaint(const CallContext& ctx, v1::WatchTaintRequest,
                                                 Sink<v1::WatchTaintResponse>& sink) {
  asio::steady_timer timer(executor_);
  const Listed<asio::steady_timer> listed(watchers_, &timer);
  const std::chrono::milliseconds wait = options_.poll.count() > 0 ? options_.poll : kHeartbeat;
  int64_t sent = 0;
  auto told = CallContext::Clock::now() - kHeartbeat;
  for (;;) {
    const size_t marks = marks_;
    const CallContext step(ctx.principal, CallContext::Clock::now() + std::chrono::seconds(5));
    std::function<absl::StatusOr<TaintStore::Changes>(db::Database&)> op =
        [sent, now = Now()](db::Database& database) {
          return TaintStore(database).Since(sent, now);
        };
    auto running = database_.Run<TaintStore::Changes>(step, std::move(op));
    auto found = co_await std::move(running);
    if (!found.ok()) co_return found.status();
    sent = found->seq;
    const bool due = CallContext::Clock::now() - told >= kHeartbeat / 2;
    if (due || !found->scopes.empty()) {
      v1::WatchTaintResponse message;
      for (v1::TaintedScope& scope : found->scopes) *message.add_scopes() = std::move(scope);
      auto writing = sink.Write(std::move(message));
      METAMCP_CO_RETURN_IF_ERROR(co_await std::move(writing));
      told = CallContext::Clock::now();
    }
    if (found->more || marks != marks_) continue;
    timer.expires_after(wait);
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
      co_return absl::CancelledError("the watch was cancelled");
    }
    if (CallContext::Clock::now() >= ctx.deadline) {
      co_return absl::DeadlineExceededError("the watch is over");
    }
  }
}

}  // namespace metamcp::catalog
