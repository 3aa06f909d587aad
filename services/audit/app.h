#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/async/sink.h"
#include "common/base/key_ring.h"
#include "common/db/database.h"
#include "common/db/executor.h"

namespace metamcp::http {
class HttpClient;
}

namespace metamcp::audit {

namespace v1 {
class AuditService;
}

struct AppOptions {
  AppOptions() = default;
  std::string signing_key_file;
  std::string checkpoint_file;  // empty: none
  std::string webhook;          // empty: none
  bool webhook_private = false;
  int64_t checkpoint_ms = 10'000;
  int64_t retention_days = 0;
};

// The audit service, wired:
//
//   App::MigrateBlocking(database);                        // at start-up, before the event loop
//   auto app = App::CreateBlocking(executor, database, ring, http, options);
//   app->Start();
//   co_await app->Stop();
//
// Thread: the executor's one thread. What it refers to must outlive it.
class App {
 public:
  // Reads or makes the signing key. Errors: CONFIG_INVALID.
  static absl::StatusOr<std::unique_ptr<App>> CreateBlocking(boost::asio::any_io_executor executor,
                                                             db::DbExecutor& database,
                                                             const KeyRing& ring,
                                                             http::HttpClient& http,
                                                             AppOptions options);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // Brings the schema up to date. Blocks.
  static absl::Status MigrateBlocking(db::Database& database);

  void Start();
  // With a last checkpoint.
  Awaitable<void> Stop();

  v1::AuditService& service();

 private:
  struct Parts;
  explicit App(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace metamcp::audit
