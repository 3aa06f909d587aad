#include "services/ai/app.h"

#include "common/base/ids.h"
#include "common/base/strings.h"
#include "services/ai/ai_service.h"
#include "services/ai/ledger.h"
#include "services/ai/shared_turns.h"
#include "services/ai/store/sql_store.h"

namespace metamcp::ai {
namespace {

PoolLimits LimitsOf(const AppOptions& options) {
  PoolLimits out;
  out.requests_per_minute = options.requests_per_minute;
  out.tokens_per_day = options.tokens_per_day;
  out.cents_per_day = options.cents_per_day;
  out.breaker_failures = options.breaker_failures;
  out.breaker_open = options.breaker_open;
  return out;
}

std::unique_ptr<Turns> TurnsOf(const AppOptions& options) {
  if (options.quotas == nullptr) return std::make_unique<LocalTurns>();
  return std::make_unique<SharedTurns>(*options.quotas, StrCat("ai-", NewUuidV7()));
}

CacheOptions CacheOf(const AppOptions& options) {
  CacheOptions out;
  out.entries = options.cache_entries;
  out.lifetime = options.cache_lifetime;
  return out;
}

}  // namespace

// In order of construction: destruction goes backwards.
struct App::Parts {
  Parts(db::DbExecutor& database, http::HttpClient& http,
        metamcp::catalog::v1::CatalogService& catalog,
        metamcp::workflow::v1::WorkflowService& workflows, const AppOptions& options)
      : ledger(database),
        turns(TurnsOf(options)),
        pool(http, ledger, *turns, options.providers, LimitsOf(options)),
        finder(catalog),
        models(pool, finder, workflows, CacheOf(options)),
        suggester(finder, workflows, pool.empty() ? nullptr : &models, database,
                  options.suggest_time),
        history(finder, workflows, options.audit, options.history),
        filler(pool),
        service(suggester, history, filler, pool, database) {}

  DbLedger ledger;
  std::unique_ptr<Turns> turns;
  ModelPool pool;
  ToolFinder finder;
  ModelPlanner models;
  Suggester suggester;
  HistorySuggester history;
  Filler filler;
  AiService service;
};

App::App(db::DbExecutor& database, http::HttpClient& http,
         metamcp::catalog::v1::CatalogService& catalog,
         metamcp::workflow::v1::WorkflowService& workflows, AppOptions options)
    : parts_(std::make_unique<Parts>(database, http, catalog, workflows, options)) {}

App::~App() = default;

absl::Status App::MigrateBlocking(db::Database& database) {
  return SqlStore::MigrateBlocking(database);
}

v1::AiService& App::service() { return parts_->service; }

}  // namespace metamcp::ai
