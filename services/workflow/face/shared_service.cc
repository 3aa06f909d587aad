#include "services/workflow/face/shared_service.h"

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/workflow/checker.h"
#include "services/workflow/face/tool_definition.h"

namespace metamcp::workflow {
namespace {

std::string NameSpace(const std::string& asked) { return asked.empty() ? "default" : asked; }

const Principal& Who(const CallContext& ctx) {
  static const Principal kNobody;
  return ctx.principal ? *ctx.principal : kNobody;
}

absl::Status NoSuch(const std::string& name) {
  return MakeError("NOT_FOUND", "workflow", StrCat("no workflow \"", name, "\""));
}

absl::Status NotTheirs(const ObjectRow& object, const Principal& who) {
  return MakeError("PERMISSION_DENIED", "workflow",
                   StrCat("the workflow \"", object.name, "\" belongs to ", object.sharing.owner,
                          "; ", who.subject, " may not change it"));
}

void ShowObject(const ObjectRow& object, v1::Workflow* out) {
  out->set_owner(object.sharing.owner);
  out->set_team(object.sharing.team);
  out->set_visibility(object.sharing.visibility);
  if (!object.published) return;
  out->set_tool(ToolName(object.name_space, object.name));
  out->set_published_version(object.published_version);
}

}  // namespace

Awaitable<absl::StatusOr<ObjectRow>> SharedWorkflowService::Object(const CallContext& ctx,
                                                                   std::string name_space,
                                                                   std::string name, Need need) {
  name_space = NameSpace(name_space);
  std::function<absl::StatusOr<ObjectRow>(db::Database&)> op = [tenant = ctx.tenant(), name_space,
                                                                name](db::Database& database) {
    return FaceStore(database).GetObject(tenant, name_space, name);
  };
  auto reading = database_.Run<ObjectRow>(ctx, std::move(op));
  auto object = co_await std::move(reading);
  if (!object.ok()) co_return object.status();
  const Principal& who = Who(ctx);
  if (!MaySee(who, object->sharing)) co_return NoSuch(name);
  if (need == Need::kChange && !MayChange(who, object->sharing) && !object->sharing.owner.empty()) {
    co_return NotTheirs(*object, who);
  }
  co_return object;
}

Awaitable<absl::Status> SharedWorkflowService::Store(const CallContext& ctx, ObjectRow row,
                                                     bool tools_change) {
  std::function<absl::Status(db::Database&)> op = [row](db::Database& database) {
    return FaceStore(database).PutObject(row, NowMicros());
  };
  auto storing = database_.RunStatus(ctx, std::move(op));
  const absl::Status stored = co_await std::move(storing);
  if (!stored.ok() || !tools_change) co_return stored;
  auto updating = publisher_.Update();
  co_return co_await std::move(updating);
}

// A workflow runs no other that its author may not run.
Awaitable<absl::Status> SharedWorkflowService::MaySeeChildren(const CallContext& ctx,
                                                              const Definition& definition) {
  for (const auto& [path, task] : definition.by_path) {
    if (task->kind != TaskKind::kRun) continue;
    const std::string name_space =
        task->child_namespace.empty() ? definition.name_space : task->child_namespace;
    auto asking = Object(ctx, name_space, task->child_name, Need::kSee);
    const auto child = co_await std::move(asking);
    if (absl::IsNotFound(child.status())) {
      co_return MakeError("WORKFLOW_INVALID", "workflow",
                          StrCat(path, ": no workflow \"", task->child_name, "\""));
    }
    if (!child.ok()) co_return child.status();
  }
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<v1::CreateWorkflowResponse>> SharedWorkflowService::CreateWorkflow(
    const CallContext& ctx, v1::CreateWorkflowRequest request) {
  std::vector<Problem> problems;
  const auto definition = ReadDefinition(request.source(), limits_, &problems);
  ObjectRow object;
  if (definition != nullptr) {
    auto asking = Object(ctx, definition->name_space, definition->name, Need::kChange);
    auto found = co_await std::move(asking);
    // A name that somebody keeps to himself is taken all the same.
    if (absl::IsNotFound(found.status())) {
      co_return MakeError("ALREADY_EXISTS", "workflow",
                          StrCat("the name ", definition->name, " is taken"));
    }
    if (!found.ok()) co_return found.status();
    object = *std::move(found);
    auto looking = MaySeeChildren(ctx, *definition);
    const absl::Status seen = co_await std::move(looking);
    if (!seen.ok()) co_return seen;
  }
  if (!request.visibility().empty() && !IsVisibility(request.visibility())) {
    co_return MakeError("ARGUMENT_INVALID", "workflow",
                        "visibility must be private, team or public");
  }
  const std::string visibility = request.visibility();
  const std::string team = request.team();
  auto creating = WorkflowService::CreateWorkflow(ctx, std::move(request));
  auto response = co_await std::move(creating);
  if (!response.ok()) co_return response;
  const bool is_new = object.sharing.owner.empty();
  if (is_new) {
    object.sharing.owner = Who(ctx).subject;
    object.sharing.team = team;
    if (!visibility.empty()) object.sharing.visibility = visibility;
  }
  if (is_new || object.published) {
    auto storing = Store(ctx, object, object.published);
    const absl::Status stored = co_await std::move(storing);
    if (!stored.ok()) co_return stored;
  }
  if (response->created()) {
    auto scheduling = StoreSchedule(ctx, *definition);
    const absl::Status scheduled = co_await std::move(scheduling);
    if (!scheduled.ok()) co_return scheduled;
  }
  ShowObject(object, response->mutable_workflow());
  co_return response;
}

Awaitable<absl::StatusOr<v1::ListWorkflowsResponse>> SharedWorkflowService::ListWorkflows(
    const CallContext& ctx, v1::ListWorkflowsRequest request) {
  auto listing = WorkflowService::ListWorkflows(ctx, std::move(request));
  auto all = co_await std::move(listing);
  if (!all.ok()) co_return all;
  v1::ListWorkflowsResponse response;
  response.set_next_page_token(all->next_page_token());
  for (v1::Workflow& workflow : *all->mutable_workflows()) {
    auto asking = Object(ctx, workflow.namespace_(), workflow.name(), Need::kSee);
    const auto object = co_await std::move(asking);
    if (absl::IsNotFound(object.status())) continue;
    if (!object.ok()) co_return object.status();
    ShowObject(*object, &workflow);
    *response.add_workflows() = std::move(workflow);
  }
  co_return response;
}

Awaitable<absl::StatusOr<v1::GetWorkflowResponse>> SharedWorkflowService::GetWorkflow(
    const CallContext& ctx, v1::GetWorkflowRequest request) {
  auto asking = Object(ctx, request.namespace_(), request.name(), Need::kSee);
  const auto object = co_await std::move(asking);
  if (!object.ok()) co_return object.status();
  auto getting = WorkflowService::GetWorkflow(ctx, std::move(request));
  auto response = co_await std::move(getting);
  if (!response.ok()) co_return response;
  ShowObject(*object, response->mutable_workflow());
  std::function<absl::StatusOr<EndedRuns>(db::Database&)> op =
      [row = *object](db::Database& database) {
        return FaceStore(database).Figures(row.tenant, row.name_space, row.name);
      };
  auto counting = database_.Run<EndedRuns>(ctx, std::move(op));
  const auto figures = co_await std::move(counting);
  if (!figures.ok()) co_return figures.status();
  response->mutable_workflow()->set_runs_ended(figures->ended);
  response->mutable_workflow()->set_runs_completed(figures->completed);
  co_return response;
}

Awaitable<absl::StatusOr<v1::DeleteWorkflowResponse>> SharedWorkflowService::DeleteWorkflow(
    const CallContext& ctx, v1::DeleteWorkflowRequest request) {
  auto asking = Object(ctx, request.namespace_(), request.name(), Need::kChange);
  auto object = co_await std::move(asking);
  if (!object.ok()) co_return object.status();
  auto deleting = WorkflowService::DeleteWorkflow(ctx, std::move(request));
  auto response = co_await std::move(deleting);
  if (!response.ok()) co_return response;
  Definition gone;
  gone.name_space = object->name_space;
  gone.name = object->name;
  auto ending = StoreSchedule(ctx, gone);
  const absl::Status ended = co_await std::move(ending);
  if (!ended.ok()) co_return ended;
  if (!object->published) co_return response;
  object->published = false;
  auto storing = Store(ctx, *object, true);
  const absl::Status stored = co_await std::move(storing);
  if (!stored.ok()) co_return stored;
  co_return response;
}

Awaitable<absl::StatusOr<v1::Workflow>> SharedWorkflowService::Shown(const CallContext& ctx,
                                                                     std::string name_space,
                                                                     std::string name) {
  v1::GetWorkflowRequest request;
  request.set_name(name);
  request.set_namespace_(name_space);
  auto getting = GetWorkflow(ctx, std::move(request));
  auto got = co_await std::move(getting);
  if (!got.ok()) co_return got.status();
  co_return std::move(*got->mutable_workflow());
}

Awaitable<absl::StatusOr<v1::PublishWorkflowResponse>> SharedWorkflowService::PublishWorkflow(
    const CallContext& ctx, v1::PublishWorkflowRequest request) {
  auto asking = Object(ctx, request.namespace_(), request.name(), Need::kChange);
  auto object = co_await std::move(asking);
  if (!object.ok()) co_return object.status();
  v1::GetWorkflowRequest wanted;
  wanted.set_name(request.name());
  wanted.set_namespace_(request.namespace_());
  wanted.set_version(request.version());
  auto getting = WorkflowService::GetWorkflow(ctx, std::move(wanted));
  const auto got = co_await std::move(getting);
  if (!got.ok()) co_return got.status();
  if (object->sharing.visibility == "private") {
    co_return MakeError("WORKFLOW_PRIVATE", "workflow",
                        StrCat("\"", object->name, "\" is private; as a tool all could call it"));
  }
  std::vector<Problem> problems;
  const auto definition = ReadDefinition(got->workflow().document(), limits_, &problems);
  if (definition == nullptr) {
    co_return MakeError("WORKFLOW_INVALID", "workflow", "the stored version cannot be read");
  }
  if (absl::Status fits = CheckPublishable(*definition); !fits.ok()) co_return fits;
  object->published = true;
  object->published_version = request.version();
  auto storing = Store(ctx, *object, true);
  const absl::Status stored = co_await std::move(storing);
  if (!stored.ok()) co_return stored;
  auto showing = Shown(ctx, request.namespace_(), request.name());
  auto shown = co_await std::move(showing);
  if (!shown.ok()) co_return shown.status();
  v1::PublishWorkflowResponse response;
  *response.mutable_workflow() = *std::move(shown);
  co_return response;
}

Awaitable<absl::StatusOr<v1::UnpublishWorkflowResponse>> SharedWorkflowService::UnpublishWorkflow(
    const CallContext& ctx, v1::UnpublishWorkflowRequest request) {
  auto asking = Object(ctx, request.namespace_(), request.name(), Need::kChange);
  auto object = co_await std::move(asking);
  if (!object.ok()) co_return object.status();
  if (!object->published) co_return v1::UnpublishWorkflowResponse();
  object->published = false;
  auto storing = Store(ctx, *object, true);
  const absl::Status stored = co_await std::move(storing);
  if (!stored.ok()) co_return stored;
  co_return v1::UnpublishWorkflowResponse();
}

Awaitable<absl::StatusOr<v1::ShareWorkflowResponse>> SharedWorkflowService::ShareWorkflow(
    const CallContext& ctx, v1::ShareWorkflowRequest request) {
  auto asking = Object(ctx, request.namespace_(), request.name(), Need::kChange);
  auto object = co_await std::move(asking);
  if (!object.ok()) co_return object.status();
  if (object->sharing.owner.empty()) co_return NoSuch(request.name());
  if (!request.visibility().empty() && !IsVisibility(request.visibility())) {
    co_return MakeError("ARGUMENT_INVALID", "workflow",
                        "visibility must be private, team or public");
  }
  if (request.visibility() == "private" && object->published) {
    co_return MakeError("WORKFLOW_PRIVATE", "workflow",
                        StrCat("\"", object->name, "\" is a tool; unpublish it first"));
  }
  if (!request.owner().empty()) object->sharing.owner = request.owner();
  if (!request.team().empty()) object->sharing.team = request.team();
  if (!request.visibility().empty()) object->sharing.visibility = request.visibility();
  auto storing = Store(ctx, *object, false);
  const absl::Status stored = co_await std::move(storing);
  if (!stored.ok()) co_return stored;
  v1::ShareWorkflowResponse response;
  ShowObject(*object, response.mutable_workflow());
  response.mutable_workflow()->set_name(object->name);
  response.mutable_workflow()->set_namespace_(object->name_space);
  co_return response;
}

}  // namespace metamcp::workflow
