#include "services/workflow/workflow_service.h"

#include <algorithm>
#include <chrono>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "services/workflow/checker.h"
#include "services/workflow/convert.h"
#include "services/workflow/engine/run_principal.h"

namespace metamcp::workflow {
namespace {

constexpr int kPageDefault = 50;
constexpr int kPageMax = 500;
constexpr int64_t kEventsPage = 500;

std::string NameSpace(const std::string& asked) { return asked.empty() ? "default" : asked; }

std::string Who(const CallContext& ctx) {
  return ctx.principal == nullptr ? std::string("unknown") : ctx.principal->subject;
}

absl::Status Invalid(std::string_view why) {
  return MakeError("ARGUMENT_INVALID", "workflow", why);
}

absl::Status ProblemsError(const std::vector<Problem>& problems) {
  std::string text;
  for (size_t i = 0; i < problems.size() && i < 5; ++i) {
    text += StrCat(i > 0 ? "; " : "", problems[i].path.empty() ? "document" : problems[i].path,
                   ": ", problems[i].message);
  }
  if (problems.size() > 5) text += StrCat("; and ", problems.size() - 5, " more");
  return MakeError("WORKFLOW_INVALID", "workflow", text);
}

constexpr int64_t kStepsDefault = 500;
constexpr int64_t kStepsMax = 5'000;
// A run's own input and output are in its answer up to this size.
constexpr int64_t kOwnValueMax = 1 << 20;

struct Snapshot {
  RunRow run;
  std::vector<StepRow> steps, pending;
};

absl::StatusOr<Snapshot> ReadSnapshot(SqlStore& store, const std::string& tenant,
                                      const std::string& id, int64_t after, int64_t limit) {
  Snapshot out;
  METAMCP_ASSIGN_OR_RETURN(out.run, store.RunHead(tenant, id));
  for (std::string* value : {&out.run.input, &out.run.output, &out.run.error}) {
    if (SizeOf(*value) > kOwnValueMax) continue;
    METAMCP_ASSIGN_OR_RETURN(*value, store.GetValue(id, *value));
  }
  METAMCP_ASSIGN_OR_RETURN(out.steps, store.StepsPage(id, after, limit));
  METAMCP_ASSIGN_OR_RETURN(out.pending, store.Pending(id));
  return out;
}

// The answer `text` to the one thing that the request means.
struct Answer {
  DecisionRow row;
  bool consent = false;
};
absl::StatusOr<Answer> AnswerTo(SqlStore& store, const std::string& tenant,
                                const v1::DecideRunRequest& request, const std::string& text) {
  METAMCP_RETURN_IF_ERROR(store.RunHead(tenant, request.id()).status());
  METAMCP_ASSIGN_OR_RETURN(const std::vector<StepRow> waiting, store.Pending(request.id()));
  std::vector<const StepRow*> pending;
  for (const StepRow& step : waiting) {
    const bool meant = request.path().empty() || step.path == request.path() ||
                       step.path == StrCat(request.path(), "#", step.kind);
    if (meant) pending.push_back(&step);
  }
  if (pending.empty()) {
    return MakeError("NOT_FOUND", "workflow", "nothing waits for an answer there");
  }
  if (pending.size() > 1) return Invalid("several things wait for an answer; name the path");
  const bool approval = WantsApproval(*pending[0]);
  const std::vector<std::string> allowed =
      approval ? std::vector<std::string>{"approve", "deny"}
               : std::vector<std::string>{"retry", "edit", "done", "skip", "rollback"};
  if (std::find(allowed.begin(), allowed.end(), request.action()) == allowed.end()) {
    return Invalid(approval ? "action must be approve or deny"
                            : "action must be retry, edit, done, skip or rollback");
  }
  if ((request.action() == "edit") != !request.arguments().empty()) {
    return Invalid("arguments belong to the action edit");
  }
  Answer out;
  out.row.path = pending[0]->path;
  out.row.attempt = pending[0]->attempt;
  out.row.decision = text;
  out.consent = pending[0]->kind == "consent";
  return out;
}

}  // namespace

Awaitable<absl::StatusOr<v1::CreateWorkflowResponse>> WorkflowService::CreateWorkflow(
    const CallContext& ctx, v1::CreateWorkflowRequest request) {
  auto checking = CheckDocument(ctx, request.source(), limits_, jq_, caller_);
  const auto checked = co_await std::move(checking);
  if (!checked.ok()) co_return checked.status();
  if (checked->definition == nullptr) co_return ProblemsError(checked->problems);
  DefinitionRow row = ToRow(*checked->definition, request.source());
  row.tenant = ctx.tenant();
  row.created_us = NowMicros();
  row.created_by = Who(ctx);
  std::function<absl::StatusOr<bool>(db::Database&)> op = [row](db::Database& database) {
    return SqlStore(database).PutDefinition(row);
  };
  auto storing = database_.Run<bool>(ctx, std::move(op));
  const auto created = co_await std::move(storing);
  if (!created.ok()) co_return created.status();
  v1::CreateWorkflowResponse response;
  *response.mutable_workflow() = ToProto(row);
  response.set_created(*created);
  co_return response;
}

Awaitable<absl::StatusOr<v1::ValidateWorkflowResponse>> WorkflowService::ValidateWorkflow(
    const CallContext& ctx, v1::ValidateWorkflowRequest request) {
  auto checking = CheckDocument(ctx, request.source(), limits_, jq_, caller_);
  const auto checked = co_await std::move(checking);
  if (!checked.ok()) co_return checked.status();
  v1::ValidateWorkflowResponse response;
  response.set_valid(checked->definition != nullptr);
  for (const Problem& problem : checked->problems) {
    v1::Problem& out = *response.add_problems();
    out.set_path(problem.path);
    out.set_message(problem.message);
  }
  if (checked->definition != nullptr) {
    *response.mutable_workflow() = ToProto(ToRow(*checked->definition, request.source()));
    for (const std::string& tool : checked->definition->tools) response.add_tools(tool);
  }
  co_return response;
}

Awaitable<absl::StatusOr<v1::ListWorkflowsResponse>> WorkflowService::ListWorkflows(
    const CallContext& ctx, v1::ListWorkflowsRequest request) {
  std::function<absl::StatusOr<std::vector<DefinitionRow>>(db::Database&)> op =
      [tenant = ctx.tenant()](db::Database& database) {
        return SqlStore(database).ListDefinitions(tenant);
      };
  auto reading = database_.Run<std::vector<DefinitionRow>>(ctx, std::move(op));
  const auto rows = co_await std::move(reading);
  if (!rows.ok()) co_return rows.status();
  const int asked = request.page_size() > 0 ? request.page_size() : kPageDefault;
  const auto size = static_cast<size_t>(std::min(asked, kPageMax));
  v1::ListWorkflowsResponse response;
  for (const DefinitionRow& row : *rows) {
    const std::string key = StrCat(row.name_space, "/", row.name);
    if (!request.page_token().empty() && key <= request.page_token()) continue;
    if (static_cast<size_t>(response.workflows_size()) == size) {
      const v1::Workflow& last = response.workflows(response.workflows_size() - 1);
      response.set_next_page_token(StrCat(last.namespace_(), "/", last.name()));
      break;
    }
    v1::Workflow& out = *response.add_workflows();
    out = ToProto(row);
    out.clear_document();
    out.clear_source();
  }
  co_return response;
}

Awaitable<absl::StatusOr<v1::GetWorkflowResponse>> WorkflowService::GetWorkflow(
    const CallContext& ctx, v1::GetWorkflowRequest request) {
  std::function<absl::StatusOr<v1::GetWorkflowResponse>(db::Database&)> op =
      [tenant = ctx.tenant(),
       request](db::Database& database) -> absl::StatusOr<v1::GetWorkflowResponse> {
    SqlStore store(database);
    const std::string name_space = NameSpace(request.namespace_());
    METAMCP_ASSIGN_OR_RETURN(
        const DefinitionRow row,
        store.GetDefinition(tenant, name_space, request.name(), request.version()));
    METAMCP_ASSIGN_OR_RETURN(const auto versions,
                             store.Versions(tenant, name_space, request.name()));
    v1::GetWorkflowResponse response;
    *response.mutable_workflow() = ToProto(row);
    for (const std::string& version : versions) response.add_versions(version);
    return response;
  };
  auto reading = database_.Run<v1::GetWorkflowResponse>(ctx, std::move(op));
  co_return co_await std::move(reading);
}

Awaitable<absl::StatusOr<v1::DeleteWorkflowResponse>> WorkflowService::DeleteWorkflow(
    const CallContext& ctx, v1::DeleteWorkflowRequest request) {
  std::function<absl::Status(db::Database&)> op = [tenant = ctx.tenant(),
                                                   request](db::Database& database) {
    return SqlStore(database).DeleteDefinition(tenant, NameSpace(request.namespace_()),
                                               request.name());
  };
  auto deleting = database_.RunStatus(ctx, std::move(op));
  const absl::Status deleted = co_await std::move(deleting);
  if (!deleted.ok()) co_return deleted;
  co_return v1::DeleteWorkflowResponse();
}

Awaitable<absl::StatusOr<v1::StartRunResponse>> WorkflowService::StartRun(
    const CallContext& ctx, v1::StartRunRequest request) {
  if (!request.input().empty() && !json::ScanValue(request.input()).ok()) {
    co_return Invalid("input is not JSON");
  }
  auto starting = Begin(ctx, std::move(request), "");
  const auto started = co_await std::move(starting);
  if (!started.ok()) co_return started.status();
  v1::StartRunResponse response;
  *response.mutable_run() = ToProto(*started);
  co_return response;
}

Awaitable<absl::StatusOr<v1::ListRunsResponse>> WorkflowService::ListRuns(
    const CallContext& ctx, v1::ListRunsRequest request) {
  const int asked = request.page_size() > 0 ? request.page_size() : kPageDefault;
  const int64_t size = std::min(asked, kPageMax);
  std::function<absl::StatusOr<std::vector<RunRow>>(db::Database&)> op =
      [tenant = ctx.tenant(), request, size](db::Database& database) {
        return SqlStore(database).ListRuns(tenant, request.workflow(), request.state(),
                                           request.page_token(), size);
      };
  auto reading = database_.Run<std::vector<RunRow>>(ctx, std::move(op));
  const auto rows = co_await std::move(reading);
  if (!rows.ok()) co_return rows.status();
  v1::ListRunsResponse response;
  for (const RunRow& row : *rows) {
    v1::Run& run = *response.add_runs();
    run = ToProto(row);
    run.clear_input();
    run.clear_output();
  }
  if (static_cast<int64_t>(rows->size()) == size) response.set_next_page_token(rows->back().id);
  co_return response;
}

Awaitable<absl::StatusOr<v1::GetRunResponse>> WorkflowService::GetRun(const CallContext& ctx,
                                                                      v1::GetRunRequest request) {
  const int64_t asked = request.steps_max() > 0 ? request.steps_max() : kStepsDefault;
  const int64_t limit = std::min(asked, kStepsMax);
  std::function<absl::StatusOr<Snapshot>(db::Database&)> op =
      [tenant = ctx.tenant(), id = request.id(), after = request.steps_after(),
       limit](db::Database& database) {
        SqlStore store(database);
        return ReadSnapshot(store, tenant, id, after, limit);
      };
  auto reading = database_.Run<Snapshot>(ctx, std::move(op));
  const auto snapshot = co_await std::move(reading);
  if (!snapshot.ok()) co_return snapshot.status();
  v1::GetRunResponse response;
  *response.mutable_run() = ToProto(snapshot->run);
  response.mutable_run()->set_started_by(PrincipalOf(snapshot->run)->subject);
  AddSteps(snapshot->steps, response.mutable_run());
  AddPending(snapshot->pending, response.mutable_run());
  if (static_cast<int64_t>(snapshot->steps.size()) == limit) {
    response.set_next_steps_after(snapshot->steps.back().ord);
  }
  co_return response;
}

Awaitable<absl::Status> WorkflowService::WatchRun(const CallContext& ctx,
                                                  v1::WatchRunRequest request,
                                                  Sink<v1::WatchRunResponse>& sink) {
  struct Page {
    RunRow run;
    std::vector<EventRow> events;
  };
  int64_t after = request.after_seq();
  for (;;) {
    std::function<absl::StatusOr<Page>(db::Database&)> op =
        [tenant = ctx.tenant(), id = request.id(),
         after](db::Database& database) -> absl::StatusOr<Page> {
      SqlStore store(database);
      Page out;
      METAMCP_ASSIGN_OR_RETURN(out.run, store.RunHead(tenant, id));
      METAMCP_ASSIGN_OR_RETURN(out.events, store.Events(id, after, kEventsPage));
      return out;
    };
    auto reading = database_.Run<Page>(ctx, std::move(op));
    const auto page = co_await std::move(reading);
    if (!page.ok()) co_return page.status();
    for (const EventRow& event : page->events) {
      after = event.seq;
      v1::WatchRunResponse message;
      *message.mutable_event() = ToProto(event);
      message.set_state(page->run.state);
      auto writing = sink.Write(std::move(message));
      const absl::Status written = co_await std::move(writing);
      if (!written.ok()) co_return written;
    }
    if (!page->events.empty()) continue;
    if (IsFinal(page->run.state)) co_return absl::OkStatus();
    auto waiting = engine_.Changed();
    co_await std::move(waiting);
  }
}

Awaitable<absl::Status> WorkflowService::Control(const CallContext& ctx, std::string id,
                                                 int64_t set, int64_t clear) {
  std::function<absl::StatusOr<RunRow>(db::Database&)> op = [tenant = ctx.tenant(), id, set,
                                                             clear](db::Database& database) {
    return SqlStore(database).SetControl(tenant, id, set, clear, NowMicros());
  };
  auto changing = database_.Run<RunRow>(ctx, std::move(op));
  const auto changed = co_await std::move(changing);
  engine_.LookNow();
  co_return changed.status();
}

Awaitable<absl::StatusOr<v1::PauseRunResponse>> WorkflowService::PauseRun(
    const CallContext& ctx, v1::PauseRunRequest request) {
  auto changing = Control(ctx, request.id(), kPause, 0);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(changing));
  co_return v1::PauseRunResponse();
}

