// What cares for a log: checkpoints, erasure, holds, retention.
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/audit/sql_store.h"

namespace metamcp::audit {
namespace {

using db::Params;
using db::Row;
using db::Rows;
using db::Transaction;

absl::StatusOr<std::vector<HoldRow>> ReadHolds(Transaction& tx, const std::string& tenant) {
  METAMCP_ASSIGN_OR_RETURN(
      const Rows rows,
      tx.Query("SELECT * FROM audit_holds WHERE tenant = :tenant ORDER BY created_us, id",
               {{"tenant", tenant}}));
  std::vector<HoldRow> out;
  for (const Row& row : rows) {
    HoldRow& to = out.emplace_back();
    METAMCP_ASSIGN_OR_RETURN(to.id, row.Get<std::string>("id"));
    METAMCP_ASSIGN_OR_RETURN(to.subject, row.Get<std::string>("subject"));
    METAMCP_ASSIGN_OR_RETURN(to.reason, row.Get<std::string>("reason"));
    METAMCP_ASSIGN_OR_RETURN(to.created_by, row.Get<std::string>("created_by"));
    METAMCP_ASSIGN_OR_RETURN(to.created_us, row.Get<int64_t>("created_us"));
  }
  return out;
}

// The last record that no hold keeps.
absl::StatusOr<int64_t> LastFree(Transaction& tx, const Head& head, int64_t last) {
  const std::string& tenant = head.tenant;
  METAMCP_ASSIGN_OR_RETURN(const std::vector<HoldRow> holds, ReadHolds(tx, tenant));
  for (const HoldRow& hold : holds) {
    if (hold.subject.empty()) return 0;
    METAMCP_ASSIGN_OR_RETURN(
        const Row row,
        tx.QueryOne("SELECT COALESCE(MIN(seq), 0) AS seq FROM audit_records WHERE tenant = :tenant "
                    "AND subject = :subject AND seq > :base",
                    {{"tenant", tenant}, {"subject", hold.subject}, {"base", head.base_seq}}));
    METAMCP_ASSIGN_OR_RETURN(const int64_t first, row.Get<int64_t>("seq"));
    if (first > 0) last = std::min(last, first - 1);
  }
  return last;
}

}  // namespace

absl::StatusOr<std::optional<CheckpointRow>> SqlStore::MakeCheckpoint(db::Database& database,
                                                                      const std::string& tenant,
                                                                      const SigningKey& key) {
  using Result = std::optional<CheckpointRow>;
  const db::TransactOptions options;
  return database.Transact(options, [&](Transaction& tx) -> absl::StatusOr<Result> {
    METAMCP_ASSIGN_OR_RETURN(const std::optional<Head> seen, FindHead(tx, tenant));
    if (!seen || seen->seq == seen->checkpoint_seq) return Result();
    METAMCP_ASSIGN_OR_RETURN(const Head head, LockHead(tx, tenant, subjects_));
    if (head.seq == head.checkpoint_seq) return Result();
    Checkpoint checkpoint;
    checkpoint.origin = head.origin();
    checkpoint.size = head.seq;
    checkpoint.root = head.frontier.Root();
    checkpoint.chain = head.hash;
    checkpoint.time_us = NowMicros();
    CheckpointRow row;
    row.tenant = tenant;
    row.size = head.seq;
    row.time_us = checkpoint.time_us;
    row.note = SignCheckpoint(checkpoint, key);
    METAMCP_RETURN_IF_ERROR(tx.Upsert("audit_checkpoints", {{"tenant", tenant}, {"size", row.size}},
                                      {{"time_us", row.time_us},
                                       {"note", row.note},
                                       {"frontier", db::Blob(head.frontier.Encode())},
                                       {"hash", db::Blob(head.hash)},
                                       {"pushed", 0}}));
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE audit_heads SET checkpoint_seq = :size WHERE tenant = :tenant",
                   {{"size", row.size}, {"tenant", tenant}})
            .status());
    return Result(std::move(row));
  });
}

absl::Status SqlStore::MarkPushed(db::Database& database, const CheckpointRow& row, int64_t sink) {
  const db::TransactOptions options;
  return database.Transact(options, [&](Transaction& tx) -> absl::Status {
    return tx
        .Execute(
            "UPDATE audit_checkpoints SET pushed = pushed | :sink WHERE tenant = :tenant AND "
            "size = :size",
            {{"sink", sink}, {"tenant", row.tenant}, {"size", row.size}})
        .status();
  });
}

absl::StatusOr<std::string> SqlStore::Pseudonym(db::Database& database, const std::string& tenant,
                                                const std::string& subject) {
  return database.Read([&](Transaction& tx) -> absl::StatusOr<std::string> {
    METAMCP_ASSIGN_OR_RETURN(const std::optional<Head> head, FindHead(tx, tenant));
    if (!head) return MakeError("NOT_FOUND", "audit", "nothing is recorded of this subject");
    const Subjects::Scope scope{tenant, head->lookup, head->epoch, {}};
    return subjects_.Find(tx, scope, subject);
  });
}

absl::StatusOr<std::string> SqlStore::NameOf(db::Database& database, const std::string& tenant,
                                             const std::string& pseudonym) {
  return database.Read([&](Transaction& tx) { return subjects_.Name(tx, tenant, pseudonym); });
}

