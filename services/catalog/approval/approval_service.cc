#include "services/catalog/approval/approval_service.h"

#include "common/auth/roles.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "services/catalog/approval/approval_store.h"

namespace metamcp::catalog {
namespace {

namespace v1 = access::v1;

constexpr size_t kTextMax = 16u << 10;
constexpr int64_t kLifetimeMsMax = 86'400'000;

absl::Status Invalid(std::string_view why) {
  return MakeError("ARGUMENT_INVALID", "catalog", std::string(why));
}

absl::Status Check(const v1::AskApprovalRequest& request) {
  const v1::Approval& asked = request.approval();
  if (asked.item().empty() || asked.digest().empty() || asked.fingerprint().empty()) {
    return Invalid("an approval needs item, fingerprint and digest");
  }
  for (const std::string* text :
       {&asked.subject(), &asked.client(), &asked.virtual_server(), &asked.item(),
        &asked.fingerprint(), &asked.digest(), &asked.shown(), &asked.rule(), &asked.reason()}) {
    if (text->size() > kTextMax) return Invalid("a text of the approval is too long");
  }
  if (request.lifetime_ms() < 1 || request.lifetime_ms() > kLifetimeMsMax) {
    return Invalid("lifetime_ms must be at most a day");
  }
  return absl::OkStatus();
}

// Nobody's approvals are nobody's.
Principal WhoOf(const CallContext& ctx) { return ctx.principal ? *ctx.principal : Principal(); }

bool SeesAll(const CallContext& ctx) {
  return ctx.principal && auth::Allows(*ctx.principal, auth::Permission::kOperate);
}

}  // namespace

ApprovalService::ApprovalService(db::DbExecutor& database, std::function<int64_t()> now_us)
    : database_(database), now_us_(now_us ? std::move(now_us) : [] { return NowMicros(); }) {}

Awaitable<absl::StatusOr<v1::AskApprovalResponse>> ApprovalService::AskApproval(
    const CallContext& ctx, v1::AskApprovalRequest request) {
  // The one who asks is the one who calls.
  request.mutable_approval()->set_subject(WhoOf(ctx).subject);
  if (absl::Status checked = Check(request); !checked.ok()) co_return checked;
  std::function<absl::StatusOr<v1::AskApprovalResponse>(db::Database&)> op =
      [request = std::move(request), tenant = ctx.tenant(), id = NewUuidV7(), now = now_us_()](
          db::Database& database) { return ApprovalStore(database, tenant).Ask(request, id, now); };
  auto asking = database_.Run<v1::AskApprovalResponse>(ctx, std::move(op));
  co_return co_await std::move(asking);
}

Awaitable<absl::StatusOr<v1::DecideApprovalResponse>> ApprovalService::DecideApproval(
    const CallContext& ctx, v1::DecideApprovalRequest request) {
  std::function<absl::StatusOr<v1::Approval>(db::Database&)> op =
      [request = std::move(request), who = WhoOf(ctx), self = self_approval_,
       now = now_us_()](db::Database& database) {
        return ApprovalStore(database, who.tenant).Decide(request, who, self, now);
      };
  auto deciding = database_.Run<v1::Approval>(ctx, std::move(op));
  auto decided = co_await std::move(deciding);
  if (!decided.ok()) co_return decided.status();
  v1::DecideApprovalResponse response;
  *response.mutable_approval() = *std::move(decided);
  co_return response;
}

Awaitable<absl::StatusOr<v1::ListApprovalsResponse>> ApprovalService::ListApprovals(
    const CallContext& ctx, v1::ListApprovalsRequest request) {
  const std::string& state = request.state();
  if (!state.empty() && state != "waiting" && state != "granted" && state != "all") {
    co_return Invalid("state must be waiting, granted or all");
  }
  const std::string subject = SeesAll(ctx) ? "" : WhoOf(ctx).subject;
  v1::ListApprovalsResponse response;
  if (subject.empty() && !SeesAll(ctx)) co_return response;
  std::function<absl::StatusOr<std::vector<v1::Approval>>(db::Database&)> op =
      [state, subject, tenant = ctx.tenant(), now = now_us_()](db::Database& database) {
        return ApprovalStore(database, tenant).List(state, subject, now);
      };
  auto listing = database_.Run<std::vector<v1::Approval>>(ctx, std::move(op));
  auto listed = co_await std::move(listing);
  if (!listed.ok()) co_return listed.status();
  for (v1::Approval& approval : *listed) *response.add_approvals() = std::move(approval);
  co_return response;
}

Awaitable<absl::StatusOr<v1::GetApprovalResponse>> ApprovalService::GetApproval(
    const CallContext& ctx, v1::GetApprovalRequest request) {
  std::function<absl::StatusOr<v1::Approval>(db::Database&)> op =
      [id = request.id(), tenant = ctx.tenant(), now = now_us_()](db::Database& database) {
        return ApprovalStore(database, tenant).Get(id, now);
      };
  auto getting = database_.Run<v1::Approval>(ctx, std::move(op));
  auto got = co_await std::move(getting);
  if (!got.ok()) co_return got.status();
  const std::string subject = WhoOf(ctx).subject;
  if (!SeesAll(ctx) && (subject.empty() || got->subject() != subject)) {
    co_return MakeError("NOT_FOUND", "catalog",
                        StrCat("no approval \"", request.id().substr(0, 64), "\""));
  }
  v1::GetApprovalResponse response;
  *response.mutable_approval() = *std::move(got);
  co_return response;
}

Awaitable<absl::StatusOr<v1::RevokeApprovalResponse>> ApprovalService::RevokeApproval(
    const CallContext& ctx, v1::RevokeApprovalRequest request) {
  std::function<absl::StatusOr<bool>(db::Database&)> op =
      [id = request.id(), who = WhoOf(ctx),
       now = now_us_()](db::Database& database) -> absl::StatusOr<bool> {
    const absl::Status done = ApprovalStore(database, who.tenant).Revoke(id, who, now);
    if (!done.ok()) return done;
    return true;
  };
  auto revoking = database_.Run<bool>(ctx, std::move(op));
  const auto revoked = co_await std::move(revoking);
  if (!revoked.ok()) co_return revoked.status();
  co_return v1::RevokeApprovalResponse();
}

}  // namespace metamcp::catalog
