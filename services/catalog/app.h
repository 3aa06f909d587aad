#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/async/sink.h"
#include "common/db/database.h"
#include "common/db/executor.h"
#include "services/catalog/registry.h"

namespace metamcp::access::v1 {
class AccessService;
}

namespace metamcp::catalog {

namespace v1 {
class CatalogService;
class DirectoryService;
class PinService;
class QuotaService;
class TaintService;
}  // namespace v1
}  // namespace metamcp::catalog

namespace metamcp::access::v1 {
class ApprovalService;
}

namespace metamcp::catalog {

// The catalog service, wired. `SqlStore` migrations run in Create's caller:
//
//   MigrateBlocking(database);                       // at start-up, before the event loop
//   auto app = co_await CatalogApp::Create(executor, db_executor);
//   (*app)->service() ...
//   co_await (*app)->Stop();
//
// Thread: the executor's one thread. Await Stop before destruction.
class CatalogApp {
 public:
  // Brings the schema up to date. Blocks.
  static absl::Status MigrateBlocking(db::Database& database);

  // Reads the stored catalog and starts. `database` must outlive the app. Errors: the store's.
  static Awaitable<absl::StatusOr<std::unique_ptr<CatalogApp>>> Create(
      boost::asio::any_io_executor executor, db::DbExecutor& database, RegistryOptions options);
  static Awaitable<absl::StatusOr<std::unique_ptr<CatalogApp>>> Create(
      boost::asio::any_io_executor executor, db::DbExecutor& database);
  ~CatalogApp();

  v1::CatalogService& service();
  v1::DirectoryService& directory();
  v1::QuotaService& quotas();
  v1::PinService& pins();
  // Null before MakeTaint, which gives it; `follow`: other processes mark, too.
  v1::TaintService& MakeTaint(bool follow);
  v1::TaintService* taint();
  // Takes effect at once.
  void SetPinPolicy(PinPolicy policy);

  // Makes who may come in. Keys hold for `max_age_days`; `follow`: other processes change it, too.
  access::v1::AccessService& MakeAccess(int64_t max_age_days, bool follow);
  // Null before.
  access::v1::AccessService* access();
  access::v1::ApprovalService& approvals();
  // Whether who makes a call may approve it.
  void SetSelfApproval(bool allowed);

  // The newest stored revision that is known here, and how many objects wait to be stored; for
  // metrics.
  int64_t revision() const;
  size_t pending() const;

  // Stores what is pending and ends. Watchers must be cancelled by their owners before.
  Awaitable<absl::Status> Stop();

 private:
  struct Parts;
  explicit CatalogApp(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace metamcp::catalog
