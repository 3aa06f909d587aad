// Requests that change runs which have begun.
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "services/workflow/convert.h"
#include "services/workflow/engine/changes.h"
#include "services/workflow/engine/paths.h"
#include "services/workflow/engine/run_principal.h"
#include "services/workflow/workflow_service.h"

namespace metamcp::workflow {
namespace {

std::string Who(const CallContext& ctx) {
  return ctx.principal == nullptr ? std::string("unknown") : ctx.principal->subject;
}

absl::Status Invalid(std::string_view why) {
  return MakeError("ARGUMENT_INVALID", "workflow", why);
}

// The newest attempt of a path.
absl::StatusOr<StepRow> Newest(const std::vector<StepRow>& rows, const std::string& path) {
  const StepRow* found = nullptr;
  for (const StepRow& row : rows) {
    if (row.path == path && (found == nullptr || row.attempt > found->attempt)) found = &row;
  }
  if (found == nullptr) {
    return MakeError("NOT_FOUND", "workflow", StrCat("the run has no step ", path));
  }
  return *found;
}

absl::Status EditArguments(SqlStore& store, const CallContext& ctx,
                           const v1::EditRunRequest& request, const std::vector<StepRow>& rows,
                           const Definition& definition) {
  if (!json::ScanObject(request.arguments()).ok()) return Invalid("arguments must be an object");
  // A step that has not begun yet is named by its place.
  std::string path = request.path();
  if (const auto known = FindStep(rows, path); known.ok()) {
    path = *known;
    METAMCP_ASSIGN_OR_RETURN(const StepRow row, Newest(rows, path));
    if (row.state == "done" || row.state == "effect") {
      return MakeError("RUN_STATE", "workflow",
                       StrCat("step ", path, " is done; retry the run from it to call it again"));
    }
  }
  const auto task = definition.by_path.find(PlaceOf(path));
  if (task == definition.by_path.end()) {
    return MakeError("NOT_FOUND", "workflow", StrCat("the workflow has no step ", path));
  }
  if (task->second->kind != TaskKind::kTool) return Invalid(StrCat(path, " calls no tool"));
  json::ObjectWriter decision;
  decision.AddString("action", "edit");
  decision.AddString("by", Who(ctx));
  decision.Add("arguments", request.arguments());
  return store.EditArguments(ctx.tenant(), request.id(), path + "#edit",
                             std::move(decision).Build(), Who(ctx), NowMicros());
}

absl::Status EditRest(SqlStore& store, const CallContext& ctx, const v1::EditRunRequest& request,
                      const RunRow& run, const std::vector<StepRow>& rows) {
  SqlStore::Edit edit;
  json::ObjectWriter event;
  event.AddString("by", Who(ctx));
  if (!request.output().empty()) {
    METAMCP_ASSIGN_OR_RETURN(const std::string path, FindStep(rows, request.path()));
    METAMCP_ASSIGN_OR_RETURN(const StepRow row, Newest(rows, path));
    const bool leaf =
        row.kind == "tool" || row.kind == "http" || row.kind == "set" || row.kind == "run";
    if (!leaf) return Invalid(StrCat(path, " has no result of its own"));
    METAMCP_ASSIGN_OR_RETURN(edit.again, RowsFrom(rows, path));
    std::erase_if(edit.again, [&](const StepKey& key) { return IsBelow(key.path, path); });
    edit.step = StepKey{row.path, row.attempt};
    edit.output = row.kind == "tool" ? AsToolResult(request.output()) : request.output();
    event.AddString("result", path);
  }
  if (!request.version().empty()) {
    METAMCP_ASSIGN_OR_RETURN(
        const DefinitionRow next,
        store.GetDefinition(run.tenant, run.name_space, run.name, request.version()));
    std::vector<Problem> problems;
    const auto definition = ReadDefinition(next.document, Limits(), &problems);
    if (definition == nullptr) return Invalid("that version cannot be read");
    METAMCP_RETURN_IF_ERROR(CheckFits(*definition, rows));
    edit.version = request.version();
    event.AddString("version", request.version());
  }
  edit.event = std::move(event).Build();
  return store.EditRun(ctx.tenant(), request.id(), edit, run.event_seq, NowMicros());
}

}  // namespace

Awaitable<absl::StatusOr<v1::RetryRunResponse>> WorkflowService::RetryRun(
    const CallContext& ctx, v1::RetryRunRequest request) {
  std::function<absl::Status(db::Database&)> op =
      [tenant = ctx.tenant(), request](db::Database& database) -> absl::Status {
    SqlStore store(database);
    if (request.from().empty()) return store.Retry(tenant, request.id(), NowMicros());
    METAMCP_ASSIGN_OR_RETURN(const RunRow run, store.RunHead(tenant, request.id()));
    METAMCP_ASSIGN_OR_RETURN(const std::vector<StepRow> rows, store.Steps(request.id()));
    METAMCP_ASSIGN_OR_RETURN(const std::string path, FindStep(rows, request.from()));
    METAMCP_ASSIGN_OR_RETURN(const std::vector<StepKey> again, RowsFrom(rows, path));
    return store.RetryFrom(tenant, request.id(), again, run.event_seq, NowMicros());
  };
  auto changing = database_.RunStatus(ctx, std::move(op));
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(changing));
  engine_.LookNow();
  co_return v1::RetryRunResponse();
}

