#pragma once

#include <sqlite3.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "common/db/statement.h"

namespace metamcp::db {

// One open SQLite handle with its prepared statements. Only sqlite_*.cc include this. Thread: one
// at a time, except Abort.
class SqliteConnection {
 public:
  using Clock = std::chrono::steady_clock;
  struct Result {
    Rows rows;
    int64_t affected = 0;
  };

  static absl::StatusOr<std::unique_ptr<SqliteConnection>> Open(
      const std::string& path, bool full_sync, std::chrono::milliseconds busy_timeout);
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;
  ~SqliteConnection();

  absl::StatusOr<Result> Run(std::string_view sql, const Params& params, bool read_only);
  // Any number of statements, no rows.
  absl::Status Script(const std::string& sql);

  // Statements fail from `deadline` on; forgets an earlier Abort.
  void SetLimit(Clock::time_point deadline);
  // Makes the statement in flight and all later ones fail until the next SetLimit. Thread: any.
  void Abort();

  bool in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }

 private:
  struct Prepared {
    sqlite3_stmt* statement = nullptr;
    std::vector<std::string> names;
    Row::Columns columns;
  };

  explicit SqliteConnection(sqlite3* handle) : handle_(handle) {}
  absl::Status Configure(bool full_sync);
  absl::StatusOr<Prepared*> Prepare(std::string_view sql);
  absl::Status Bind(sqlite3_stmt* statement, const std::vector<const Value*>& values);
  absl::StatusOr<Result> Step(const Prepared& prepared);
  absl::Status Failure(int code, std::string_view sql);
  bool Stopped() const;
  static int OnProgress(void* self);
  static int OnBusy(void* self, int calls);

  sqlite3* const handle_;
  std::chrono::milliseconds busy_timeout_{0};
  Clock::time_point busy_since_;
  std::unordered_map<std::string, Prepared> prepared_;
  Clock::time_point deadline_ = Clock::time_point::max();
  std::atomic<bool> aborted_{false};
};

}  // namespace metamcp::db
