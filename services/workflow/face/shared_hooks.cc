// Webhooks, out and in: each belongs to whoever made it.
#include <algorithm>

#include "absl/time/time.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "services/workflow/engine/run_principal.h"
#include "services/workflow/face/shared_service.h"
#include "services/workflow/face/signature.h"

namespace metamcp::workflow {
namespace {

// How far the time of a message may be from ours, and how long its id is known (Standard Webhooks).
constexpr int64_t kToleranceS = 300;
constexpr int64_t kKnownUs = 2 * kToleranceS * 1'000'000;
constexpr size_t kTextMax = 2048;
constexpr int kDeliveriesMax = 200;
constexpr std::string_view kStates[] = {"completed",   "failed",  "cancelled",
                                        "rolled-back", "waiting", "needs-decision"};

absl::Status Invalid(std::string_view why) {
  return MakeError("ARGUMENT_INVALID", "workflow", why);
}

const Principal& Who(const CallContext& ctx) {
  static const Principal kNobody;
  return ctx.principal ? *ctx.principal : kNobody;
}

// Administrators see everybody's.
std::string OwnerOf(const CallContext& ctx) {
  return IsAdmin(Who(ctx)) ? std::string() : Who(ctx).subject;
}

absl::Status CheckWebhook(const v1::CreateWebhookRequest& request) {
  const std::string& url = request.url();
  const bool known = url.rfind("https://", 0) == 0 || url.rfind("http://", 0) == 0;
  if (!known || url.size() > kTextMax) return Invalid("url must be an https:// address");
  for (const std::string& state : request.states()) {
    if (std::find(std::begin(kStates), std::end(kStates), state) == std::end(kStates)) {
      return Invalid(StrCat("\"", state,
                            "\" is none of completed, failed, cancelled, rolled-back, "
                            "waiting and needs-decision"));
    }
  }
  return absl::OkStatus();
}

v1::Webhook ToProto(const WebhookRow& row) {
  v1::Webhook out;
  out.set_id(row.id);
  out.set_url(row.url);
  for (const std::string& state : row.states) out.add_states(state);
  out.set_workflow(row.workflow);
  out.set_owner(row.owner);
  out.set_enabled(row.enabled);
  out.set_created_us(row.created_us);
  return out;
}

v1::Hook ToProto(const HookRow& row) {
  v1::Hook out;
  out.set_id(row.id);
  out.set_name(row.name);
  out.set_workflow(row.workflow);
  out.set_event_type(row.event_type);
  out.set_owner(row.owner);
  out.set_created_us(row.created_us);
  out.set_received(row.received);
  out.set_last_us(row.last_us);
  return out;
}

v1::Delivery ToProto(const DeliveryRow& row) {
  v1::Delivery out;
  out.set_id(row.id);
  out.set_run(row.run_id);
  out.set_state(row.state);
  out.set_status(row.status);
  out.set_attempts(static_cast<int32_t>(row.attempts));
  out.set_last_http_status(static_cast<int32_t>(row.http_status));
  out.set_last_error(row.error);
  out.set_next_us(row.status == "pending" ? row.next_us : 0);
  out.set_created_us(row.created_us);
  return out;
}

std::string EventOf(const HookRow& hook, const v1::ReceiveHookRequest& request) {
  if (hook.event_type.empty()) return "";
  json::ObjectWriter event;
  event.AddString("specversion", "1.0");
  event.AddString("id", request.message_id());
  event.AddString("source", StrCat("/hooks/", hook.id));
  event.AddString("type", hook.event_type);
  event.AddString("time", absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone()));
  event.Add("data", request.body());
  return std::move(event).Build();
}

}  // namespace

Awaitable<absl::StatusOr<v1::CreateWebhookResponse>> SharedWorkflowService::CreateWebhook(
    const CallContext& ctx, v1::CreateWebhookRequest request) {
  if (const absl::Status valid = CheckWebhook(request); !valid.ok()) co_return valid;
  if (!request.workflow().empty()) {
    auto asking = Object(ctx, "", request.workflow(), Need::kSee);
    const auto object = co_await std::move(asking);
    if (!object.ok()) co_return object.status();
  }
  v1::CreateWebhookResponse response;
  response.set_secret(request.secret().empty() ? MakeSecret() : request.secret());
  METAMCP_CO_RETURN_IF_ERROR(SecretBytes(response.secret()).status());
  WebhookRow row;
  row.id = StrCat("wh_", NewUuidV7());
  row.tenant = ctx.tenant();
  row.url = request.url();
  row.states.assign(request.states().begin(), request.states().end());
  row.workflow = request.workflow();
  row.owner = Who(ctx).subject;
  row.principal = PrincipalJson(Who(ctx));
  row.secret = keys_.Seal(SealPurpose::kVault, response.secret(), SecretContext(row.id));
  row.created_us = NowMicros();
  std::function<absl::Status(db::Database&)> op = [row](db::Database& database) {
    return HookStore(database).PutWebhook(row);
  };
  auto storing = database_.RunStatus(ctx, std::move(op));
  const absl::Status stored = co_await std::move(storing);
  if (!stored.ok()) co_return stored;
  *response.mutable_webhook() = ToProto(row);
  co_return response;
}

