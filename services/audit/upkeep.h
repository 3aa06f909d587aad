#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "common/async/async_lock.h"
#include "common/async/task_group.h"
#include "common/audit/signing_key.h"
#include "common/db/executor.h"
#include "services/audit/sql_store.h"

namespace metamcp::http {
class HttpClient;
}

namespace metamcp::audit {

struct UpkeepOptions {
  UpkeepOptions() = default;
  std::chrono::milliseconds checkpoint_every{10'000};
  std::string checkpoint_file;   // empty: none
  std::string webhook;           // URL; empty: none
  bool webhook_private = false;  // it may have a private or loopback address
  int64_t retention_days = 0;    // 0: for ever
};

// What goes on in the background: checkpoints and pushing them to the sinks, partitions, retention,
// sealing keys again after a rotation. What fails is tried again at the next turn. Thread: the
// executor's one.
class Upkeep {
 public:
  static constexpr int64_t kFileSink = 1;
  static constexpr int64_t kWebhookSink = 2;

  // All must outlive it.
  Upkeep(boost::asio::any_io_executor executor, db::DbExecutor& database, SqlStore& store,
         const SigningKey& key, http::HttpClient& http, UpkeepOptions options);

  void Start();
  // Makes and pushes a last checkpoint.
  Awaitable<void> Stop();
  // One turn, now.
  Awaitable<absl::Status> Checkpoint();
  Awaitable<absl::Status> Retain(int64_t now_us);

  // The notes of the checkpoint file, with its name. Blocks.
  static std::vector<std::pair<std::string, std::string>> ReadFileBlocking(const std::string& path);

 private:
  Awaitable<void> Run();
  Awaitable<absl::Status> PushToFile(std::vector<CheckpointRow> rows);
  Awaitable<absl::Status> PushToWebhook(CheckpointRow row);
  Awaitable<absl::Status> Push();
  Awaitable<absl::StatusOr<std::vector<std::string>>> Tenants();
  Awaitable<absl::Status> KeepTables(int64_t now_us);
  Awaitable<absl::Status> RetainTenant(std::string tenant, int64_t now_us, int64_t before_us);
  Awaitable<absl::Status> DropTables(int64_t before_us);
  int64_t sinks() const;

  db::DbExecutor& database_;
  SqlStore& store_;
  const SigningKey& key_;
  http::HttpClient& http_;
  const UpkeepOptions options_;
  TaskGroup tasks_;
  AsyncLock turn_;
  bool warned_ = false;
};

}  // namespace metamcp::audit
