#pragma once

#include <memory>

#include "common/base/key_ring.h"
#include "common/cache/cache.h"
#include "common/db/executor.h"

namespace metamcp::cache {

// In the table cache_entries, sealed, for all processes; what expires first makes room. Who waits
// longer than 250 ms for the database goes without. `executor` and `keys` must outlive it.
std::unique_ptr<Cache> MakeDatabaseCache(db::DbExecutor& executor, const KeyRing& keys,
                                         Limits limits);
// Blocks.
absl::Status MigrateBlocking(db::Database& database);

}  // namespace metamcp::cache
