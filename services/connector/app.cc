#include "services/connector/app.h"

#include <memory>
#include <set>

#include "common/async/run.h"
#include "common/async/task_group.h"
#include "common/base/status_macros.h"
#include "common/cache/database_cache.h"
#include "common/config/cache_rule.h"
#include "services/connector/connector_service.h"
#include "services/connector/diagnosis.h"
#include "services/connector/login/sql_secret_store.h"
#include "services/connector/manager.h"
#include "services/connector/provider_service.h"

namespace metamcp::connector {
namespace {

// Longer than three grace periods of the slowest child.
constexpr std::chrono::seconds kChildren(10);
constexpr std::chrono::seconds kJoin(5);

DialerOptions MakeDialerOptions(const AppOptions& options, sandbox::Runner& sandboxes) {
  DialerOptions out;
  out.sandboxes = &sandboxes;
  out.client_info = options.client_info;
  out.times.connect = std::chrono::milliseconds(options.connector.connect_timeout_ms);
  out.times.stop_grace = std::chrono::milliseconds(options.connector.stop_grace_ms);
  // Room for the envelope around the largest result.
  out.message_bytes_max = options.result_bytes_max + (1u << 20);
  return out;
}

std::unique_ptr<SecretStore> MakeSecretStore(db::DbExecutor* database) {
  if (database == nullptr) return std::make_unique<MemorySecretStore>();
  return std::make_unique<SqlSecretStore>(*database);
}

// Null where nothing is kept.
std::unique_ptr<cache::Cache> MakeCache(const AppOptions& options, const KeyRing& keys) {
  cache::Limits limits;
  limits.bytes_max = static_cast<size_t>(options.cache.bytes_max);
  limits.value_bytes_max = static_cast<size_t>(options.cache.entry_bytes_max);
  if (limits.bytes_max == 0) return nullptr;
  if (options.cache.backend == "memory") return cache::MakeMemoryCache(limits);
  return cache::MakeDatabaseCache(*options.cache_database, keys, limits);
}

ResourceCache::Options MakeCacheOptions(const config::CacheConfig& config) {
  ResourceCache::Options out;
  out.ttl_max = std::chrono::milliseconds(config.ttl_max_ms);
  for (const std::string& text : config.resources) {
    if (const auto rule = config::ParseCacheRule(text); rule.ok()) {
      out.rules.push_back(ResourceCache::Rule{rule->server, rule->ttl});
    }
  }
  return out;
}

ParkedCalls::Options MakeParkedOptions(const AppOptions& options) {
  ParkedCalls::Options out;
  if (options.members != nullptr) out.instance = options.members->self();
  out.ttl = std::chrono::milliseconds(options.connector.question_timeout_ms);
  out.calls_max = static_cast<size_t>(options.connector.parked_max);
  out.calls_per_owner_max = static_cast<size_t>(options.connector.parked_per_principal_max);
  return out;
}

}  // namespace

struct App::Parts {
  Parts(boost::asio::any_io_executor executor, metamcp::catalog::v1::CatalogService& catalog,
        http::HttpClient& http, const KeyRing& keys, const AppOptions& options)
      : tasks(executor),
        budget(static_cast<int>(options.connector.processes_max)),
        parked(executor, keys, MakeParkedOptions(options)),
        secrets(MakeSecretStore(options.database)),
        vault(*secrets, keys),
        logins(executor, tasks, http, vault),
        sandboxes(executor, tasks, options.sandbox, options.machine),
        dialer(executor, tasks, budget, http, MakeDialerOptions(options, sandboxes)),
        kept(MakeCache(options, keys)),
        core(executor, tasks, dialer, parked),
        leases(options.members, options.directory),
        manager(core, catalog, leases),
        provider(manager),
        diagnosis(core),
        vaulted(tasks, *secrets, keys, manager, core.environment),
        connector(manager, diagnosis, logins, vaulted) {
    logins.client_metadata_url = options.client_metadata_url;
    core.logins = &logins;
    if (kept) {
      resources = std::make_unique<ResourceCache>(*kept, tasks, MakeCacheOptions(options.cache));
      core.resources = resources.get();
    }
    if (options.members != nullptr) FollowHolders(*options.members);
    core.config = options.connector;
    core.environment = options.environment;
    sandboxes.UseEnvironment(core.environment);
    core.result_bytes_max = options.result_bytes_max;
    core.queued_calls_max = options.queued_calls_max;
    core.discovery.items_max = options.items_per_upstream_max;
    core.refresh = std::chrono::milliseconds(options.catalog.refresh_ms);
    core.discovery.timeout = std::chrono::milliseconds(options.catalog.list_timeout_ms);
  }

