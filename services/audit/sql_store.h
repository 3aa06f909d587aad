#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/audit/chain.h"
#include "common/audit/checkpoint.h"
#include "common/db/database.h"
#include "services/audit/record.h"
#include "services/audit/subjects.h"

namespace metamcp::audit {

// The end of one tenant's log, and what retention has removed from its beginning.
struct Head {
  std::string tenant;
  std::string log_id;
  int64_t seq = 0;
  std::string hash;
  MerkleFrontier frontier;
  int64_t base_seq = 0;  // records 1 to base_seq are removed
  std::string base_hash;
  MerkleFrontier base_frontier;
  std::string lookup;
  int64_t epoch = 0;
  int64_t checkpoint_seq = 0;  // size of the last checkpoint

  std::string origin() const { return MakeOrigin(log_id, tenant); }
};

struct CheckpointRow {
  std::string tenant;
  int64_t size = 0;
  int64_t time_us = 0;
  std::string note;
  int64_t pushed = 0;  // bits of sinks
};

// All that is set must fit.
struct RecordFilter {
  std::string subject;  // the person's name
  std::string action, item, upstream, virtual_server, outcome, trace;
  int64_t since_us = 0;
  int64_t until_us = 0;
  int64_t before_seq = 0;  // 0: from the newest
  int64_t limit = 100;
  bool failures = false;  // only what did not end as wished
};

struct HoldRow {
  std::string id;
  std::string subject;  // pseudonym; empty for all
  std::string reason;
  std::string created_by;
  int64_t created_us = 0;
};

struct UsageQuery {
  std::vector<std::string> by;  // columns of audit_usage; "hour" and "day" stand for time
  int64_t since_us = 0;
  int64_t until_us = 0;
  std::string subject, upstream, item, virtual_server;
};
struct UsageRow {
  std::string subject, upstream, item, virtual_server;
  int64_t time_us = 0;
  int64_t calls = 0, failures = 0, duration_us = 0, bytes_in = 0, bytes_out = 0;
};

// Everything in SQL. Thread: database threads; one object for all of them. Errors: those of
// common/db, beside those named.
class SqlStore {
 public:
  explicit SqlStore(const KeyRing& ring) : subjects_(ring) {}
  static absl::Status MigrateBlocking(db::Database& database);

  // Appends the events that are not stored yet, in their order, under the tenant's head. All or
  // none. Returns how many were new.
  absl::StatusOr<int64_t> Append(db::Database& database, const std::string& tenant,
                                 const std::vector<const v1::Event*>& events);

  // Nothing where the tenant has no log.
  absl::StatusOr<std::optional<Head>> GetHead(db::Database& database, const std::string& tenant);
  absl::StatusOr<std::vector<std::string>> Tenants(db::Database& database);
  // In order, from `from_seq` on.
  absl::StatusOr<std::vector<RecordRow>> Read(db::Database& database, const std::string& tenant,
                                              int64_t from_seq, int64_t limit);
  // Newest first. A subject that is not known fits nothing.
  absl::StatusOr<std::vector<RecordRow>> Query(db::Database& database, const std::string& tenant,
                                               const RecordFilter& filter);
  // The opened personal fields of each record; empty where the key is destroyed.
  absl::StatusOr<std::vector<std::string>> OpenPersonals(db::Database& database,
                                                         const std::string& tenant,
                                                         const std::vector<RecordRow>& rows);

  // Signs what the log is now, if it has grown since the last checkpoint.
  absl::StatusOr<std::optional<CheckpointRow>> MakeCheckpoint(db::Database& database,
                                                              const std::string& tenant,
                                                              const SigningKey& key);
  // In order of size, those above `after`.
  absl::StatusOr<std::vector<CheckpointRow>> Checkpoints(db::Database& database,
                                                         const std::string& tenant, int64_t after,
                                                         int64_t limit);
  absl::StatusOr<std::vector<CheckpointRow>> NewestCheckpoints(db::Database& database,
                                                               const std::string& tenant,
                                                               int64_t before, int64_t limit);
  // Of all tenants, those that a sink of `sinks` does not have.
  absl::StatusOr<std::vector<CheckpointRow>> Unpushed(db::Database& database, int64_t sinks,
                                                      int64_t limit);
  absl::Status MarkPushed(db::Database& database, const CheckpointRow& row, int64_t sink);

  // Errors: NOT_FOUND, LEGAL_HOLD. Returns the pseudonym.
  absl::StatusOr<std::string> Erase(db::Database& database, const std::string& tenant,
                                    const std::string& subject);
  absl::StatusOr<std::string> Pseudonym(db::Database& database, const std::string& tenant,
                                        const std::string& subject);
  absl::StatusOr<std::string> NameOf(db::Database& database, const std::string& tenant,
                                     const std::string& pseudonym);
  absl::Status PutHold(db::Database& database, const std::string& tenant, const HoldRow& hold);
  absl::StatusOr<std::vector<HoldRow>> Holds(db::Database& database, const std::string& tenant);
  // Errors: NOT_FOUND.
  absl::Status DeleteHold(db::Database& database, const std::string& tenant, const std::string& id);
  // Removes records older than `before_us` from the log, up to a checkpoint and not beyond what is
  // held. Returns the last one that is removed, 0 for none. Removes at most `limit` in one call, or
  // up to the next checkpoint. On PostgreSQL they stay on the disk until DropPartitions.
  absl::StatusOr<int64_t> Retain(db::Database& database, const std::string& tenant,
                                 int64_t before_us, int64_t limit);

  absl::StatusOr<std::vector<UsageRow>> Usage(db::Database& database, const std::string& tenant,
                                              const UsageQuery& query);

  // Seals keys again after a rotation of the key ring, some at a time; 0 when all are.
  absl::StatusOr<int64_t> Reseal(db::Database& database);

 private:
  Subjects subjects_;
};

// The log's head, locked until the transaction ends; made where there is none.
absl::StatusOr<Head> LockHead(db::Transaction& tx, const std::string& tenant,
                              const Subjects& subjects);
absl::StatusOr<std::optional<Head>> FindHead(db::Transaction& tx, const std::string& tenant);
absl::StatusOr<RecordRow> ReadRecordRow(const db::Row& row, const std::string& tenant);

}  // namespace metamcp::audit
