// Calls of the tools: a run for each, found again by the state of an unfinished call.
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "services/workflow/engine/run_principal.h"
#include "services/workflow/face/provider.h"
#include "services/workflow/face/tool_definition.h"
#include "services/workflow/store/sql_store.h"

namespace metamcp::workflow {
namespace {

namespace pb = metamcp::provider::v1;

absl::Status NoSuchTask() {
  return MakeError("TASK_NOT_FOUND", "workflow", "no such run, or it is another one's");
}

std::string Refusal(std::string_view why) {
  json::ObjectWriter block;
  block.AddString("type", "text");
  block.AddString("text", why);
  return StrCat(R"({"resultType":"complete","content":[)", std::move(block).Build(),
                R"(],"isError":true})");
}

}  // namespace

std::string CallingRun(const CallContext& ctx) {
  if (ctx.principal == nullptr || ctx.principal->kind != "run" || ctx.principal->actors.empty()) {
    return "";
  }
  const std::string_view last = ctx.principal->actors.back();
  const std::string_view prefix = kRunActor;
  return last.rfind(prefix, 0) == 0 ? std::string(last.substr(prefix.size())) : std::string();
}

Awaitable<absl::Status> WorkflowProvider::StartCall(const CallContext& ctx,
                                                    const CallRequest& request, CallSink& sink) {
  std::function<absl::StatusOr<PublishedRow>(db::Database&)> find =
      [tenant = ctx.tenant(),
       tool = request.target()](db::Database& database) -> absl::StatusOr<PublishedRow> {
    const size_t dot = tool.find('.');
    const bool spaced = dot != std::string::npos;
    PublishedRow out;
    METAMCP_ASSIGN_OR_RETURN(
        out.object, FaceStore(database).GetObject(tenant, spaced ? tool.substr(0, dot) : "default",
                                                  spaced ? tool.substr(dot + 1) : tool));
    if (!out.object.published) {
      return MakeError("TOOL_NOT_FOUND", "workflow",
                       StrCat("no workflow \"", tool, "\" is a tool"));
    }
    METAMCP_ASSIGN_OR_RETURN(out.definition, SqlStore(database).GetDefinition(
                                                 tenant, out.object.name_space, out.object.name,
                                                 out.object.published_version));
    return out;
  };
  auto finding = database_.Run<PublishedRow>(ctx, std::move(find));
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  const Principal nobody;
  const Principal& who = ctx.principal ? *ctx.principal : nobody;
  if (!MaySee(who, found->object.sharing)) {
    co_return MakeError(
        "PERMISSION_DENIED", "workflow",
        StrCat("the workflow \"", found->object.name, "\" is not shared with ", who.subject));
  }
  Engine::NewRun run;
  run.tenant = ctx.tenant();
  run.name_space = found->object.name_space;
  run.name = found->object.name;
  run.version = found->definition.version;
  const auto params = json::ScanObject(request.params());
  run.input = params.ok() ? std::string(params->Raw("arguments")) : std::string();
  if (run.input.empty()) run.input = "{}";
  run.principal = PrincipalJson(who);
  run.parent_run = CallingRun(ctx);
  const auto meta = json::ScanObject(request.meta());
  if (meta.ok() && meta->String("meta-mcp/idempotencyKey")) {
    run.request_key = StrCat("call:", who.subject, ":", request.target(), ":",
                             *meta->String("meta-mcp/idempotencyKey"));
  }
  auto starting = engine_.StartRun(std::move(run));
  const auto started = co_await std::move(starting);
  if (const auto info = GetErrorInfo(started.status());
      info && info->reason == "ARGUMENT_INVALID") {
    auto refusing =
        SendResult(sink, pb::RESULT_KIND_COMPLETE, Refusal(Sv(started.status().message())));
    co_return co_await std::move(refusing);
  }
  if (!started.ok()) co_return started.status();
  Following following;
  following.run_id = started->id;
  following.sharing = found->object.sharing;
  following.output_schema = OutputSchemaOf(found->definition.document);
  following.tells = request.wants_progress();
  const auto features = mcp::ParseClientFeatures(request.client_capabilities(), mcp::kLatestModern);
  following.asks = features.ok() && features->elicitation_form;
  following.tasks = mcp::ClientHasTasks(request.client_capabilities());
  if (!request.task().empty()) {
    auto describing = TaskOf(ctx, following);
    auto task = co_await std::move(describing);
    if (!task.ok()) co_return task.status();
    auto sending = SendResult(sink, pb::RESULT_KIND_TASK, AsNewTask(*task));
    co_return co_await std::move(sending);
  }
  auto going = Follow(ctx, std::move(following), sink);
  co_return co_await std::move(going);
}

Awaitable<absl::Status> WorkflowProvider::ResumeCall(const CallContext& ctx,
                                                     const CallRequest& request, CallSink& sink) {
  const auto state = json::ScanObject(request.request_state());
  if (!state.ok()) co_return MakeError("STATE_INVALID", "workflow", "this state is not ours");
  auto finding = Find(ctx, state->String("r").value_or(""));
  auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  Following following = *std::move(found);
  following.after = json::RawInt64(state->Raw("a")).value_or(0);
  following.progress = json::RawInt64(state->Raw("p")).value_or(0);
  if (request.abandon()) {
    auto cancelling = CancelRun(ctx.tenant(), following.run_id);
    (void)co_await std::move(cancelling);
    auto sending = SendResult(sink, pb::RESULT_KIND_COMPLETE, "{}");
    co_return co_await std::move(sending);
  }
  auto taking = TakeAnswers(ctx, following, request.input_responses());
  const auto put_off = co_await std::move(taking);
  if (!put_off.ok()) co_return put_off.status();
  if (*put_off) {
    auto reading = Read(ctx, following.run_id, following.after, false);
    const auto now = co_await std::move(reading);
    if (!now.ok()) co_return now.status();
    auto sending = SendResult(sink, pb::RESULT_KIND_COMPLETE,
                              GoesOnResult(now->run, "The approval was put off."));
    co_return co_await std::move(sending);
  }
  following.tells = request.wants_progress();
  const auto features = mcp::ParseClientFeatures(request.client_capabilities(), mcp::kLatestModern);
  following.asks = features.ok() && features->elicitation_form;
  following.tasks = mcp::ClientHasTasks(request.client_capabilities());
  auto going = Follow(ctx, std::move(following), sink);
  co_return co_await std::move(going);
}

Awaitable<absl::StatusOr<WorkflowProvider::Following>> WorkflowProvider::Find(
    const CallContext& ctx, std::string run_id) {
  std::function<absl::StatusOr<Following>(db::Database&)> op =
      [who = ctx.principal, tenant = ctx.tenant(),
       run_id](db::Database& database) -> absl::StatusOr<Following> {
    SqlStore store(database);
    const auto run = store.RunHead(tenant, run_id);
    if (absl::IsNotFound(run.status())) return NoSuchTask();
    if (!run.ok()) return run.status();
    Following out;
    out.run_id = run_id;
    METAMCP_ASSIGN_OR_RETURN(const ObjectRow object,
                             FaceStore(database).GetObject(tenant, run->name_space, run->name));
    out.sharing = object.sharing;
    if (who == nullptr || !MayHandleRun(*who, PrincipalOf(*run)->subject, out.sharing)) {
      return NoSuchTask();
    }
    const auto definition = store.GetDefinition(tenant, run->name_space, run->name, run->version);
    if (definition.ok()) out.output_schema = OutputSchemaOf(definition->document);
    return out;
  };
  auto reading = database_.Run<Following>(ctx, std::move(op));
  co_return co_await std::move(reading);
}

Awaitable<absl::StatusOr<bool>> WorkflowProvider::TakeAnswers(const CallContext& ctx,
                                                              const Following& following,
                                                              const std::string& responses) {
  if (responses.empty()) co_return false;
  struct Taken {
    bool put_off = false;
    std::vector<DecisionRow> consents;  // answers to these go through the approval
  };
  std::function<absl::StatusOr<Taken>(db::Database&)> op =
      [who = ctx.principal, tenant = ctx.tenant(), following,
       responses](db::Database& database) -> absl::StatusOr<Taken> {
    SqlStore store(database);
    METAMCP_ASSIGN_OR_RETURN(const RunRow run, store.RunHead(tenant, following.run_id));
    METAMCP_ASSIGN_OR_RETURN(const auto steps, store.Pending(run.id));
    METAMCP_ASSIGN_OR_RETURN(const auto decisions, store.Decisions(run.id));
    const std::string starter = PrincipalOf(run)->subject;
    Taken out;
    for (const OpenApproval& approval : OpenApprovals(steps, decisions)) {
      std::string comment;
      const ApprovalAnswer answer = ReadAnswer(responses, approval.key(), &comment);
      if (answer == ApprovalAnswer::kNone) continue;
      if (answer == ApprovalAnswer::kDismissed) {
        out.put_off = true;
        continue;
      }
      if (!MayApprove(*who, starter, following.sharing, ReadApprovers(approval.detail))) {
        return MakeError("PERMISSION_DENIED", "workflow",
                         StrCat(who->subject, " is not among the approvers of this step"));
      }
      json::ObjectWriter decision;
      decision.AddString("action", answer == ApprovalAnswer::kApprove ? "approve" : "deny");
      decision.AddString("by", who->subject);
      decision.AddString("through", "elicitation");
      if (!comment.empty()) decision.AddString("comment", comment);
      DecisionRow row;
      row.path = approval.path;
      row.attempt = approval.attempt;
      row.decision = std::move(decision).Build();
      if (approval.kind == "consent") {
        out.consents.push_back(std::move(row));
        continue;
      }
      const absl::Status stored = store.Decide(tenant, run.id, row, who->subject, NowMicros());
      // Somebody else was first; theirs counts.
      const auto info = GetErrorInfo(stored);
      if (!stored.ok() && !(info && info->reason == "RUN_STATE")) return stored;
    }
    return out;
  };
  auto taking = database_.Run<Taken>(ctx, std::move(op));
  const auto taken = co_await std::move(taking);
  engine_.LookNow();
  if (!taken.ok()) co_return taken.status();
  for (const DecisionRow& answer : taken->consents) {
    auto deciding = engine_.consents().Decide(ctx, following.run_id, answer);
    const absl::Status decided = co_await std::move(deciding);
    const auto info = GetErrorInfo(decided);
    if (!decided.ok() && !(info && info->reason == "APPROVAL_CLOSED")) co_return decided;
  }
  co_return taken->put_off;
}

}  // namespace metamcp::workflow
