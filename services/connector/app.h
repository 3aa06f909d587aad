#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>

#include "common/async/sink.h"
#include "common/base/key_ring.h"
#include "common/cluster/members.h"
#include "common/config/config.h"
#include "common/config/expand.h"
#include "common/db/executor.h"
#include "metamcp/catalog/v1/catalog_service.metamcp.h"
#include "metamcp/catalog/v1/directory_service.metamcp.h"
#include "metamcp/connector/v1/connector_service.metamcp.h"
#include "metamcp/provider/v1/provider_service.metamcp.h"
#include "services/connector/sandbox/machine.h"

namespace metamcp::http {
class HttpClient;
}

namespace metamcp::connector {

struct AppOptions {
  AppOptions() = default;
  // The cluster, if this connector is part of one; both must outlive the app.
  cluster::Members* members = nullptr;
  metamcp::catalog::v1::DirectoryService* directory = nullptr;
  config::ConnectorConfig connector;
  config::CatalogConfig catalog;    // how often lists are read, and how long one may take
  config::Environment environment;  // that ${VAR} in specifications refers to
  std::string client_info =         // our Implementation object, as upstreams see it
      R"({"name":"meta-mcp","version":"0.1.0"})";
  size_t result_bytes_max = 32u << 20;
  size_t queued_calls_max = 1024;         // per upstream
  size_t items_per_upstream_max = 20000;  // of one kind
  // Where logins are kept between starts; null: only as long as the process lives.
  db::DbExecutor* database = nullptr;
  config::SandboxConfig sandbox;
  config::CacheConfig cache;
  // For cache.backend database; must outlive the app where that is chosen.
  db::DbExecutor* cache_database = nullptr;
  sandbox::Machine machine;         // what ProbeBlocking found
  std::string client_metadata_url;  // of our Client ID Metadata Document; empty: none
};

// The connector's one place of wiring. Use:
//
//   App app(executor, catalog, http, keys, options);
//   app.Start();                       // follows the catalog; connects to everything at once
//   ... app.provider(), app.connector() ...
//   co_await app.Stop();               // ends children and sessions; then it may be destroyed
//
// Everything runs on `executor`'s one thread. The referenced objects must outlive the app; the
// catalog must answer until Stop has returned.
class App {
 public:
  App(boost::asio::any_io_executor executor, metamcp::catalog::v1::CatalogService& catalog,
      http::HttpClient& http, const KeyRing& keys, AppOptions options);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // Brings the schema up to date. Blocks.
  static absl::Status MigrateBlocking(db::Database& database);

  void Start();
  // The catalog has said what there is to run.
  bool ready() const;
  // What is there now, for metrics.
  struct Load {
    size_t upstreams = 0;  // that this connector runs
    size_t connected = 0;  // of them, those that answer
    size_t calls = 0;      // in flight
    size_t parked = 0;     // calls that wait for a client's answer
    size_t processes = 0;
    // Resources that were read: given again, and asked of their server; what is kept, in bytes.
    int64_t cache_hits = 0, cache_misses = 0;
    size_t cache_bytes = 0;
  };
  Load load() const;
  // Lets the other connectors take over what runs here, each upstream when its calls are done,
  // until none is left or `until`. For a process whose members' entry is a connector's no more.
  Awaitable<void> HandOver(std::chrono::steady_clock::time_point until);
  Awaitable<void> Stop();

  metamcp::provider::v1::ProviderService& provider();
  metamcp::connector::v1::ConnectorService& connector();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace metamcp::connector
