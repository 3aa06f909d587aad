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
constexpr int64_t kBusPage = 500;
constexpr std::chrono::milliseconds kWatchPoll(500);
constexpr std::chrono::seconds kDrain(10);
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
}

Awaitable<void> Engine::Stop() {
  if (stopping_) co_return;
  stopping_ = true;
  loops_.CancelAll();
  co_await loops_.Join(std::chrono::seconds(5));
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
    if (!look_) {
      boost::asio::steady_timer timer(executor_, options_.poll);
      timer.async_wait([this](const boost::system::error_code& error) {
        if (!error) due_.Notify();
      });
      co_await due_.Wait();
    }
    look_ = false;
    auto renewing = Renew();
    co_await std::move(renewing);
  }
}

Awaitable<absl::StatusOr<size_t>> Engine::Claim() {
  if (running_.size() >= options_.runs_max) co_return size_t{0};
  const int64_t now = NowMicros();
  const auto limit =
      static_cast<int64_t>(std::min<size_t>(options_.runs_max - running_.size(), 64));
  std::function<absl::StatusOr<std::vector<RunRow>>(db::Database&)> op =
      [owner = options_.owner, now, until = now + Us(options_.lease), limit](
          db::Database& database) { return SqlStore(database).Claim(owner, now, until, limit); };
  const CallContext ctx;
  auto running = database_.Run<std::vector<RunRow>>(ctx, std::move(op));
  auto runs = co_await std::move(running);
  if (!runs.ok()) co_return runs.status();
  for (RunRow& run : *runs) runs_.Spawn("workflow.work", Work(this, std::move(run)));
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

// Leases that could not be renewed in time are lost: a process that froze must not go on.
Awaitable<void> Engine::Renew() {
  if (running_.empty()) co_return;
  std::function<absl::StatusOr<std::vector<SqlStore::Owned>>(db::Database&)> op =
      [owner = options_.owner, until = NowMicros() + Us(options_.lease)](db::Database& database) {
        return SqlStore(database).Renew(owner, until);
      };
  // What is claimed meanwhile is not part of the answer.
  const auto asked = running_;
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
  self->due_.Notify();
}

Awaitable<absl::StatusOr<RunRow>> Engine::StartRun(NewRun run) {
  std::function<absl::StatusOr<DefinitionRow>(db::Database&)> find = [run](db::Database& database) {
    return SqlStore(database).GetDefinition(run.tenant, run.name_space, run.name, run.version);
  };
  const CallContext ctx;
  auto finding = database_.Run<DefinitionRow>(ctx, std::move(find));
  const auto definition = co_await std::move(finding);
  if (!definition.ok()) co_return definition.status();
  RunRow row;
  row.id = NewUuidV7();
  row.tenant = run.tenant;
  row.name_space = run.name_space;
  row.name = run.name;
  row.version = definition->version;
  row.state = run_state::kPending;
  row.input = run.input.empty() ? "null" : run.input;
  row.principal = run.principal;
  row.request_key = run.request_key.empty() ? row.id : run.request_key;
  row.parent_run = run.parent_run;
  row.parent_path = run.parent_path;
  row.created_us = NowMicros();
  auto loading = Load(row);
  const auto compiled = co_await std::move(loading);
  if (!compiled.ok()) co_return compiled.status();
  if (!(*compiled)->input_schema.empty()) {
    const auto schema = json::CompileSchema((*compiled)->input_schema);
    if (schema.ok()) {
      const absl::Status valid = (*schema)->ValidateText(row.input == "null" ? "{}" : row.input);
      if (!valid.ok()) {
        co_return MakeError("ARGUMENT_INVALID", "workflow", StrCat("input: ", Sv(valid.message())));
      }
    }
  }
  std::function<absl::StatusOr<RunRow>(db::Database&)> create = [row](db::Database& database) {
    return SqlStore(database).CreateRun(row);
  };
  auto creating = database_.Run<RunRow>(ctx, std::move(create));
  auto created = co_await std::move(creating);
  LookNow();
  co_return created;
}

Awaitable<absl::StatusOr<std::vector<DecisionRow>>> Engine::Decisions(std::string run_id) {
  std::function<absl::StatusOr<std::vector<DecisionRow>>(db::Database&)> op =
      [run_id](db::Database& database) { return SqlStore(database).Decisions(run_id); };
  const CallContext ctx;
  auto running = database_.Run<std::vector<DecisionRow>>(ctx, std::move(op));
  co_return co_await std::move(running);
}

Awaitable<absl::StatusOr<std::vector<BusEvent>>> Engine::ReadBus(std::string tenant,
                                                                 int64_t after) {
  std::function<absl::StatusOr<std::vector<BusEvent>>(db::Database&)> op =
      [tenant, after](db::Database& database) {
        return SqlStore(database).ReadBus(tenant, after, kBusPage);
      };
  const CallContext ctx;
  auto running = database_.Run<std::vector<BusEvent>>(ctx, std::move(op));
  co_return co_await std::move(running);
}

Awaitable<absl::StatusOr<int64_t>> Engine::BusHead(std::string tenant) {
  std::function<absl::StatusOr<int64_t>(db::Database&)> op = [tenant](db::Database& database) {
    return SqlStore(database).BusHead(tenant);
  };
  const CallContext ctx;
  auto running = database_.Run<int64_t>(ctx, std::move(op));
  co_return co_await std::move(running);
}

Awaitable<absl::StatusOr<RunRow>> Engine::StartChild(const RunRow& parent, std::string path,
                                                     std::string name_space, std::string name,
                                                     std::string version, std::string input) {
  NewRun run;
  run.tenant = parent.tenant;
  run.name_space = name_space.empty() ? parent.name_space : name_space;
  run.name = std::move(name);
  run.version = std::move(version);
  run.input = std::move(input);
  run.principal = parent.principal;
  run.request_key = StrCat("child:", parent.id, path);
  run.parent_run = parent.id;
  run.parent_path = std::move(path);
  auto starting = StartRun(std::move(run));
  co_return co_await std::move(starting);
}

Awaitable<absl::StatusOr<RunRow>> Engine::GetRun(std::string tenant, std::string id) {
  std::function<absl::StatusOr<RunRow>(db::Database&)> op = [tenant, id](db::Database& database) {
    return SqlStore(database).GetRun(tenant, id);
  };
  const CallContext ctx;
  auto running = database_.Run<RunRow>(ctx, std::move(op));
  co_return co_await std::move(running);
}

void Engine::Poke(const std::string& run_id) {
  if (const auto it = running_.find(run_id); it != running_.end()) it->second->Look();
}

void Engine::PokeListeners() {
  for (const auto& [id, task] : running_) {
    if (task->listens()) task->Look();
  }
}

}  // namespace metamcp::workflow
