#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "common/db/open_database.h"

namespace metamcp::db {

// Opens the SQLite database in the file `path`, or a private one in memory for ":memory:": WAL,
// foreign keys on, one connection, one transaction at a time. A new file gets mode 0600 (and so do
// its -wal and -shm companions). Errors: UNAVAILABLE when it cannot be opened or is not SQLite.
absl::StatusOr<std::unique_ptr<Database>> OpenSqliteBlocking(const std::string& path,
                                                             const OpenOptions& options);

}  // namespace metamcp::db
