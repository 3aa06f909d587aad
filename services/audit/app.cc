#include "services/audit/app.h"

#include "common/base/error.h"
#include "common/base/strings.h"
#include "services/audit/audit_service.h"
#include "services/audit/sql_store.h"
#include "services/audit/upkeep.h"

namespace metamcp::audit {
namespace {

UpkeepOptions MakeUpkeepOptions(const AppOptions& options) {
  UpkeepOptions out;
  out.checkpoint_every = std::chrono::milliseconds(options.checkpoint_ms);
  out.checkpoint_file = options.checkpoint_file;
  out.webhook = options.webhook;
  out.webhook_private = options.webhook_private;
  out.retention_days = options.retention_days;
  return out;
}

}  // namespace

// In order of construction: destruction goes backwards.
struct App::Parts {
  Parts(boost::asio::any_io_executor executor, db::DbExecutor& database, const KeyRing& ring,
        SigningKey signing, http::HttpClient& http, const AppOptions& options)
      : key(std::move(signing)),
        store(ring),
        service(executor, database, store, key, options.checkpoint_file),
        upkeep(executor, database, store, key, http, MakeUpkeepOptions(options)) {}

  const SigningKey key;
  SqlStore store;
  AuditService service;
  Upkeep upkeep;
};

App::App(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
App::~App() = default;

absl::StatusOr<std::unique_ptr<App>> App::CreateBlocking(boost::asio::any_io_executor executor,
                                                         db::DbExecutor& database,
                                                         const KeyRing& ring,
                                                         http::HttpClient& http,
                                                         AppOptions options) {
  auto key = SigningKey::LoadOrCreateBlocking(options.signing_key_file);
  if (!key.ok()) {
    return MakeError("CONFIG_INVALID", "audit",
                     StrCat("audit.signingKeyFile: ", Sv(key.status().message())));
  }
  return std::unique_ptr<App>(new App(std::make_unique<Parts>(std::move(executor), database, ring,
                                                              *std::move(key), http, options)));
}

absl::Status App::MigrateBlocking(db::Database& database) {
  return SqlStore::MigrateBlocking(database);
}

void App::Start() { parts_->upkeep.Start(); }

Awaitable<void> App::Stop() {
  auto stopping = parts_->upkeep.Stop();
  co_await std::move(stopping);
}

v1::AuditService& App::service() { return parts_->service; }

}  // namespace metamcp::audit
