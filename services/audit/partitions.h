#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "common/db/database.h"

// Records by time on PostgreSQL: audit_records is made of a table for each week, so that retention
// drops tables instead of deleting rows one by one (docs/adr/0016-audit-partitions.md). On SQLite
// nothing of this happens. Thread: database threads; several processes may call it at once.
namespace metamcp::audit {

constexpr int64_t kPartitionUs = int64_t{7} * 24 * 3600 * 1'000'000;

// Makes audit_records partitioned where it is not yet, while others read and write it, and sees to
// it that the weeks of `now_us` and the next two have tables. What is interrupted goes on at the
// next call. Returns how many tables were made. May take minutes, once, on a large table of an
// older release.
absl::StatusOr<int64_t> KeepPartitions(db::Database& database, int64_t now_us);

struct Removed {
  int64_t tables = 0;
  int64_t rows = 0;
  bool more = false;  // call again
};
// Takes from the disk what retention has removed from the logs: weeks that ended before
// `before_us` and have no record that is still in a log as whole tables, the rest in rows, at most
// `rows_max` in a call.
absl::StatusOr<Removed> DropPartitions(db::Database& database, int64_t before_us, int64_t rows_max);

}  // namespace metamcp::audit
