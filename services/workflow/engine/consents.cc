#include "services/workflow/engine/consents.h"

#include <chrono>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/telemetry/log.h"
#include "services/workflow/engine/run_principal.h"

namespace metamcp::workflow {
namespace {

constexpr std::chrono::milliseconds kEvery(1000);
constexpr std::chrono::seconds kLookMax(10);
constexpr int64_t kPage = 200;  // runs

std::string DecisionOf(std::string_view action, const std::string& by) {
  json::ObjectWriter out;
  out.AddString("action", action);
  if (!by.empty()) out.AddString("by", by);
  return std::move(out).Build();
}

}  // namespace

// Where nobody keeps approvals, there is none.
Awaitable<absl::StatusOr<ApprovalInfo>> Caller::LookUpApproval(const CallContext&, std::string id) {
  co_return MakeError("NOT_FOUND", "workflow", StrCat("no approval \"", id, "\""));
}

Awaitable<absl::Status> Caller::DecideApproval(const CallContext&, std::string id, bool) {
  co_return MakeError("NOT_FOUND", "workflow", StrCat("no approval \"", id, "\""));
}

Awaitable<void> Caller::HearDenial(const CallContext&, std::string) { co_return; }

std::string ApprovalOf(const StepRow& question) {
  const auto detail = json::ScanObject(question.detail);
  return detail.ok() ? detail->String("approval").value_or("") : "";
}

std::string ConsentDecision(const ApprovalInfo& approval) {
  const std::string& state = approval.state;
  if (state == "approved") return DecisionOf("approve", approval.decided_by);
  if (state == "denied" || state == "closed" || state == "revoked") {
    return DecisionOf("deny", approval.decided_by);
  }
  // Another call of the same kind was made with it.
  if (state == "used") return DecisionOf("again", "");
  return "";
}

Consents::Consents(boost::asio::any_io_executor executor, db::DbExecutor& database, Caller& caller,
                   std::function<void()> look_now)
    : database_(database), caller_(caller), look_now_(std::move(look_now)), tasks_(executor) {}

void Consents::Start() { tasks_.Spawn("workflow.consents", Watch()); }

Awaitable<void> Consents::Stop() {
  stopping_ = true;
  tasks_.CancelAll();
  co_await tasks_.Join(std::chrono::seconds(5));
}

Awaitable<absl::Status> Consents::Decide(const CallContext& ctx, std::string run_id,
                                         DecisionRow answer) {
  std::function<absl::StatusOr<std::string>(db::Database&)> find =
      [run_id, answer](db::Database& database) -> absl::StatusOr<std::string> {
    SqlStore store(database);
    METAMCP_ASSIGN_OR_RETURN(const auto decisions, store.Decisions(run_id));
    for (const DecisionRow& known : decisions) {
      if (known.path == answer.path && known.attempt == answer.attempt) {
        return MakeError("RUN_STATE", "workflow", "this has been answered");
      }
    }
    METAMCP_ASSIGN_OR_RETURN(const auto pending, store.Pending(run_id));
    for (const StepRow& one : pending) {
      if (one.path == answer.path && one.attempt == answer.attempt) return ApprovalOf(one);
    }
    return MakeError("NOT_FOUND", "workflow", "nothing waits for an answer there");
  };
  auto finding = database_.Run<std::string>(ctx, std::move(find));
  const auto approval = co_await std::move(finding);
  if (!approval.ok()) co_return approval.status();
  const auto object = json::ScanObject(answer.decision);
  const bool approve = object.ok() && object->String("action") == "approve";
  auto deciding = caller_.DecideApproval(ctx, *approval, approve);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(deciding));
  const std::string by = ctx.principal ? ctx.principal->subject : std::string();
  std::function<absl::Status(db::Database&)> op = [tenant = ctx.tenant(), run_id, answer,
                                                   by](db::Database& database) {
    return SqlStore(database).Decide(tenant, run_id, answer, by, NowMicros());
  };
  auto storing = database_.RunStatus(ctx, std::move(op));
  const absl::Status stored = co_await std::move(storing);
  look_now_();
  // Whoever watches has told the run meanwhile.
  const auto info = GetErrorInfo(stored);
  if (info && info->reason == "RUN_STATE") co_return absl::OkStatus();
  co_return stored;
}

Awaitable<void> Consents::Watch() {
  std::string after;
  while (!stopping_) {
    const bool slept = co_await Sleep(kEvery);
    if (!slept) co_return;
    auto looking = LookAt(after);
    after = co_await std::move(looking);
  }
}

Awaitable<std::string> Consents::LookAt(std::string after) {
  std::function<absl::StatusOr<SqlStore::Consents>(db::Database&)> op =
      [after](db::Database& database) { return SqlStore(database).WaitingConsents(after, kPage); };
  const CallContext idle;
  auto reading = database_.Run<SqlStore::Consents>(idle, std::move(op));
  const auto page = co_await std::move(reading);
  if (!page.ok()) {
    Log(LogLevel::kWarning, "workflow.consents_not_read",
        {{"error", std::string(page.status().message())}});
    co_return std::string();
  }
  bool told = false;
  for (const SqlStore::Consent& one : page->waiting) {
    if (stopping_) break;
    const CallContext ctx(PrincipalOf(one.run), CallContext::Clock::now() + kLookMax);
    auto looking = caller_.LookUpApproval(ctx, ApprovalOf(one.question));
    const auto approval = co_await std::move(looking);
    // One that is there no more must be asked for anew; a service that is away is asked later.
    const bool gone = absl::IsNotFound(approval.status());
    if (!approval.ok() && !gone) continue;
    DecisionRow row;
    row.path = one.question.path;
    row.attempt = one.question.attempt;
    row.decision = gone ? DecisionOf("again", "") : ConsentDecision(*approval);
    if (row.decision.empty()) continue;
    const std::string by = gone ? std::string() : approval->decided_by;
    std::function<absl::Status(db::Database&)> tell = [tenant = one.run.tenant, id = one.run.id,
                                                       row, by](db::Database& database) {
      return SqlStore(database).Decide(tenant, id, row, by, NowMicros());
    };
    auto telling = database_.RunStatus(idle, std::move(tell));
    const absl::Status stored = co_await std::move(telling);
    told = told || stored.ok();
  }
  if (told) look_now_();
  co_return page->next;
}

}  // namespace metamcp::workflow