  // What a gateway that is gone alone could take up again is given up.
  void FollowHolders(cluster::Members& members) {
    auto follow = [this, &members, alive = std::weak_ptr<bool>(this->alive),
                   known = std::set<std::string>()]() mutable {
      if (alive.expired()) return;
      std::set<std::string> now;
      for (const cluster::Member& gateway : members.With("gateway")) now.insert(gateway.instance);
      for (const std::string& one : known) {
        if (now.count(one) == 0) parked.DropHolder(one);
      }
      known = std::move(now);
    };
    members.OnChange(std::move(follow));
  }

  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  TaskGroup tasks;
  ProcessBudget budget;
  ParkedCalls parked;
  std::unique_ptr<SecretStore> secrets;
  Vault vault;
  LoginCore logins;
  sandbox::Runner sandboxes;
  Dialer dialer;
  std::unique_ptr<cache::Cache> kept;
  std::unique_ptr<ResourceCache> resources;
  Core core;
  Leases leases;
  Manager manager;
  ProviderServiceImpl provider;
  Diagnosis diagnosis;
  Secrets vaulted;
  ConnectorServiceImpl connector;
};

App::App(boost::asio::any_io_executor executor, metamcp::catalog::v1::CatalogService& catalog,
         http::HttpClient& http, const KeyRing& keys, AppOptions options)
    : parts_(std::make_unique<Parts>(std::move(executor), catalog, http, keys, options)) {}

App::~App() = default;

absl::Status App::MigrateBlocking(db::Database& database) {
  METAMCP_RETURN_IF_ERROR(SqlSecretStore::MigrateBlocking(database));
  return cache::MigrateBlocking(database);
}

void App::Start() {
  parts_->vaulted.Start();
  parts_->manager.Start();
}

bool App::ready() const { return parts_->manager.informed(); }

App::Load App::load() const {
  Load load;
  for (const auto& upstream : parts_->manager.All()) {
    ++load.upstreams;
    load.connected += upstream->status().reachable() ? 1 : 0;
    load.calls += static_cast<size_t>(upstream->in_flight());
    load.parked += parts_->parked.Count(upstream->id());
  }
  load.processes = static_cast<size_t>(parts_->budget.running());
  if (parts_->resources) {
    load.cache_hits = parts_->resources->hits();
    load.cache_misses = parts_->resources->misses();
    load.cache_bytes = parts_->resources->bytes();
  }
  return load;
}

Awaitable<void> App::HandOver(std::chrono::steady_clock::time_point until) {
  auto handing = parts_->manager.HandOver(until);
  co_await std::move(handing);
}

Awaitable<void> App::Stop() {
  auto stopping = parts_->manager.Stop();
  co_await std::move(stopping);
  parts_->parked.DropUpstream("");
  // Children that are still ending get their grace; what else is left are the catalog's streams.
  const auto until = std::chrono::steady_clock::now() + kChildren;
  // Nor is a renewal cut off between the answer and its storing.
  while ((parts_->budget.running() > 0 || parts_->logins.working > 0) &&
         std::chrono::steady_clock::now() < until) {
    auto pause = Sleep(std::chrono::milliseconds(5));
    if (!co_await std::move(pause)) break;
  }
  parts_->tasks.CancelAll();
  auto joining = parts_->tasks.Join(kJoin);
  co_await std::move(joining);
}

metamcp::provider::v1::ProviderService& App::provider() { return parts_->provider; }
metamcp::connector::v1::ConnectorService& App::connector() { return parts_->connector; }

}  // namespace metamcp::connector
