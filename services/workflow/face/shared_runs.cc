// Runs: seen and controlled by who started them, by the workflow's owner and by administrators.
#include <algorithm>
#include <map>

#include "common/auth/authenticator.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/workflow/convert.h"
#include "services/workflow/engine/run_principal.h"
#include "services/workflow/face/run_view.h"
#include "services/workflow/face/shared_service.h"

namespace metamcp::workflow {
namespace {

constexpr int kPageDefault = 50;
constexpr int kPageMax = 500;
// Rows that one call looks at to fill a page for somebody who may not see all.
constexpr int64_t kScanMax = 5000;

const Principal& Who(const CallContext& ctx) {
  static const Principal kNobody;
  return ctx.principal ? *ctx.principal : kNobody;
}

absl::Status NoSuchRun(const std::string& id) {
  return MakeError("NOT_FOUND", "workflow", StrCat("no run \"", id, "\""));
}

absl::Status NeedsOperator() {
  return MakeError("PERMISSION_DENIED", "workflow", "this needs the role operator");
}

}  // namespace

Awaitable<absl::StatusOr<SharedWorkflowService::Owned>> SharedWorkflowService::Run(
    const CallContext& ctx, std::string id) {
  std::function<absl::StatusOr<Owned>(db::Database&)> op =
      [tenant = ctx.tenant(), id](db::Database& database) -> absl::StatusOr<Owned> {
    SqlStore store(database);
    Owned out;
    METAMCP_ASSIGN_OR_RETURN(out.run, store.RunHead(tenant, id));
    out.starter = PrincipalOf(out.run)->subject;
    METAMCP_ASSIGN_OR_RETURN(const ObjectRow object, FaceStore(database).GetObject(
                                                         tenant, out.run.name_space, out.run.name));
    out.sharing = object.sharing;
    METAMCP_ASSIGN_OR_RETURN(out.steps, store.Pending(id));
    METAMCP_ASSIGN_OR_RETURN(out.decisions, store.Decisions(id));
    return out;
  };
  auto reading = database_.Run<Owned>(ctx, std::move(op));
  co_return co_await std::move(reading);
}

Awaitable<absl::Status> SharedWorkflowService::MayHandle(const CallContext& ctx, std::string id) {
  auto finding = Run(ctx, id);
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  if (!MayHandleRun(Who(ctx), found->starter, found->sharing)) co_return NoSuchRun(id);
  co_return absl::OkStatus();
}

// What `next` begins, once `asking` has said that it may be.
template <typename Reply>
static Awaitable<absl::StatusOr<Reply>> Guarded(
    Awaitable<absl::Status> asking, std::function<Awaitable<absl::StatusOr<Reply>>()> next) {
  const absl::Status may = co_await std::move(asking);
  if (!may.ok()) co_return may;
  auto doing = next();
  co_return co_await std::move(doing);
}

Awaitable<absl::StatusOr<v1::StartRunResponse>> SharedWorkflowService::StartRun(
    const CallContext& ctx, v1::StartRunRequest request) {
  auto asking = Object(ctx, request.namespace_(), request.name(), Need::kSee);
  const auto object = co_await std::move(asking);
  if (!object.ok()) co_return object.status();
  auto starting = WorkflowService::StartRun(ctx, std::move(request));
  auto response = co_await std::move(starting);
  if (response.ok()) response->mutable_run()->set_started_by(Who(ctx).subject);
  co_return response;
}

Awaitable<absl::StatusOr<v1::ListRunsResponse>> SharedWorkflowService::ListRuns(
    const CallContext& ctx, v1::ListRunsRequest request) {
  const int asked = request.page_size() > 0 ? request.page_size() : kPageDefault;
  const auto size = static_cast<int64_t>(std::min(asked, kPageMax));
  std::function<absl::StatusOr<v1::ListRunsResponse>(db::Database&)> op =
      [who = Who(ctx), tenant = ctx.tenant(), request,
       size](db::Database& database) -> absl::StatusOr<v1::ListRunsResponse> {
    SqlStore store(database);
    std::map<std::string, Sharing> known;
    v1::ListRunsResponse out;
    std::string before = request.page_token();
    for (int64_t scanned = 0; scanned < kScanMax;) {
      METAMCP_ASSIGN_OR_RETURN(const auto rows, store.ListRuns(tenant, request.workflow(),
                                                               request.state(), before, size));
      for (const RunRow& row : rows) {
        before = row.id;
        const std::string key = StrCat(row.name_space, "/", row.name);
        if (known.find(key) == known.end()) {
          METAMCP_ASSIGN_OR_RETURN(const ObjectRow object,
                                   FaceStore(database).GetObject(tenant, row.name_space, row.name));
          known[key] = object.sharing;
        }
        const std::string starter = PrincipalOf(row)->subject;
        if (!MayHandleRun(who, starter, known[key])) continue;
        v1::Run& run = *out.add_runs();
        run = ToProto(row);
        run.set_started_by(starter);
        run.clear_input();
        run.clear_output();
        if (out.runs_size() == size) break;
      }
      if (out.runs_size() == size) break;
      if (static_cast<int64_t>(rows.size()) < size) return out;
      scanned += static_cast<int64_t>(rows.size());
    }
    out.set_next_page_token(before);
    return out;
  };
  auto reading = database_.Run<v1::ListRunsResponse>(ctx, std::move(op));
  co_return co_await std::move(reading);
}

Awaitable<absl::StatusOr<v1::GetRunResponse>> SharedWorkflowService::GetRun(
    const CallContext& ctx, v1::GetRunRequest request) {
  auto finding = Run(ctx, request.id());
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  const Principal& who = Who(ctx);
  const std::vector<OpenApproval> open = OpenApprovals(found->steps, found->decisions);
  const auto may_approve = [&](const OpenApproval& approval) {
    return MayApprove(who, found->starter, found->sharing, ReadApprovers(approval.detail));
  };
  // Who is to approve sees what he decides about.
  if (!MayHandleRun(who, found->starter, found->sharing) &&
      std::none_of(open.begin(), open.end(), may_approve)) {
    co_return NoSuchRun(request.id());
  }
  auto getting = WorkflowService::GetRun(ctx, std::move(request));
  auto response = co_await std::move(getting);
  if (!response.ok()) co_return response;
  for (v1::Pending& pending : *response->mutable_run()->mutable_pending()) {
    if (pending.kind() == "decision") {
      pending.set_may_decide(MayHandleRun(who, found->starter, found->sharing) &&
                             auth::HasRole(who, "operator"));
      continue;
    }
    for (const OpenApproval& approval : open) {
      if (approval.path != StrCat(pending.path(), "#", approval.kind)) continue;
      for (const std::string& name : ReadApprovers(approval.detail).who) {
        pending.add_approvers(name);
      }
      pending.set_detail(approval.shown());
      pending.set_may_decide(may_approve(approval) && !HasApproved(approval, who.subject));
    }
  }
  co_return response;
}

Awaitable<absl::Status> SharedWorkflowService::WatchRun(const CallContext& ctx,
                                                        v1::WatchRunRequest request,
                                                        Sink<v1::WatchRunResponse>& sink) {
  auto asking = MayHandle(ctx, request.id());
  const absl::Status may = co_await std::move(asking);
  if (!may.ok()) co_return may;
  auto watching = WorkflowService::WatchRun(ctx, std::move(request), sink);
  co_return co_await std::move(watching);
}

Awaitable<absl::StatusOr<v1::PauseRunResponse>> SharedWorkflowService::PauseRun(
    const CallContext& ctx, v1::PauseRunRequest request) {
  auto asking = MayHandle(ctx, request.id());
  return Guarded<v1::PauseRunResponse>(std::move(asking),
                                       [this, &ctx, request = std::move(request)] {
                                         return WorkflowService::PauseRun(ctx, request);
                                       });
}

Awaitable<absl::StatusOr<v1::ResumeRunResponse>> SharedWorkflowService::ResumeRun(
    const CallContext& ctx, v1::ResumeRunRequest request) {
  auto asking = MayHandle(ctx, request.id());
  return Guarded<v1::ResumeRunResponse>(std::move(asking),
                                        [this, &ctx, request = std::move(request)] {
                                          return WorkflowService::ResumeRun(ctx, request);
                                        });
}

Awaitable<absl::StatusOr<v1::CancelRunResponse>> SharedWorkflowService::CancelRun(
    const CallContext& ctx, v1::CancelRunRequest request) {
  auto asking = MayHandle(ctx, request.id());
  return Guarded<v1::CancelRunResponse>(std::move(asking),
                                        [this, &ctx, request = std::move(request)] {
                                          return WorkflowService::CancelRun(ctx, request);
                                        });
}

Awaitable<absl::StatusOr<v1::RetryRunResponse>> SharedWorkflowService::RetryRun(
    const CallContext& ctx, v1::RetryRunRequest request) {
  auto asking = MayHandle(ctx, request.id());
  return Guarded<v1::RetryRunResponse>(std::move(asking),
                                       [this, &ctx, request = std::move(request)] {
                                         return WorkflowService::RetryRun(ctx, request);
                                       });
}

Awaitable<absl::StatusOr<v1::DecideRunResponse>> SharedWorkflowService::DecideRun(
    const CallContext& ctx, v1::DecideRunRequest request) {
  auto finding = Run(ctx, request.id());
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  const Principal& who = Who(ctx);
  const bool handles = MayHandleRun(who, found->starter, found->sharing);
  const bool approval = request.action() == "approve" || request.action() == "deny";
  if (!approval) {
    if (!handles) co_return NoSuchRun(request.id());
    if (!auth::HasRole(who, "operator")) co_return NeedsOperator();
  }
  for (const StepRow& step : found->steps) {
    if (!approval || !WantsApproval(step) || step.state != "waiting") continue;
    const bool meant = request.path().empty() || step.path == request.path() ||
                       step.path == StrCat(request.path(), "#", step.kind);
    if (!meant || MayApprove(who, found->starter, found->sharing, ReadApprovers(step.detail))) {
      continue;
    }
    if (!handles) co_return NoSuchRun(request.id());
    co_return MakeError("PERMISSION_DENIED", "workflow",
                        StrCat(who.subject, " is not among the approvers of this step"));
  }
  if (approval && !handles && OpenApprovals(found->steps, found->decisions).empty()) {
    co_return NoSuchRun(request.id());
  }
  auto deciding = WorkflowService::DecideRun(ctx, std::move(request));
  co_return co_await std::move(deciding);
}

Awaitable<absl::StatusOr<v1::GetRunValueResponse>> SharedWorkflowService::GetRunValue(
    const CallContext& ctx, v1::GetRunValueRequest request) {
  auto asking = MayHandle(ctx, request.id());
  return Guarded<v1::GetRunValueResponse>(std::move(asking),
                                          [this, &ctx, request = std::move(request)] {
                                            return WorkflowService::GetRunValue(ctx, request);
                                          });
}

Awaitable<absl::StatusOr<v1::ExplainRunResponse>> SharedWorkflowService::ExplainRun(
    const CallContext& ctx, v1::ExplainRunRequest request) {
  auto asking = MayHandle(ctx, request.id());
  return Guarded<v1::ExplainRunResponse>(std::move(asking),
                                         [this, &ctx, request = std::move(request)] {
                                           return WorkflowService::ExplainRun(ctx, request);
                                         });
}

Awaitable<absl::StatusOr<v1::GetRunResultResponse>> SharedWorkflowService::GetRunResult(
    const CallContext& ctx, v1::GetRunResultRequest request) {
  auto asking = MayHandle(ctx, request.id());
  return Guarded<v1::GetRunResultResponse>(std::move(asking),
                                           [this, &ctx, request = std::move(request)] {
                                             return WorkflowService::GetRunResult(ctx, request);
                                           });
}

Awaitable<absl::StatusOr<v1::EditRunResponse>> SharedWorkflowService::EditRun(
    const CallContext& ctx, v1::EditRunRequest request) {
  auto asking = MayHandle(ctx, request.id());
  return Guarded<v1::EditRunResponse>(std::move(asking),
                                      [this, &ctx, request = std::move(request)] {
                                        return WorkflowService::EditRun(ctx, request);
                                      });
}

Awaitable<absl::StatusOr<v1::RerunRunResponse>> SharedWorkflowService::RerunRun(
    const CallContext& ctx, v1::RerunRunRequest request) {
  auto finding = Run(ctx, request.id());
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  if (!MayHandleRun(Who(ctx), found->starter, found->sharing)) co_return NoSuchRun(request.id());
  // Whoever started it once may have lost sight of the workflow.
  auto asking = Object(ctx, found->run.name_space, found->run.name, Need::kSee);
  const auto object = co_await std::move(asking);
  if (!object.ok()) co_return object.status();
  auto doing = WorkflowService::RerunRun(ctx, std::move(request));
  co_return co_await std::move(doing);
}

Awaitable<absl::StatusOr<v1::GetWorkflowFiguresResponse>> SharedWorkflowService::GetWorkflowFigures(
    const CallContext& ctx, v1::GetWorkflowFiguresRequest request) {
  auto asking = Object(ctx, request.namespace_(), request.name(), Need::kSee);
  const auto object = co_await std::move(asking);
  if (!object.ok()) co_return object.status();
  auto doing = WorkflowService::GetWorkflowFigures(ctx, std::move(request));
  co_return co_await std::move(doing);
}

}  // namespace metamcp::workflow
