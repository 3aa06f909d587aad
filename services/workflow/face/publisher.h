#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <string>

#include "common/async/async_lock.h"
#include "common/async/task_group.h"
#include "common/db/executor.h"
#include "metamcp/catalog/v1/catalog_service.metamcp.h"
#include "services/workflow/face/face_store.h"
#include "services/workflow/face/tool_definition.h"

namespace metamcp::workflow {

// Keeps the catalog's list of the tools of this service: the published workflows, with hints from
// the tools that they call as those are at the time. Looks when told, when the catalog changes, and
// now and then, because other processes publish on the same database. Single-threaded. Await Stop
// before destruction.
class Publisher {
 public:
  Publisher(boost::asio::any_io_executor executor, db::DbExecutor& database,
            metamcp::catalog::v1::CatalogService& catalog, Limits limits);

  void Start();
  Awaitable<void> Stop();
  // Something was published or changed: look now.
  void Changed();
  // One look; returns when the catalog has what is published. Errors: the database's, the
  // catalog's.
  Awaitable<absl::Status> Update();
  // The upstream that the tools belong to; empty: not known here.
  const std::string& upstream_id() const { return upstream_id_; }

 private:
  Awaitable<void> Loop();
  Awaitable<void> Follow();
  Awaitable<absl::StatusOr<HintsByName>> HintsFor(const Definition& definition, int depth);
  Awaitable<Hints> AskHints(std::string tool);
  Awaitable<absl::StatusOr<std::string>> MakeTools();

  boost::asio::any_io_executor executor_;
  db::DbExecutor& database_;
  metamcp::catalog::v1::CatalogService& catalog_;
  const Limits limits_;
  AsyncLock turn_;
  Signal work_;
  TaskGroup tasks_;
  bool stopping_ = false;
  bool look_ = false;
  std::string upstream_id_;
  std::string told_;  // what the catalog was told last, and where
  metamcp::catalog::v1::ItemList list_;
  HintsByName asked_;  // of one look
};

}  // namespace metamcp::workflow
