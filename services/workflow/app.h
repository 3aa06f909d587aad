#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>

#include "common/async/sink.h"
#include "common/base/key_ring.h"
#include "common/db/database.h"
#include "common/db/executor.h"

namespace metamcp::http {
class HttpClient;
}
namespace metamcp::access::v1 {
class ApprovalService;
}
namespace metamcp::catalog::v1 {
class CatalogService;
}
namespace metamcp::gateway::v1 {
class CallsService;
}
namespace metamcp::provider::v1 {
class ProviderService;
}

namespace metamcp::workflow {

namespace v1 {
class WorkflowService;
}

struct AppOptions {
  AppOptions() = default;
  std::string owner;                   // of leases; one run of this process
  std::string jq_program;              // path of meta-mcp-jq
  bool http_loopback = false;          // call: http and webhooks may reach this machine
  int64_t retention_days = 0;          // of ended runs; 0: they stay
  int64_t runs_per_principal_max = 0;  // that have not ended; 0: any number
  bool schedules = true;               // this process starts the runs of schedules
};

// The workflow service, wired:
//
//   App::MigrateBlocking(database);                  // at start-up, before the event loop
//   App app(executor, database, catalog, http, keys, options);
//   app.Start(calls);                                // when tools can be called
//   co_await app.Stop();
//
// Thread: the executor's one thread. What it refers to must outlive it.
class App {
 public:
  App(boost::asio::any_io_executor executor, db::DbExecutor& database,
      metamcp::catalog::v1::CatalogService& catalog, http::HttpClient& http, const KeyRing& keys,
      AppOptions options);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // Brings the schema up to date. Blocks.
  static absl::Status MigrateBlocking(db::Database& database);

  // Whether there is a service that fills slots by a model. Before Start.
  void SetModels(bool there);
  // Who keeps what persons allow. `self`: who makes a call may allow it.
  void SetApprovals(metamcp::access::v1::ApprovalService& approvals, bool self);
  void Start(metamcp::gateway::v1::CallsService& calls);
  // Gives its runs up for others, or for the next start.
  Awaitable<void> Stop();

  v1::WorkflowService& service();
  // Serves the tools that published workflows are.
  metamcp::provider::v1::ProviderService& provider();
  // Whether these tools belong to that upstream.
  bool Serves(const std::string& upstream_id) const;
  // Runs that this process carries on now.
  size_t running() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace metamcp::workflow
