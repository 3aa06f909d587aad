#include "services/catalog/app.h"

#include <chrono>
#include <utility>

#include "common/async/task_group.h"
#include "common/base/status_macros.h"
#include "services/catalog/access/access_service.h"
#include "services/catalog/approval/approval_service.h"
#include "services/catalog/approval/approval_store.h"
#include "services/catalog/catalog_service.h"
#include "services/catalog/db_persistence.h"
#include "services/catalog/directory/directory_service.h"
#include "services/catalog/directory/directory_store.h"
#include "services/catalog/limits/quota_service.h"
#include "services/catalog/limits/quota_store.h"
#include "services/catalog/pins/pin_service.h"
#include "services/catalog/sql_store.h"
#include "services/catalog/taint/taint_service.h"
#include "services/catalog/taint/taint_store.h"

namespace metamcp::catalog {
namespace {

constexpr std::chrono::milliseconds kTaintPoll{100};

}  // namespace

// In order of construction: destruction goes backwards.
struct CatalogApp::Parts {
  Parts(boost::asio::any_io_executor executor, db::DbExecutor& database, RegistryOptions options)
      : persistence(database, options.tenant),
        registry(executor, persistence, std::move(options)),
        service(registry),
        directory(database),
        quotas(database),
        pins(registry),
        approvals(database),
        tasks(executor),
        executor_(executor),
        database_(database) {}

  DbPersistence persistence;
  Registry registry;
  CatalogService service;
  DirectoryService directory;
  QuotaService quotas;
  PinService pins;
  ApprovalService approvals;
  TaskGroup tasks;
  boost::asio::any_io_executor executor_;
  db::DbExecutor& database_;
  std::unique_ptr<AccessService> access;
  std::unique_ptr<TaintService> taint;
};

CatalogApp::CatalogApp(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
CatalogApp::~CatalogApp() = default;

absl::Status CatalogApp::MigrateBlocking(db::Database& database) {
  METAMCP_RETURN_IF_ERROR(SqlStore::MigrateBlocking(database));
  METAMCP_RETURN_IF_ERROR(DirectoryStore::MigrateBlocking(database));
  METAMCP_RETURN_IF_ERROR(QuotaStore::MigrateBlocking(database));
  METAMCP_RETURN_IF_ERROR(TaintStore::MigrateBlocking(database));
  return ApprovalStore::MigrateBlocking(database);
}

Awaitable<absl::StatusOr<std::unique_ptr<CatalogApp>>> CatalogApp::Create(
    boost::asio::any_io_executor executor, db::DbExecutor& database, RegistryOptions options) {
  const bool follows = options.follow.count() > 0;
  auto parts = std::make_unique<Parts>(executor, database, std::move(options));
  METAMCP_CO_RETURN_IF_ERROR(co_await parts->registry.Load());
  parts->tasks.Spawn("catalog.store", parts->registry.Run());
  if (follows) parts->tasks.Spawn("catalog.follow", parts->registry.Follow());
  co_return std::unique_ptr<CatalogApp>(new CatalogApp(std::move(parts)));
}

Awaitable<absl::StatusOr<std::unique_ptr<CatalogApp>>> CatalogApp::Create(
    boost::asio::any_io_executor executor, db::DbExecutor& database) {
  return Create(std::move(executor), database, RegistryOptions());
}

v1::CatalogService& CatalogApp::service() { return parts_->service; }
v1::DirectoryService& CatalogApp::directory() { return parts_->directory; }
v1::QuotaService& CatalogApp::quotas() { return parts_->quotas; }
v1::PinService& CatalogApp::pins() { return parts_->pins; }
void CatalogApp::SetPinPolicy(PinPolicy policy) { parts_->registry.SetPinPolicy(policy); }

access::v1::AccessService& CatalogApp::MakeAccess(int64_t max_age_days, bool follow) {
  AccessService::Options options;
  options.key_max_age_days = max_age_days;
  // Only such a database has other writers.
  if (!follow) options.poll = std::chrono::hours(1);
  parts_->access =
      std::make_unique<AccessService>(parts_->executor_, parts_->database_, std::move(options));
  return *parts_->access;
}

v1::TaintService& CatalogApp::MakeTaint(bool follow) {
  TaintService::Options options;
  if (follow) options.poll = kTaintPoll;
  parts_->taint =
      std::make_unique<TaintService>(parts_->executor_, parts_->database_, std::move(options));
  return *parts_->taint;
}
v1::TaintService* CatalogApp::taint() { return parts_->taint.get(); }

access::v1::AccessService* CatalogApp::access() { return parts_->access.get(); }
access::v1::ApprovalService& CatalogApp::approvals() { return parts_->approvals; }
void CatalogApp::SetSelfApproval(bool allowed) { parts_->approvals.SetSelfApproval(allowed); }

int64_t CatalogApp::revision() const { return parts_->registry.stored_head(); }
size_t CatalogApp::pending() const { return parts_->registry.pending(); }

Awaitable<absl::Status> CatalogApp::Stop() {
  parts_->registry.RequestStop();
  parts_->tasks.CancelAll();
  co_await parts_->tasks.Join(std::chrono::seconds(10));
  co_return co_await parts_->registry.Flush();
}

}  // namespace metamcp::catalog
