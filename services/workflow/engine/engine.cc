#include "services/workflow/engine/engine.h"

#include <algorithm>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/schema.h"
#include "common/telemetry/log.h"

namespace metamcp::workflow {
namespace {

constexpr size_t kDefinitionsMax = 256;
constexpr std::chrono::milliseconds kWatchPoll(500);
constexpr std::chrono::minutes kPruneEvery(1);
constexpr int64_t kPruneAtOnce = 50;
constexpr std::chrono::seconds kDrain(10);
constexpr std::chrono::milliseconds kLookAgain(100);
constexpr int64_t kReadAgainUs = 5'000'000;

int64_t Us(std::chrono::milliseconds time) { return time.count() * 1000; }

}  // namespace

Engine::Engine(boost::asio::any_io_executor executor, db::DbExecutor& database, JqWorkers& jq,
               Caller& caller, EngineOptions options)
    : executor_(executor),
      database_(database),
      jq_(jq),
      caller_(caller),
      options_(std::move(options)),
      committer_(executor, database),
      consents_(executor, database, caller, [this] { LookNow(); }),
      due_(executor),
      changed_(executor),
      loops_(executor),
      commits_(executor),
      runs_(executor) {
  committer_.on_commit = [this] { changed_.Notify(); };
}

Engine::~Engine() = default;

void Engine::Start() {
  commits_.Spawn("workflow.commit", committer_.Run());
  loops_.Spawn("workflow.claim", ClaimLoop());
  loops_.Spawn("workflow.renew", RenewLoop());
  if (options_.retention.count() > 0) loops_.Spawn("workflow.prune", PruneLoop());
  consents_.Start();
}

Awaitable<void> Engine::Stop() {
  if (stopping_) co_return;
  stopping_ = true;
  loops_.CancelAll();
  co_await loops_.Join(std::chrono::seconds(5));
  auto leaving = consents_.Stop();
  co_await std::move(leaving);
  // What is under way may finish; what is not repeatable would need a person otherwise.
  const auto drained = running_;
  for (const auto& [id, task] : drained) task->Drain();
  co_await runs_.Join(kDrain);
  const auto left = running_;
  for (const auto& [id, task] : left) task->Lose();
  co_await runs_.Join(std::chrono::seconds(30));
  committer_.Stop();
  co_await commits_.Join(std::chrono::seconds(10));
  std::function<absl::Status(db::Database&)> op = [owner = options_.owner](db::Database& database) {
    return SqlStore(database).ReleaseAll(owner, NowMicros());
  };
  const CallContext ctx;
  auto releasing = database_.RunStatus(ctx, std::move(op));
  const absl::Status released = co_await std::move(releasing);
  if (!released.ok()) {
    Log(LogLevel::kWarning, "workflow.not_released", {{"error", std::string(released.message())}});
  }
  changed_.Notify();
}

Awaitable<void> Engine::Changed() {
  boost::asio::steady_timer timer(executor_, kWatchPoll);
  timer.async_wait([this](const boost::system::error_code& error) {
    if (!error) changed_.Notify();
  });
  co_await changed_.Wait();
}

void Engine::LookNow() {
  look_ = true;
  due_.Notify();
}

Awaitable<void> Engine::ClaimLoop() {
  std::function<absl::Status(db::Database&)> op = [owner = options_.owner](db::Database& database) {
    return SqlStore(database).FreeLeftBehind(owner);
  };
  const CallContext ctx;
  auto freeing = database_.RunStatus(ctx, std::move(op));
  (void)co_await std::move(freeing);
  while (!stopping_) {
    auto claiming = Claim();
    const auto claimed = co_await std::move(claiming);
    if (!claimed.ok()) {
      Log(LogLevel::kWarning, "workflow.claim_failed",
          {{"error", std::string(claimed.status().message())}});
    } else if (*claimed > 0) {
      continue;
    }
    // Whoever changed a run says so by LookNow; many at once are one look.
    const auto since = std::chrono::steady_clock::now() - looked_;
    const bool rests = since < kLookAgain;
    if (!look_ || rests) {
      const auto pause =
          look_ ? std::chrono::duration_cast<std::chrono::milliseconds>(kLookAgain - since)
                : options_.poll;
      boost::asio::steady_timer timer(executor_, std::max(pause, std::chrono::milliseconds(1)));
      timer.async_wait([this](const boost::system::error_code& error) {
        if (!error) due_.Notify();
      });
      co_await due_.Wait();
      if (std::chrono::steady_clock::now() - looked_ < kLookAgain) continue;
    }
    look_ = false;
    looked_ = std::chrono::steady_clock::now();
    auto renewing = Renew();
    co_await std::move(renewing);
  }
}

Awaitable<absl::StatusOr<size_t>> Engine::Claim() {
  if (held_.size() >= options_.runs_max) co_return size_t{0};
  const int64_t now = NowMicros();
  const auto limit = static_cast<int64_t>(std::min<size_t>(options_.runs_max - held_.size(), 64));
  std::function<absl::StatusOr<std::vector<RunRow>>(db::Database&)> op =
      [owner = options_.owner, now, until = now + Us(options_.lease), limit](
          db::Database& database) { return SqlStore(database).Claim(owner, now, until, limit); };
  ++claims_begun_;
  claiming_ = true;
  const CallContext ctx;
  auto running = database_.Run<std::vector<RunRow>>(ctx, std::move(op));
  auto runs = co_await std::move(running);
  claiming_ = false;
  if (!runs.ok()) {
    // It may have taken effect all the same.
    doubtful_ = true;
    co_return runs.status();
  }
  for (RunRow& run : *runs) {
    held_.insert(run.id);
    runs_.Spawn("workflow.work", Work(this, std::move(run)));
  }
  co_return runs->size();
}

Awaitable<void> Engine::RenewLoop() {
  while (!stopping_) {
    const bool slept = co_await Sleep(options_.renew);
    if (!slept) co_return;
    auto renewing = Renew();
    co_await std::move(renewing);
  }
}

// Leases that could not be renewed in time are lost: a process that froze must not go on. What
// belongs to this process and is not worked on, as after a claim whose answer was lost, is given
// back.
Awaitable<void> Engine::Renew() {
  if (held_.empty() && !doubtful_) co_return;
  std::function<absl::StatusOr<std::vector<SqlStore::Owned>>(db::Database&)> op =
      [owner = options_.owner, until = NowMicros() + Us(options_.lease)](db::Database& database) {
        return SqlStore(database).Renew(owner, until);
      };
  // What is claimed or ends meanwhile is not part of the answer.
  const auto asked = running_;
  const auto held = held_;
  const bool claiming = claiming_;
  const uint64_t claims = claims_begun_;
  const CallContext ctx;
  auto running = database_.Run<std::vector<SqlStore::Owned>>(ctx, std::move(op));
  const auto owned = co_await std::move(running);
  if (!owned.ok()) {
    Log(LogLevel::kWarning, "workflow.renew_failed",
        {{"error", std::string(owned.status().message())}});
    co_return;
  }
  std::map<std::string, const SqlStore::Owned*> mine;
  for (const SqlStore::Owned& one : *owned) mine[one.id] = &one;
  for (const auto& [id, task] : asked) {
    const auto it = mine.find(id);
    if (it != mine.end() && it->second->epoch == task->run().epoch) {
      task->Changed(it->second->control, it->second->wake);
    } else {
      task->Lose();
    }
  }
  if (claiming || claims != claims_begun_) co_return;
  doubtful_ = false;
  std::vector<SqlStore::Owned> strays;
  for (const SqlStore::Owned& one : *owned) {
    if (held.count(one.id) == 0 && held_.count(one.id) == 0) strays.push_back(one);
  }
  if (strays.empty()) co_return;
  Log(LogLevel::kWarning, "workflow.runs_given_back",
      {{"runs", static_cast<int64_t>(strays.size())}});
  std::function<absl::Status(db::Database&)> give = [owner = options_.owner,
                                                     strays](db::Database& database) {
    return SqlStore(database).GiveBack(owner, strays, NowMicros());
  };
  auto giving = database_.RunStatus(ctx, std::move(give));
  const absl::Status given = co_await std::move(giving);
  if (!given.ok()) doubtful_ = true;
  LookNow();
}

Awaitable<void> Engine::PruneLoop() {
  while (!stopping_) {
    const bool slept = co_await Sleep(kPruneEvery);
    if (!slept) co_return;
    const int64_t before = NowMicros() - std::chrono::microseconds(options_.retention).count();
    std::function<absl::StatusOr<int64_t>(db::Database&)> op = [before](db::Database& database) {
      return SqlStore(database).Prune(before, kPruneAtOnce);
    };
    for (bool more = true; more && !stopping_;) {
      const CallContext ctx;
      auto pruning = database_.Run<int64_t>(ctx, op);
      const auto pruned = co_await std::move(pruning);
      if (!pruned.ok()) {
        Log(LogLevel::kWarning, "workflow.prune_failed",
            {{"error", std::string(pruned.status().message())}});
      }
      more = pruned.ok() && *pruned == kPruneAtOnce;
    }
  }
}

Awaitable<absl::StatusOr<std::shared_ptr<const Definition>>> Engine::Load(const RunRow& run) {
  using Result = absl::StatusOr<std::shared_ptr<const Definition>>;
  const std::string key = StrCat(run.tenant, "/", run.name_space, "/", run.name, "/", run.version);
  if (const auto it = definitions_.find(key); it != definitions_.end())
    co_return Result(it->second);
  std::function<absl::StatusOr<DefinitionRow>(db::Database&)> op = [run](db::Database& database) {
    return SqlStore(database).GetDefinition(run.tenant, run.name_space, run.name, run.version);
  };
  const CallContext ctx;
  auto reading = database_.Run<DefinitionRow>(ctx, std::move(op));
  const auto row = co_await std::move(reading);
  if (!row.ok()) co_return row.status();
  std::vector<Problem> problems;
  std::shared_ptr<const Definition> definition =
      ReadDefinition(row->document, options_.limits, &problems);
  if (definition == nullptr) {
    co_return MakeError(
        "WORKFLOW_INVALID", "workflow",
        StrCat(run.name, " ", run.version, ": ",
               problems.empty() ? "" : problems[0].path + " " + problems[0].message));
  }
  if (definitions_.size() >= kDefinitionsMax) definitions_.clear();
  definitions_[key] = definition;
  co_return Result(definition);
}

Awaitable<void> Engine::Work(Engine* self, RunRow run) {
  // What it leaves behind as its own, whatever happened, is found by Renew.
  struct Held {
    ~Held() {
      const bool full = self->held_.size() >= self->options_.runs_max;
      self->held_.erase(id);
      self->doubtful_ = true;
      if (full) self->due_.Notify();
    }
    Engine* self;
    std::string id;
  } held{self, run.id};
  auto loading = self->Load(run);
  const auto definition = co_await std::move(loading);
  std::function<absl::StatusOr<std::vector<StepRow>>(db::Database&)> op =
      [id = run.id](db::Database& database) { return SqlStore(database).Steps(id); };
  const CallContext ctx;
  auto reading = self->database_.Run<std::vector<StepRow>>(ctx, std::move(op));
  auto steps = co_await std::move(reading);
  auto deciding = self->Decisions(run.id);
  auto decisions = co_await std::move(deciding);
  if (!definition.ok() || !steps.ok() || !decisions.ok()) {
    const absl::Status& why = !definition.ok() ? definition.status()
                              : !steps.ok()    ? steps.status()
                                               : decisions.status();
    Log(LogLevel::kError, "workflow.run_not_read",
        {{"run", run.id}, {"error", std::string(why.message())}});
    RunCommit commit;
    commit.run_id = run.id;
    commit.owner = run.owner;
    commit.epoch = run.epoch;
    commit.release = true;
    commit.seen_wake = run.wake;
    commit.due_us = NowMicros() + kReadAgainUs;
    // Only what no later reading can mend ends the run: not a database that is busy or away.
    if (absl::IsNotFound(definition.status()) || absl::IsInvalidArgument(definition.status()) ||
        absl::IsFailedPrecondition(definition.status())) {
      commit.state = run_state::kFailed;
      commit.error = StrCat("{\"title\":", json::JsonQuote(Sv(why.message())), "}");
      commit.ended = true;
      commit.due_us = std::nullopt;
    }
    auto storing = self->committer_.Commit(std::move(commit));
    (void)co_await std::move(storing);
    co_return;
  }
  RunParts parts(self->executor_, self->committer_, self->jq_, self->caller_, *self);
  parts.limits = self->options_.limits;
  parts.call_timeout = self->options_.call_timeout;
  parts.retry_pause = self->options_.retry_pause;
  auto task = std::make_shared<RunTask>(std::move(parts), run, *definition, *std::move(steps),
                                        *std::move(decisions));
  if (self->stopping_) co_return;
  self->running_[run.id] = task;
  auto main = task->Main();
  co_await std::move(main);
  if (const auto it = self->running_.find(run.id);
      it != self->running_.end() && it->second == task) {
    self->running_.erase(it);
  }
}

}  // namespace metamcp::workflow
