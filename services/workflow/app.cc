#include "services/workflow/app.h"

#include "services/workflow/engine/engine.h"
#include "services/workflow/gateway_caller.h"
#include "services/workflow/jq/jq_worker.h"
#include "services/workflow/store/sql_store.h"
#include "services/workflow/workflow_service.h"

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

}  // namespace

// In order of construction: destruction goes backwards.
struct App::Parts {
  Parts(boost::asio::any_io_executor executor, db::DbExecutor& database,
        metamcp::catalog::v1::CatalogService& catalog, http::HttpClient& http,
        const AppOptions& options)
      : jq(executor, JqOptions(options)),
        caller(catalog, http, options.http_loopback),
        engine(executor, database, jq, caller, MakeEngineOptions(options)),
        service(database, engine, jq, caller, Limits()) {}

  JqWorkers jq;
  GatewayCaller caller;
  Engine engine;
  WorkflowService service;
};

App::App(boost::asio::any_io_executor executor, db::DbExecutor& database,
         metamcp::catalog::v1::CatalogService& catalog, http::HttpClient& http, AppOptions options)
    : parts_(std::make_unique<Parts>(std::move(executor), database, catalog, http, options)) {}

App::~App() = default;

absl::Status App::MigrateBlocking(db::Database& database) {
  return SqlStore::MigrateBlocking(database);
}

void App::Start(metamcp::gateway::v1::CallsService& calls) {
  parts_->caller.SetCalls(&calls);
  parts_->engine.Start();
}

Awaitable<void> App::Stop() {
  auto stopping = parts_->engine.Stop();
  co_await std::move(stopping);
}

v1::WorkflowService& App::service() { return parts_->service; }

}  // namespace metamcp::workflow
