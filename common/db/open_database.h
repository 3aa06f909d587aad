#pragma once

#include <chrono>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/db/database.h"

namespace metamcp::db {

// What a data source can be told beside its URL. Each driver takes what concerns it.
struct OpenOptions {
  // SQLite: fsync on every commit (survives a power cut) instead of at checkpoints (survives a
  // crash of the process only; about ten times faster).
  bool sqlite_full_sync = true;
  // SQLite: how long a transaction waits for another process that writes.
  std::chrono::milliseconds sqlite_busy_timeout{5000};

  // PostgreSQL: connections in the pool, 1 to 200.
  int pool_size = 4;
  std::chrono::milliseconds connect_timeout{5000};
  // PostgreSQL: a connection older than this is replaced before its next use; zero never.
  std::chrono::milliseconds recycle_after{1'800'000};
  // PostgreSQL: upper bound of one statement; the deadline of the transaction lowers it.
  std::chrono::milliseconds statement_timeout{30000};
};

// Opens `url`: "sqlite:/path/to/file", "sqlite:relative/file", "sqlite::memory:",
// "postgresql://..." or "postgres://...". A SQLite file is made with mode 0600 in an existing
// folder; the first PostgreSQL connection is made before returning.
// Errors: INVALID_ARGUMENT for any other URL; UNAVAILABLE when it cannot be opened or reached. No
// message contains the password of the URL. Blocks.
absl::StatusOr<std::unique_ptr<Database>> OpenDatabaseBlocking(std::string_view url,
                                                               const OpenOptions& options = {});

}  // namespace metamcp::db