Awaitable<absl::StatusOr<v1::ResumeRunResponse>> WorkflowService::ResumeRun(
    const CallContext& ctx, v1::ResumeRunRequest request) {
  auto changing = Control(ctx, request.id(), 0, kPause);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(changing));
  co_return v1::ResumeRunResponse();
}

Awaitable<absl::StatusOr<v1::CancelRunResponse>> WorkflowService::CancelRun(
    const CallContext& ctx, v1::CancelRunRequest request) {
  int64_t bits = kCancel;
  if (request.rollback()) bits |= kRollback;
  auto changing = Control(ctx, request.id(), bits, kPause);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(changing));
  co_return v1::CancelRunResponse();
}

Awaitable<absl::StatusOr<v1::DecideRunResponse>> WorkflowService::DecideRun(
    const CallContext& ctx, v1::DecideRunRequest request) {
  if (!request.result().empty() && !json::ScanValue(request.result()).ok()) {
    co_return Invalid("result is not JSON");
  }
  if (!request.arguments().empty() && !json::ScanObject(request.arguments()).ok()) {
    co_return Invalid("arguments must be an object");
  }
  json::ObjectWriter decision;
  decision.AddString("action", request.action());
  decision.AddString("by", Who(ctx));
  if (!request.result().empty()) decision.Add("result", request.result());
  if (!request.comment().empty()) decision.AddString("comment", request.comment());
  if (!request.arguments().empty()) decision.Add("arguments", request.arguments());
  std::function<absl::StatusOr<Answer>(db::Database&)> op =
      [tenant = ctx.tenant(), who = Who(ctx), request,
       text = std::move(decision).Build()](db::Database& database) -> absl::StatusOr<Answer> {
    SqlStore store(database);
    METAMCP_ASSIGN_OR_RETURN(Answer answer, AnswerTo(store, tenant, request, text));
    if (!answer.consent) {
      METAMCP_RETURN_IF_ERROR(store.Decide(tenant, request.id(), answer.row, who, NowMicros()));
    }
    return answer;
  };
  auto deciding = database_.Run<Answer>(ctx, std::move(op));
  METAMCP_CO_ASSIGN_OR_RETURN(const Answer answer, co_await std::move(deciding));
  if (answer.consent) {
    auto consenting = engine_.consents().Decide(ctx, request.id(), answer.row);
    METAMCP_CO_RETURN_IF_ERROR(co_await std::move(consenting));
  }
  engine_.LookNow();
  co_return v1::DecideRunResponse();
}

}  // namespace metamcp::workflow
