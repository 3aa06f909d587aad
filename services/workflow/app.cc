#include "services/workflow/app.h"

#include "services/workflow/engine/engine.h"
#include "services/workflow/face/provider.h"
#include "services/workflow/face/publisher.h"
#include "services/workflow/face/shared_service.h"
#include "services/workflow/gateway_caller.h"
#include "services/workflow/jq/jq_worker.h"
#include "services/workflow/store/sql_store.h"

namespace metamcp::workflow {
namespace {

JqWorkers::Options JqOptions(const AppOptions& options) {
  JqWorkers::Options out;
  out.program = options.jq_program;
  return out;
}

EngineOptions MakeEngineOptions(const AppOptions& options) {
  EngineOptions out;
  out.owner = options.owner;
  out.retention = std::chrono::hours(24) * options.retention_days;
  out.runs_per_principal_max = options.runs_per_principal_max;
  return out;
}

WebhookSender::Options WebhookOptions(const AppOptions& options) {
  WebhookSender::Options out;
  out.loopback = options.http_loopback;
  return out;
}

}  // namespace

// In order of construction: destruction goes backwards.
struct App::Parts {
  Parts(boost::asio::any_io_executor executor, db::DbExecutor& database,
        metamcp::catalog::v1::CatalogService& catalog, http::HttpClient& http, const KeyRing& keys,
        const AppOptions& options)
      : jq(executor, JqOptions(options)),
        caller(catalog, http, options.http_loopback),
        engine(executor, database, jq, caller, MakeEngineOptions(options)),
        publisher(executor, database, catalog, Limits()),
        provider(executor, database, engine),
        scheduler(executor, database, engine, jq),
        webhooks(executor, database, http, keys, WebhookOptions(options)),
        schedules(options.schedules),
        service(database, engine, jq, caller, publisher, scheduler, webhooks, keys, Limits()) {}

  JqWorkers jq;
  GatewayCaller caller;
  Engine engine;
  Publisher publisher;
  WorkflowProvider provider;
  Scheduler scheduler;
  WebhookSender webhooks;
  const bool schedules;
  SharedWorkflowService service;
};

App::App(boost::asio::any_io_executor executor, db::DbExecutor& database,
         metamcp::catalog::v1::CatalogService& catalog, http::HttpClient& http, const KeyRing& keys,
         AppOptions options)
    : parts_(std::make_unique<Parts>(std::move(executor), database, catalog, http, keys, options)) {
}

App::~App() = default;

absl::Status App::MigrateBlocking(db::Database& database) {
  if (absl::Status status = SqlStore::MigrateBlocking(database); !status.ok()) return status;
  return FaceStore::MigrateBlocking(database);
}

void App::SetModels(bool there) { parts_->caller.SetModels(there); }

void App::SetApprovals(metamcp::access::v1::ApprovalService& approvals, bool self) {
  parts_->caller.SetApprovals(&approvals, self);
}

void App::Start(metamcp::gateway::v1::CallsService& calls) {
  parts_->caller.SetCalls(&calls);
  parts_->engine.Start();
  parts_->publisher.Start();
  parts_->webhooks.Start();
  if (parts_->schedules) parts_->scheduler.Start();
}

Awaitable<void> App::Stop() {
  auto ending = parts_->publisher.Stop();
  co_await std::move(ending);
  auto resting = parts_->scheduler.Stop();
  co_await std::move(resting);
  auto silencing = parts_->webhooks.Stop();
  co_await std::move(silencing);
  auto leaving = parts_->provider.Stop();
  co_await std::move(leaving);
  auto stopping = parts_->engine.Stop();
  co_await std::move(stopping);
}

v1::WorkflowService& App::service() { return parts_->service; }
metamcp::provider::v1::ProviderService& App::provider() { return parts_->provider; }
bool App::Serves(const std::string& upstream_id) const {
  return !upstream_id.empty() && parts_->publisher.upstream_id() == upstream_id;
}

size_t App::running() const { return parts_->engine.running(); }

}  // namespace metamcp::workflow