absl::StatusOr<std::string> SqlStore::Erase(db::Database& database, const std::string& tenant,
                                            const std::string& subject) {
  const db::TransactOptions options;
  return database.Transact(options, [&](Transaction& tx) -> absl::StatusOr<std::string> {
    METAMCP_ASSIGN_OR_RETURN(const Head head, LockHead(tx, tenant, subjects_));
    const Subjects::Scope scope{tenant, head.lookup, head.epoch, {}};
    METAMCP_ASSIGN_OR_RETURN(const std::string id, subjects_.Find(tx, scope, subject));
    METAMCP_ASSIGN_OR_RETURN(const std::vector<HoldRow> holds, ReadHolds(tx, tenant));
    for (const HoldRow& hold : holds) {
      if (hold.subject.empty() || hold.subject == id) {
        return MakeError("LEGAL_HOLD", "audit",
                         StrCat("hold ", hold.id, " keeps what is recorded of this subject"));
      }
    }
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("DELETE FROM audit_subjects WHERE tenant = :tenant AND id = :id",
                   {{"tenant", tenant}, {"id", id}})
            .status());
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE audit_heads SET epoch = epoch + 1 WHERE tenant = :tenant",
                   {{"tenant", tenant}})
            .status());
    return id;
  });
}

absl::Status SqlStore::PutHold(db::Database& database, const std::string& tenant,
                               const HoldRow& hold) {
  const db::TransactOptions options;
  return database.Transact(options, [&](Transaction& tx) -> absl::Status {
    // Not between the look of an erasure at the holds and its end.
    METAMCP_RETURN_IF_ERROR(LockHead(tx, tenant, subjects_).status());
    return tx.Upsert("audit_holds", {{"tenant", tenant}, {"id", hold.id}},
                     {{"subject", hold.subject},
                      {"reason", CleanText(hold.reason, 1024)},
                      {"created_by", CleanText(hold.created_by, 256)},
                      {"created_us", hold.created_us}});
  });
}

absl::StatusOr<std::vector<HoldRow>> SqlStore::Holds(db::Database& database,
                                                     const std::string& tenant) {
  return database.Read([&](Transaction& tx) { return ReadHolds(tx, tenant); });
}

absl::Status SqlStore::DeleteHold(db::Database& database, const std::string& tenant,
                                  const std::string& id) {
  const db::TransactOptions options;
  return database.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_ASSIGN_OR_RETURN(
        const int64_t deleted,
        tx.Execute("DELETE FROM audit_holds WHERE tenant = :tenant AND id = :id",
                   {{"tenant", tenant}, {"id", id}}));
    if (deleted == 0) return MakeError("NOT_FOUND", "audit", "there is no such hold");
    return absl::OkStatus();
  });
}

absl::StatusOr<int64_t> SqlStore::Retain(db::Database& database, const std::string& tenant,
                                         int64_t before_us, int64_t limit) {
  const db::TransactOptions options;
  return database.Transact(options, [&](Transaction& tx) -> absl::StatusOr<int64_t> {
    METAMCP_ASSIGN_OR_RETURN(const Head head, LockHead(tx, tenant, subjects_));
    METAMCP_ASSIGN_OR_RETURN(
        const Row next,
        tx.QueryOne("SELECT COALESCE(MIN(size), 0) AS size FROM audit_checkpoints WHERE tenant = "
                    ":tenant AND size > :base",
                    {{"tenant", tenant}, {"base", head.base_seq}}));
    METAMCP_ASSIGN_OR_RETURN(const int64_t next_size, next.Get<int64_t>("size"));
    // Up to the next checkpoint at least, however many records that is.
    int64_t last = std::min(head.seq, std::max(head.base_seq + limit, next_size));
    METAMCP_ASSIGN_OR_RETURN(
        const Row young,
        tx.QueryOne(
            "SELECT MIN(seq) AS seq FROM audit_records WHERE tenant = :tenant AND seq > "
            ":base AND seq <= :last AND time_us >= :before",
            {{"tenant", tenant}, {"base", head.base_seq}, {"last", last}, {"before", before_us}}));
    METAMCP_ASSIGN_OR_RETURN(const auto first_young, young.Get<std::optional<int64_t>>("seq"));
    if (first_young) last = *first_young - 1;
    METAMCP_ASSIGN_OR_RETURN(last, LastFree(tx, head, last));
    METAMCP_ASSIGN_OR_RETURN(
        const Rows cut,
        tx.Query("SELECT size, frontier, hash FROM audit_checkpoints WHERE tenant = "
                 ":tenant AND size <= :last AND size > :base ORDER BY size DESC "
                 "LIMIT 1",
                 {{"tenant", tenant}, {"last", last}, {"base", head.base_seq}}));
    if (cut.empty()) return 0;
    METAMCP_ASSIGN_OR_RETURN(const int64_t size, cut[0].Get<int64_t>("size"));
    METAMCP_ASSIGN_OR_RETURN(const db::Blob frontier, cut[0].Get<db::Blob>("frontier"));
    METAMCP_ASSIGN_OR_RETURN(const db::Blob hash, cut[0].Get<db::Blob>("hash"));
    // On PostgreSQL DropPartitions takes them from the disk.
    if (tx.backend() == db::Backend::kSqlite) {
      METAMCP_RETURN_IF_ERROR(
          tx.Execute("DELETE FROM audit_records WHERE tenant = :tenant AND seq <= :size",
                     {{"tenant", tenant}, {"size", size}})
              .status());
    }
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE audit_heads SET base_seq = :size, base_hash = :hash, "
                   "base_frontier = :frontier WHERE tenant = :tenant",
                   {{"size", size}, {"hash", hash}, {"frontier", frontier}, {"tenant", tenant}})
            .status());
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("DELETE FROM audit_usage WHERE tenant = :tenant AND hour_us < :before",
                   {{"tenant", tenant}, {"before", before_us - int64_t{3600} * 1'000'000}})
            .status());
    return size;
  });
}

}  // namespace metamcp::audit
