#include "services/workflow/face/webhook_sender.h"

#include <algorithm>

#include "absl/time/time.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/http_client.h"
#include "common/json/splice.h"
#include "common/telemetry/log.h"
#include "services/workflow/engine/run_principal.h"
#include "services/workflow/face/run_view.h"
#include "services/workflow/face/signature.h"
#include "services/workflow/store/sql_store.h"

namespace metamcp::workflow {
namespace {

constexpr int64_t kUnpackMax = 50;
constexpr int64_t kSendMax = 16;
constexpr size_t kOutputMax = 64u << 10;
constexpr size_t kAnswerMax = 64u << 10;
constexpr int64_t kPruneEveryUs = 3600ll * 1'000'000;

std::string Time(int64_t us) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixMicros(us), absl::UTCTimeZone());
}

bool Wants(const WebhookRow& webhook, const RunRow& run, const std::string& state) {
  if (!webhook.enabled || (!webhook.workflow.empty() && webhook.workflow != run.name)) return false;
  return webhook.states.empty() ||
         std::find(webhook.states.begin(), webhook.states.end(), state) != webhook.states.end();
}

// What one line of the outbox comes to. On a database thread.
absl::StatusOr<std::vector<DeliveryRow>> DeliveriesOf(db::Database& database,
                                                      const OutboxRow& row) {
  std::vector<DeliveryRow> out;
  SqlStore store(database);
  const auto run = store.GetRun(row.tenant, row.run_id);
  if (absl::IsNotFound(run.status())) return out;
  if (!run.ok()) return run.status();
  if (run->mode != run_mode::kReal) return out;
  METAMCP_ASSIGN_OR_RETURN(const auto webhooks, HookStore(database).ListWebhooks(row.tenant, ""));
  METAMCP_ASSIGN_OR_RETURN(const ObjectRow object,
                           FaceStore(database).GetObject(row.tenant, run->name_space, run->name));
  METAMCP_ASSIGN_OR_RETURN(const auto steps, store.Pending(row.run_id));
  const std::string starter = PrincipalOf(*run)->subject;
  for (const WebhookRow& webhook : webhooks) {
    RunRow owner;
    owner.tenant = row.tenant;
    owner.principal = webhook.principal;
    if (!Wants(webhook, *run, row.state)) continue;
    if (!MayHandleRun(*PrincipalOf(owner), starter, object.sharing)) continue;
    DeliveryRow one;
    one.id = StrCat("msg_", NewUuidV7());
    one.webhook_id = webhook.id;
    one.run_id = row.run_id;
    one.state = row.state;
    one.created_us = one.next_us = NowMicros();
    one.payload = WebhookPayload(*run, row.state, one.created_us, steps);
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace

std::string SecretContext(const std::string& id) { return StrCat("workflow-hook|", id); }

std::string WebhookPayload(const RunRow& run, const std::string& state, int64_t now_us,
                           const std::vector<StepRow>& steps) {
  json::ObjectWriter data;
  data.AddString("run", run.id);
  data.AddString("namespace", run.name_space);
  data.AddString("workflow", run.name);
  data.AddString("version", run.version);
  data.AddString("state", state);
  data.AddString("startedBy", PrincipalOf(run)->subject);
  data.AddString("createdAt", Time(run.created_us));
  if (run.ended_us > 0) data.AddString("endedAt", Time(run.ended_us));
  if (state == run_state::kCompleted && !run.output.empty() && run.output.size() <= kOutputMax) {
    data.Add("output", run.output);
  }
  if (!run.error.empty() && run.error.size() <= kOutputMax) data.Add("error", run.error);
  std::vector<std::string> pending;
  for (const StepRow& step : steps) {
    const bool asks = WantsApproval(step) || step.kind == "decision";
    if (!asks || step.state != "waiting" || step.detail.empty()) continue;
    json::ObjectWriter one;
    one.AddString("path", step.path.substr(0, step.path.rfind('#')));
    one.AddString("kind", step.kind);
    one.Add("detail", step.detail);
    pending.push_back(std::move(one).Build());
  }
  if (!pending.empty()) data.Add("pending", json::JoinArray(pending));
  json::ObjectWriter out;
  out.AddString("type", StrCat("workflow.run.", state));
  out.AddString("timestamp", Time(now_us));
  out.Add("data", std::move(data).Build());
  return std::move(out).Build();
}

// The pauses that Standard Webhooks recommends, with which an address may be away for a few days.
WebhookSender::Options::Options() {
  using std::chrono::hours;
  using std::chrono::minutes;
  using std::chrono::seconds;
  pauses = {seconds(5), minutes(5), minutes(30), hours(2), hours(5),
            hours(10),  hours(14),  hours(20),   hours(24)};
}

WebhookSender::WebhookSender(boost::asio::any_io_executor executor, db::DbExecutor& database,
                             http::HttpClient& http, const KeyRing& keys, Options options)
    : executor_(executor),
      database_(database),
      http_(http),
      keys_(keys),
      options_(std::move(options)),
      work_(executor),
      tasks_(executor),
      sends_(executor) {}

void WebhookSender::Start() { tasks_.Spawn("workflow.webhooks", Loop()); }

Awaitable<void> WebhookSender::Stop() {
  stopping_ = true;
  tasks_.CancelAll();
  co_await tasks_.Join(std::chrono::seconds(5));
  // What is cut short is sent again at the next start.
  sends_.CancelAll();
  co_await sends_.Join(std::chrono::seconds(5));
}

void WebhookSender::LookNow() {
  look_ = true;
  work_.Notify();
}

Awaitable<void> WebhookSender::Loop() {
  while (!stopping_) {
    look_ = false;
    auto unpacking = Unpack();
    co_await std::move(unpacking);
    auto sending = SendDue();
    const bool more = co_await std::move(sending);
    if (more || look_) continue;
    boost::asio::steady_timer timer(executor_, options_.look);
    timer.async_wait([this](const boost::system::error_code& error) {
      if (!error) work_.Notify();
    });
    co_await work_.Wait();
  }
}

Awaitable<void> WebhookSender::Unpack() {
  const int64_t now = NowMicros();
  const bool prune = now - pruned_us_ > kPruneEveryUs;
  if (prune) pruned_us_ = now;
  std::function<absl::StatusOr<int64_t>(db::Database&)> op =
      [prune, before = now - options_.keep_us](db::Database& database) -> absl::StatusOr<int64_t> {
    if (prune) METAMCP_RETURN_IF_ERROR(HookStore(database).Prune(before));
    const auto make = [&database](const OutboxRow& row) { return DeliveriesOf(database, row); };
    return HookStore(database).Unpack(kUnpackMax, make);
  };
  const CallContext ctx;
  auto unpacking = database_.Run<int64_t>(ctx, std::move(op));
  const auto unpacked = co_await std::move(unpacking);
  if (!unpacked.ok()) {
    Log(LogLevel::kWarning, "webhook.outbox_not_read",
        {{"error", std::string(unpacked.status().message())}});
  } else if (*unpacked == kUnpackMax) {
    look_ = true;
  }
}

Awaitable<bool> WebhookSender::SendDue() {
  if (sends_.running() >= static_cast<size_t>(kSendMax)) co_return false;
  const int64_t now = NowMicros();
  // Long enough for a try; a process that ends meanwhile leaves it to others.
  const int64_t until = now + 4 * std::chrono::microseconds(options_.timeout).count();
  std::function<absl::StatusOr<std::vector<DeliveryRow>>(db::Database&)> op =
      [now, until](db::Database& database) {
        return HookStore(database).TakeDue(now, until, kSendMax);
      };
  const CallContext ctx;
  auto taking = database_.Run<std::vector<DeliveryRow>>(ctx, std::move(op));
  auto due = co_await std::move(taking);
  if (!due.ok()) co_return false;
  for (DeliveryRow& row : *due) sends_.Spawn("workflow.webhook", SendOne(this, std::move(row)));
  co_return !due->empty() && sends_.running() < static_cast<size_t>(kSendMax);
}

Awaitable<absl::StatusOr<int>> WebhookSender::Post(const WebhookRow& webhook,
                                                   const DeliveryRow& row) {
  const auto secret = keys_.Open(SealPurpose::kVault, webhook.secret, SecretContext(webhook.id));
  if (!secret) {
    co_return MakeError("AUTH_INVALID", "workflow", "no sealing key opens the webhook's secret");
  }
  METAMCP_CO_ASSIGN_OR_RETURN(const std::string bytes, SecretBytes(*secret));
  const int64_t seconds = NowMicros() / 1'000'000;
  http::HttpClientRequest request("POST", webhook.url);
  request.headers.Set("Content-Type", "application/json");
  request.headers.Set("webhook-id", row.id);
  request.headers.Set("webhook-timestamp", StrCat(seconds));
  request.headers.Set("webhook-signature", Sign(bytes, row.id, seconds, row.payload));
  request.body = row.payload;
  request.addresses =
      options_.loopback ? http::AddressRule::kPublicOrLoopback : http::AddressRule::kPublic;
  request.first_byte_timeout = options_.timeout;
  request.domain = "webhook";
  const CallContext ctx(nullptr, CallContext::Clock::now() + options_.timeout);
  auto sending = http_.Send(ctx, std::move(request));
  auto response = co_await std::move(sending);
  if (!response.ok()) co_return response.status();
  auto reading = (*response)->ReadAll(kAnswerMax);
  (void)co_await std::move(reading);
  co_return (*response)->status();
}

Awaitable<void> WebhookSender::SendOne(WebhookSender* self, DeliveryRow row) {
  std::function<absl::StatusOr<WebhookRow>(db::Database&)> find =
      [id = row.webhook_id](db::Database& database) {
        return HookStore(database).GetWebhook("default", id);
      };
  const CallContext ctx;
  auto finding = self->database_.Run<WebhookRow>(ctx, std::move(find));
  const auto webhook = co_await std::move(finding);
  const bool removed = absl::IsNotFound(webhook.status());
  if (!webhook.ok() && !removed) co_return;  // the database is away; a later look sends it
  absl::StatusOr<int> status = absl::NotFoundError("the webhook has been removed");
  if (!removed) {
    auto posting = self->Post(*webhook, row);
    status = co_await std::move(posting);
  }
  row.http_status = status.ok() ? *status : 0;
  const bool taken = status.ok() && *status >= 200 && *status < 300;
  row.error = taken         ? std::string()
              : status.ok() ? StrCat("HTTP status ", *status)
                            : std::string(status.status().message()).substr(0, 500);
  const auto tries = static_cast<size_t>(row.attempts++);
  // 410: the address wants no more of this.
  const bool over = removed || row.http_status == 410 || tries >= self->options_.pauses.size();
  if (taken) {
    row.status = "delivered";
  } else if (over) {
    row.status = "failed";
    Log(LogLevel::kWarning, "webhook.failed",
        {{"webhook", row.webhook_id}, {"run", row.run_id}, {"error", row.error}});
  } else {
    row.next_us = NowMicros() + std::chrono::microseconds(self->options_.pauses[tries]).count();
  }
  std::function<absl::Status(db::Database&)> op = [row](db::Database& database) {
    return HookStore(database).Put(row);
  };
  auto storing = self->database_.RunStatus(ctx, std::move(op));
  (void)co_await std::move(storing);
  self->LookNow();
}

}  // namespace metamcp::workflow