Awaitable<absl::StatusOr<v1::RerunRunResponse>> WorkflowService::RerunRun(
    const CallContext& ctx, v1::RerunRunRequest request) {
  if (!request.input().empty() && !json::ScanValue(request.input()).ok()) {
    co_return Invalid("input is not JSON");
  }
  std::function<absl::StatusOr<RunRow>(db::Database&)> op =
      [tenant = ctx.tenant(), id = request.id()](db::Database& database) {
        return SqlStore(database).GetRun(tenant, id);
      };
  auto reading = database_.Run<RunRow>(ctx, std::move(op));
  const auto before = co_await std::move(reading);
  if (!before.ok()) co_return before.status();
  v1::StartRunRequest start;
  start.set_name(before->name);
  start.set_namespace_(before->name_space);
  start.set_version(request.version().empty() ? before->version : request.version());
  start.set_input(request.input().empty() ? before->input : request.input());
  start.set_request_id(request.request_id());
  start.set_dry_run(request.dry_run());
  auto starting = Begin(ctx, std::move(start), before->id);
  const auto started = co_await std::move(starting);
  if (!started.ok()) co_return started.status();
  v1::RerunRunResponse response;
  *response.mutable_run() = ToProto(*started);
  co_return response;
}

Awaitable<absl::StatusOr<RunRow>> WorkflowService::Begin(const CallContext& ctx,
                                                         v1::StartRunRequest request,
                                                         std::string origin) {
  const std::string& mode = request.dry_run();
  if (!mode.empty() && mode != run_mode::kReads && mode != run_mode::kNothing) {
    co_return Invalid("dryRun must be reads or nothing");
  }
  Engine::NewRun run;
  run.tenant = ctx.tenant();
  run.name_space = request.namespace_().empty() ? "default" : request.namespace_();
  run.name = request.name();
  run.version = request.version();
  run.input = request.input();
  run.mode = mode;
  run.origin = std::move(origin);
  const Principal nobody;
  run.principal = PrincipalJson(ctx.principal ? *ctx.principal : nobody);
  if (!request.request_id().empty()) {
    run.request_key = StrCat("client:", ctx.principal ? ctx.principal->subject : "", ":",
                             run.name_space, "/", run.name, ":", request.request_id());
  }
  auto starting = engine_.StartRun(std::move(run));
  co_return co_await std::move(starting);
}

Awaitable<absl::StatusOr<v1::EditRunResponse>> WorkflowService::EditRun(
    const CallContext& ctx, v1::EditRunRequest request) {
  const bool arguments = !request.arguments().empty();
  if (!arguments && request.output().empty() && request.version().empty()) {
    co_return Invalid("nothing to change: give arguments, output or version");
  }
  if (arguments && (!request.output().empty() || !request.version().empty())) {
    co_return Invalid("arguments are changed by themselves");
  }
  if (request.path().empty() && request.version().empty()) co_return Invalid("path is missing");
  if (!request.output().empty() && !json::ScanValue(request.output()).ok()) {
    co_return Invalid("output is not JSON");
  }
  std::function<absl::Status(db::Database&)> op =
      [ctx, request](db::Database& database) -> absl::Status {
    SqlStore store(database);
    METAMCP_ASSIGN_OR_RETURN(const RunRow run, store.RunHead(ctx.tenant(), request.id()));
    METAMCP_ASSIGN_OR_RETURN(const std::vector<StepRow> rows, store.Steps(request.id()));
    if (request.arguments().empty()) return EditRest(store, ctx, request, run, rows);
    METAMCP_ASSIGN_OR_RETURN(
        const DefinitionRow row,
        store.GetDefinition(run.tenant, run.name_space, run.name, run.version));
    std::vector<Problem> problems;
    const auto definition = ReadDefinition(row.document, Limits(), &problems);
    if (definition == nullptr) return Invalid("the run's version cannot be read");
    return EditArguments(store, ctx, request, rows, *definition);
  };
  auto editing = database_.RunStatus(ctx, std::move(op));
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(editing));
  engine_.LookNow();
  co_return v1::EditRunResponse();
}

}  // namespace metamcp::workflow