Awaitable<absl::StatusOr<v1::ListWebhooksResponse>> SharedWorkflowService::ListWebhooks(
    const CallContext& ctx, v1::ListWebhooksRequest) {
  std::function<absl::StatusOr<std::vector<WebhookRow>>(db::Database&)> op =
      [tenant = ctx.tenant(), owner = OwnerOf(ctx)](db::Database& database) {
        return HookStore(database).ListWebhooks(tenant, owner);
      };
  auto reading = database_.Run<std::vector<WebhookRow>>(ctx, std::move(op));
  const auto rows = co_await std::move(reading);
  if (!rows.ok()) co_return rows.status();
  v1::ListWebhooksResponse response;
  for (const WebhookRow& row : *rows) *response.add_webhooks() = ToProto(row);
  co_return response;
}

Awaitable<absl::StatusOr<v1::DeleteWebhookResponse>> SharedWorkflowService::DeleteWebhook(
    const CallContext& ctx, v1::DeleteWebhookRequest request) {
  std::function<absl::Status(db::Database&)> op =
      [tenant = ctx.tenant(), owner = OwnerOf(ctx),
       id = request.id()](db::Database& database) -> absl::Status {
    HookStore store(database);
    METAMCP_ASSIGN_OR_RETURN(const WebhookRow row, store.GetWebhook(tenant, id));
    if (!owner.empty() && row.owner != owner) return store.RemoveWebhook(tenant, "");
    return store.RemoveWebhook(tenant, id);
  };
  auto removing = database_.RunStatus(ctx, std::move(op));
  const absl::Status removed = co_await std::move(removing);
  if (!removed.ok()) co_return removed;
  co_return v1::DeleteWebhookResponse();
}

Awaitable<absl::StatusOr<v1::ListDeliveriesResponse>> SharedWorkflowService::ListDeliveries(
    const CallContext& ctx, v1::ListDeliveriesRequest request) {
  const int asked = request.page_size() > 0 ? request.page_size() : 50;
  std::function<absl::StatusOr<std::vector<DeliveryRow>>(db::Database&)> op =
      [tenant = ctx.tenant(), owner = OwnerOf(ctx), id = request.id(),
       limit = std::min(asked, kDeliveriesMax)](
          db::Database& database) -> absl::StatusOr<std::vector<DeliveryRow>> {
    HookStore store(database);
    METAMCP_ASSIGN_OR_RETURN(const WebhookRow row, store.GetWebhook(tenant, id));
    if (!owner.empty() && row.owner != owner) return store.GetWebhook(tenant, "").status();
    return store.Deliveries(id, limit);
  };
  auto reading = database_.Run<std::vector<DeliveryRow>>(ctx, std::move(op));
  const auto rows = co_await std::move(reading);
  if (!rows.ok()) co_return rows.status();
  v1::ListDeliveriesResponse response;
  for (const DeliveryRow& row : *rows) *response.add_deliveries() = ToProto(row);
  co_return response;
}

Awaitable<absl::StatusOr<v1::CreateHookResponse>> SharedWorkflowService::CreateHook(
    const CallContext& ctx, v1::CreateHookRequest request) {
  if (request.workflow().empty() && request.event_type().empty()) {
    co_return Invalid(
        "name a workflow that events start, or an eventType that they are emitted as");
  }
  if (request.event_type().size() > 256 || request.name().size() > 256) {
    co_return Invalid("name and eventType have at most 256 bytes");
  }
  if (!request.workflow().empty()) {
    auto asking = Object(ctx, "", request.workflow(), Need::kSee);
    const auto object = co_await std::move(asking);
    if (!object.ok()) co_return object.status();
  }
  v1::CreateHookResponse response;
  response.set_secret(request.secret().empty() ? MakeSecret() : request.secret());
  METAMCP_CO_RETURN_IF_ERROR(SecretBytes(response.secret()).status());
  HookRow row;
  row.id = NewUuidV7();
  row.tenant = ctx.tenant();
  row.name = request.name();
  row.workflow = request.workflow();
  row.event_type = request.event_type();
  row.owner = Who(ctx).subject;
  row.principal = PrincipalJson(Who(ctx));
  row.secret = keys_.Seal(SealPurpose::kVault, response.secret(), SecretContext(row.id));
  row.created_us = NowMicros();
  std::function<absl::Status(db::Database&)> op = [row](db::Database& database) {
    return HookStore(database).PutHook(row);
  };
  auto storing = database_.RunStatus(ctx, std::move(op));
  const absl::Status stored = co_await std::move(storing);
  if (!stored.ok()) co_return stored;
  *response.mutable_hook() = ToProto(row);
  co_return response;
}

