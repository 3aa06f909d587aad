#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "common/db/database.h"
#include "common/db/executor.h"
#include "services/ai/model/model.h"

namespace metamcp::http {
class HttpClient;
}
namespace metamcp::audit::v1 {
class AuditService;
}
namespace metamcp::catalog::v1 {
class CatalogService;
class QuotaService;
}  // namespace metamcp::catalog::v1
namespace metamcp::workflow::v1 {
class WorkflowService;
}

namespace metamcp::ai {

namespace v1 {
class AiService;
}

struct AppOptions {
  AppOptions() = default;
  std::vector<ProviderSpec> providers;  // in the order in which they are asked
  std::chrono::milliseconds suggest_time{3000};
  // Of one principal; 0: no limit.
  int64_t requests_per_minute = 30;
  int64_t tokens_per_day = 0;
  int64_t cents_per_day = 0;
  int64_t breaker_failures = 3;
  std::chrono::milliseconds breaker_open{30'000};
  size_t cache_entries = 1000;
  std::chrono::milliseconds cache_lifetime{600'000};
  bool history = false;  // suggestions from the audit
  // By which all processes share the limits of a minute; null: each counts for itself.
  metamcp::catalog::v1::QuotaService* quotas = nullptr;
  // What was called; null: nobody knows.
  metamcp::audit::v1::AuditService* audit = nullptr;
};

// The ai service, wired. Thread: the io thread. What it refers to must outlive it.
class App {
 public:
  App(db::DbExecutor& database, http::HttpClient& http,
      metamcp::catalog::v1::CatalogService& catalog,
      metamcp::workflow::v1::WorkflowService& workflows, AppOptions options);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // Brings the schema up to date. Blocks.
  static absl::Status MigrateBlocking(db::Database& database);

  v1::AiService& service();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace metamcp::ai
