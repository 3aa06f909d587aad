// Starting runs, and what runs ask the engine for.
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/schema.h"
#include "services/workflow/engine/engine.h"
#include "services/workflow/engine/run_principal.h"

namespace metamcp::workflow {
namespace {

constexpr int64_t kBusPage = 500;

}  // namespace

Awaitable<absl::StatusOr<RunRow>> Engine::StartRun(NewRun run) {
  if (RunsAbove(run.principal) >= options_.limits.runs_deep_max) {
    co_return MakeError(
        "WORKFLOW_TOO_DEEP", "workflow",
        StrCat("\"", run.name, "\" would be the run number ", options_.limits.runs_deep_max + 1,
               " that runs start of each other; a workflow probably calls itself"));
  }
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
  row.subject = run.subject.empty() ? PrincipalOf(row)->subject : run.subject;
  row.mode = run.mode;
  row.origin = run.origin;
  row.detached = run.detached;
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
  std::function<absl::StatusOr<RunRow>(db::Database&)> create =
      [row, most = options_.runs_per_principal_max](db::Database& database) {
        return SqlStore(database).CreateRun(row, most);
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
  for (;;) {
    std::function<absl::StatusOr<int64_t>(db::Database&)> op = [tenant](db::Database& database) {
      return SqlStore(database).BusHead(tenant);
    };
    const CallContext ctx;
    auto running = database_.Run<int64_t>(ctx, std::move(op));
    const auto head = co_await std::move(running);
    if (head.ok() || !absl::IsUnavailable(head.status()) || stopping_) co_return head;
    const bool slept = co_await Sleep(options_.poll);
    if (!slept) co_return head;
  }
}

Awaitable<absl::StatusOr<RunRow>> Engine::StartChild(const RunRow& parent, ChildSpec spec) {
  NewRun run;
  run.tenant = parent.tenant;
  run.name_space = spec.name_space.empty() ? parent.name_space : spec.name_space;
  run.name = std::move(spec.name);
  run.version = std::move(spec.version);
  run.input = std::move(spec.input);
  run.principal = PrincipalJson(*PrincipalOf(parent));
  run.subject = parent.subject;
  run.mode = parent.mode;
  run.request_key = StrCat("child:", parent.id, spec.path);
  if (spec.attempt > 1) run.request_key += StrCat("#", spec.attempt);
  run.parent_run = parent.id;
  run.parent_path = std::move(spec.path);
  run.detached = !spec.awaited;
  // A database that is away is waited for; the key makes it one run, however often it is asked.
  for (;;) {
    auto starting = StartRun(run);
    auto started = co_await std::move(starting);
    const bool passes = absl::IsUnavailable(started.status()) || absl::IsUnknown(started.status());
    if (started.ok() || !passes || stopping_) co_return started;
    const bool slept = co_await Sleep(options_.poll);
    if (!slept) co_return started;
  }
}

Awaitable<absl::StatusOr<std::string>> Engine::LoadValue(std::string run_id,
                                                         std::string reference) {
  for (;;) {
    std::function<absl::StatusOr<std::string>(db::Database&)> op =
        [run_id, reference](db::Database& database) {
          return SqlStore(database).GetValue(run_id, reference);
        };
    const CallContext ctx;
    auto running = database_.Run<std::string>(ctx, std::move(op));
    auto value = co_await std::move(running);
    if (value.ok() || !absl::IsUnavailable(value.status()) || stopping_) co_return value;
    const bool slept = co_await Sleep(options_.poll);
    if (!slept) co_return value;
  }
}

Awaitable<absl::StatusOr<RunRow>> Engine::GetRun(std::string tenant, std::string id) {
  // What has not ended is looked at often, and its values are not of interest.
  std::function<absl::StatusOr<RunRow>(db::Database&)> op =
      [tenant, id](db::Database& database) -> absl::StatusOr<RunRow> {
    SqlStore store(database);
    auto head = store.RunHead(tenant, id);
    if (!head.ok() || !IsFinal(head->state)) return head;
    return store.GetRun(tenant, id);
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
  // Those that rest are due.
  LookNow();
}

}  // namespace metamcp::workflow