Awaitable<absl::StatusOr<v1::ListHooksResponse>> SharedWorkflowService::ListHooks(
    const CallContext& ctx, v1::ListHooksRequest) {
  std::function<absl::StatusOr<std::vector<HookRow>>(db::Database&)> op =
      [tenant = ctx.tenant(), owner = OwnerOf(ctx)](db::Database& database) {
        return HookStore(database).ListHooks(tenant, owner);
      };
  auto reading = database_.Run<std::vector<HookRow>>(ctx, std::move(op));
  const auto rows = co_await std::move(reading);
  if (!rows.ok()) co_return rows.status();
  v1::ListHooksResponse response;
  for (const HookRow& row : *rows) *response.add_hooks() = ToProto(row);
  co_return response;
}

Awaitable<absl::StatusOr<v1::DeleteHookResponse>> SharedWorkflowService::DeleteHook(
    const CallContext& ctx, v1::DeleteHookRequest request) {
  std::function<absl::Status(db::Database&)> op =
      [tenant = ctx.tenant(), owner = OwnerOf(ctx),
       id = request.id()](db::Database& database) -> absl::Status {
    HookStore store(database);
    METAMCP_ASSIGN_OR_RETURN(const HookRow row, store.GetHook(id));
    const bool theirs = row.tenant == tenant && (owner.empty() || row.owner == owner);
    return store.RemoveHook(tenant, theirs ? id : std::string());
  };
  auto removing = database_.RunStatus(ctx, std::move(op));
  const absl::Status removed = co_await std::move(removing);
  if (!removed.ok()) co_return removed;
  co_return v1::DeleteHookResponse();
}

Awaitable<absl::StatusOr<v1::ReceiveHookResponse>> SharedWorkflowService::ReceiveHook(
    const CallContext& ctx, v1::ReceiveHookRequest request) {
  std::function<absl::StatusOr<HookRow>(db::Database&)> find =
      [id = request.id()](db::Database& database) { return HookStore(database).GetHook(id); };
  auto finding = database_.Run<HookRow>(ctx, std::move(find));
  const auto hook = co_await std::move(finding);
  if (!hook.ok()) co_return hook.status();
  const auto secret = keys_.Open(SealPurpose::kVault, hook->secret, SecretContext(hook->id));
  if (!secret) co_return MakeError("AUTH_INVALID", "workflow", "no key opens this hook's secret");
  METAMCP_CO_ASSIGN_OR_RETURN(const std::string bytes, SecretBytes(*secret));
  const int64_t now_us = NowMicros();
  METAMCP_CO_RETURN_IF_ERROR(CheckSignature(bytes, request.message_id(), request.timestamp(),
                                            request.signature(), request.body(), now_us / 1'000'000,
                                            kToleranceS));
  if (!json::ScanValue(request.body()).ok()) co_return Invalid("the body is not JSON");
  v1::ReceiveHookResponse response;
  if (!hook->workflow.empty()) {
    // The same message starts the same run, so that a repetition after a crash loses nothing.
    Engine::NewRun run;
    run.tenant = hook->tenant;
    run.name_space = "default";
    run.name = hook->workflow;
    run.input = request.body();
    run.principal = hook->principal;
    run.request_key = StrCat("hook:", hook->id, ":", request.message_id());
    auto starting = engine_.StartRun(std::move(run));
    const auto started = co_await std::move(starting);
    if (!started.ok()) co_return started.status();
    response.set_run(started->id);
  }
  std::function<absl::StatusOr<bool>(db::Database&)> take =
      [hook = *hook, id = request.message_id(), event = EventOf(*hook, request),
       now_us](db::Database& database) {
        return HookStore(database).TakeMessage(hook, id, event, now_us, now_us - kKnownUs);
      };
  auto taking = database_.Run<bool>(ctx, std::move(take));
  const auto first = co_await std::move(taking);
  if (!first.ok()) co_return first.status();
  response.set_repeated_message(!*first);
  engine_.LookNow();
  engine_.PokeListeners();
  scheduler_.LookNow();
  co_return response;
}

}  // namespace metamcp::workflow
