// Appending, and the head of a log. What reads is in sql_query.cc, what cares for the log in
// sql_upkeep.cc.
#include "services/audit/sql_store.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/db/migrations.h"
#include "migrations/audit.h"
#include "services/audit/partitions.h"

namespace metamcp::audit {
namespace {

using db::Params;
using db::Row;
using db::Rows;
using db::Transaction;

constexpr int64_t kHourUs = int64_t{3600} * 1'000'000;
// On PostgreSQL each statement is a round trip; on SQLite one row more costs nothing.
constexpr size_t kRowsPerInsert = 16;
constexpr size_t kIdsPerQuery = 200;
constexpr const char* kColumns[] = {"seq",     "id",    "time_us",  "subject",
                                    "action",  "item",  "upstream", "virtual_server",
                                    "outcome", "trace", "hash",     "record"};

absl::StatusOr<std::set<std::string>> KnownIds(Transaction& tx, const std::string& tenant,
                                               const std::vector<const v1::Event*>& events) {
  std::set<std::string> known;
  for (size_t begin = 0; begin < events.size(); begin += kIdsPerQuery) {
    const size_t end = std::min(begin + kIdsPerQuery, events.size());
    std::string in;
    Params params = {{"tenant", tenant}};
    // An event has the same time whenever it comes, so only the partitions of these are looked at.
    int64_t first = events[begin]->time_us();
    int64_t last = first;
    for (size_t i = begin; i < end; ++i) {
      const std::string name = StrCat("i", i - begin);
      in += StrCat(in.empty() ? ":" : ", :", name);
      params.emplace_back(name, CleanText(events[i]->id(), 64));
      first = std::min(first, events[i]->time_us());
      last = std::max(last, events[i]->time_us());
    }
    params.emplace_back("first", first);
    params.emplace_back("last", last);
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query(StrCat("SELECT id FROM audit_records WHERE tenant = :tenant AND time_us >= :first "
                        "AND time_us <= :last AND id IN (",
                        in, ")"),
                 params));
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(std::string id, row.Get<std::string>("id"));
      known.insert(std::move(id));
    }
  }
  return known;
}

// One statement for several rows.
absl::Status InsertSome(Transaction& tx, const std::vector<RecordRow>& rows, size_t begin,
                        size_t end) {
  std::string sql = "INSERT INTO audit_records (tenant";
  for (const char* column : kColumns) sql += StrCat(", ", column);
  sql += ") VALUES ";
  Params params = {{"tenant", rows[begin].tenant}};
  params.reserve(1 + (end - begin) * std::size(kColumns));
  for (size_t i = begin; i < end; ++i) {
    const RecordRow& row = rows[i];
    sql += i == begin ? "(:tenant" : ", (:tenant";
    const auto add = [&](size_t column, db::Value value) {
      std::string name = StrCat("p", i - begin, "_", column);
      sql += StrCat(", :", name);
      params.emplace_back(name, std::move(value));
    };
    add(0, row.seq);
    add(1, row.id);
    add(2, row.time_us);
    add(3, row.subject);
    add(4, row.action);
    add(5, row.item);
    add(6, row.upstream);
    add(7, row.virtual_server);
    add(8, row.outcome);
    add(9, row.trace);
    add(10, db::Blob(row.hash));
    add(11, row.record);
    sql += ")";
  }
  return tx.Execute(sql, params).status();
}

struct UsageKey {
  int64_t hour_us;
  std::string subject, upstream, item, virtual_server;
  auto operator<=>(const UsageKey&) const = default;
};
struct UsageSum {
  int64_t calls = 0, failures = 0, duration_us = 0, bytes_in = 0, bytes_out = 0;
};
using UsageSums = std::map<UsageKey, UsageSum>;

// Calls that reached a server count; refusals and what operators do does not.
void Count(const RecordRow& row, const v1::Event& event, UsageSums& sums) {
  if (event.upstream().empty()) return;
  UsageSum& sum = sums[UsageKey{row.time_us - row.time_us % kHourUs, row.subject, row.upstream,
                                row.item, row.virtual_server}];
  ++sum.calls;
  if (row.outcome != "ok" && row.outcome != "input_required") ++sum.failures;
  sum.duration_us += event.duration_us();
  sum.bytes_in += event.arguments().size();
  sum.bytes_out += event.result_size();
}

absl::Status AddUsage(Transaction& tx, const std::string& tenant, const UsageSums& sums,
                      size_t rows_per_statement) {
  constexpr std::string_view kInsert =
      "INSERT INTO audit_usage (tenant, hour_us, subject, upstream, item, virtual_server, calls, "
      "failures, duration_us, bytes_in, bytes_out) VALUES ";
  constexpr std::string_view kAdd =
      " ON CONFLICT (tenant, hour_us, subject, upstream, item, virtual_server) DO UPDATE SET calls "
      "= audit_usage.calls + excluded.calls, failures = audit_usage.failures + excluded.failures, "
      "duration_us = audit_usage.duration_us + excluded.duration_us, bytes_in = "
      "audit_usage.bytes_in + excluded.bytes_in, bytes_out = audit_usage.bytes_out + "
      "excluded.bytes_out";
  for (auto it = sums.begin(); it != sums.end();) {
    std::string values;
    Params params = {{"tenant", tenant}};
    for (size_t row = 0; row < rows_per_statement && it != sums.end(); ++row, ++it) {
      const auto& [key, sum] = *it;
      const db::Value cells[] = {key.hour_us,        key.subject,  key.upstream, key.item,
                                 key.virtual_server, sum.calls,    sum.failures, sum.duration_us,
                                 sum.bytes_in,       sum.bytes_out};
      values += row == 0 ? "(:tenant" : ", (:tenant";
      for (size_t column = 0; column < std::size(cells); ++column) {
        std::string name = StrCat("u", row, "_", column);
        values += StrCat(", :", name);
        params.emplace_back(name, cells[column]);
      }
      values += ")";
    }
    METAMCP_RETURN_IF_ERROR(tx.Execute(StrCat(kInsert, values, kAdd), params).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<Head> ReadHead(const Row& row) {
  Head head;
  METAMCP_ASSIGN_OR_RETURN(head.tenant, row.Get<std::string>("tenant"));
  METAMCP_ASSIGN_OR_RETURN(head.log_id, row.Get<std::string>("log_id"));
  METAMCP_ASSIGN_OR_RETURN(head.seq, row.Get<int64_t>("seq"));
  METAMCP_ASSIGN_OR_RETURN(head.base_seq, row.Get<int64_t>("base_seq"));
  METAMCP_ASSIGN_OR_RETURN(head.lookup, row.Get<std::string>("lookup"));
  METAMCP_ASSIGN_OR_RETURN(head.epoch, row.Get<int64_t>("epoch"));
  METAMCP_ASSIGN_OR_RETURN(head.checkpoint_seq, row.Get<int64_t>("checkpoint_seq"));
  METAMCP_ASSIGN_OR_RETURN(db::Blob hash, row.Get<db::Blob>("hash"));
  METAMCP_ASSIGN_OR_RETURN(db::Blob base_hash, row.Get<db::Blob>("base_hash"));
  METAMCP_ASSIGN_OR_RETURN(const db::Blob frontier, row.Get<db::Blob>("frontier"));
  METAMCP_ASSIGN_OR_RETURN(const db::Blob base_frontier, row.Get<db::Blob>("base_frontier"));
  head.hash = std::move(hash.bytes);
  head.base_hash = std::move(base_hash.bytes);
  auto now = MerkleFrontier::Decode(frontier.bytes);
  auto base = MerkleFrontier::Decode(base_frontier.bytes);
  if (!now || !base || now->size() != head.seq || base->size() != head.base_seq) {
    return MakeError("INTERNAL", "audit",
                     StrCat("the head of the audit log of tenant \"", head.tenant,
                            "\" is damaged: 'meta-mcp audit verify' says since when"));
  }
  head.frontier = *std::move(now);
  head.base_frontier = *std::move(base);
  return head;
}

absl::StatusOr<bool> IsEmpty(db::Database& database) {
  return database.Read([](Transaction& tx) -> absl::StatusOr<bool> {
    METAMCP_ASSIGN_OR_RETURN(const Rows rows, tx.Query("SELECT seq FROM audit_records LIMIT 1"));
    return rows.empty();
  });
}

}  // namespace

absl::Status SqlStore::MigrateBlocking(db::Database& database) {
  METAMCP_RETURN_IF_ERROR(db::MigrateBlocking(database, "audit", audit::Migrations()).status());
  // A new database begins with partitions; of others upkeep sees to it, while they are in use.
  METAMCP_ASSIGN_OR_RETURN(const bool empty, IsEmpty(database));
  return empty ? KeepPartitions(database, NowMicros()).status() : absl::OkStatus();
}

absl::StatusOr<std::optional<Head>> FindHead(Transaction& tx, const std::string& tenant) {
  METAMCP_ASSIGN_OR_RETURN(
      const Rows rows,
      tx.Query("SELECT * FROM audit_heads WHERE tenant = :tenant", {{"tenant", tenant}}));
  if (rows.empty()) return std::optional<Head>();
  METAMCP_ASSIGN_OR_RETURN(Head head, ReadHead(rows[0]));
  return std::optional<Head>(std::move(head));
}

absl::StatusOr<Head> LockHead(Transaction& tx, const std::string& tenant,
                              const Subjects& subjects) {
  constexpr std::string_view kLock =
      "UPDATE audit_heads SET locked_us = :now WHERE tenant = :tenant RETURNING *";
  const Params params = {{"now", NowMicros()}, {"tenant", tenant}};
  METAMCP_ASSIGN_OR_RETURN(Rows rows, tx.Query(kLock, params));
  if (rows.empty()) {
    // Two that begin a log at once: one row is made, and both then wait for it.
    const db::Blob empty(MerkleFrontier().Encode());
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("INSERT INTO audit_heads (tenant, log_id, seq, hash, frontier, base_seq, "
                   "base_hash, base_frontier, lookup, epoch, checkpoint_seq, locked_us) VALUES "
                   "(:tenant, :log, 0, :hash, :frontier, 0, :hash, :frontier, :lookup, 0, 0, 0) ON "
                   "CONFLICT (tenant) DO NOTHING",
                   {{"tenant", tenant},
                    {"log", HexEncode(RandomBytes(8))},
                    {"hash", db::Blob(kChainStart)},
                    {"frontier", empty},
                    {"lookup", subjects.NewLookup(tenant)}})
            .status());
    METAMCP_ASSIGN_OR_RETURN(rows, tx.Query(kLock, params));
  }
  if (rows.empty()) return absl::InternalError("the head of the audit log cannot be made");
  return ReadHead(rows[0]);
}

absl::StatusOr<int64_t> SqlStore::Append(db::Database& database, const std::string& tenant,
                                         const std::vector<const v1::Event*>& events) {
  const db::TransactOptions options;
  Subjects::Scope scope;
  auto stored = database.Transact(options, [&](Transaction& tx) -> absl::StatusOr<int64_t> {
    if (tx.backend() == db::Backend::kPostgres) {
      // A plan that is kept from when the log was short reads all of it until statistics are made.
      METAMCP_RETURN_IF_ERROR(tx.Execute("SET LOCAL plan_cache_mode = force_custom_plan").status());
    }
    METAMCP_ASSIGN_OR_RETURN(Head head, LockHead(tx, tenant, subjects_));
    METAMCP_ASSIGN_OR_RETURN(std::set<std::string> known, KnownIds(tx, tenant, events));
    scope = Subjects::Scope{tenant, head.lookup, head.epoch, {}};
    std::vector<RecordRow> rows;
    UsageSums usage;
    for (const v1::Event* event : events) {
      METAMCP_ASSIGN_OR_RETURN(const SubjectKey subject,
                               subjects_.Get(tx, scope, event->principal().subject()));
      RecordRow row = MakeRow(tenant, *event, subject);
      if (!known.insert(row.id).second) continue;
      row.seq = ++head.seq;
      row.record = MakeRecord(row, row.seq, *event, subject);
      row.hash = head.hash = ChainHash(head.hash, row.record);
      head.frontier.Append(head.hash);
      Count(row, *event, usage);
      rows.push_back(std::move(row));
    }
    if (rows.empty()) return 0;
    const size_t step = tx.backend() == db::Backend::kSqlite ? 1 : kRowsPerInsert;
    for (size_t begin = 0; begin < rows.size(); begin += step) {
      METAMCP_RETURN_IF_ERROR(InsertSome(tx, rows, begin, std::min(begin + step, rows.size())));
    }
    METAMCP_RETURN_IF_ERROR(AddUsage(tx, tenant, usage, step));
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE audit_heads SET seq = :seq, hash = :hash, frontier = :frontier WHERE "
                   "tenant = :tenant",
                   {{"seq", head.seq},
                    {"hash", db::Blob(head.hash)},
                    {"frontier", db::Blob(head.frontier.Encode())},
                    {"tenant", tenant}})
            .status());
    return static_cast<int64_t>(rows.size());
  });
  if (stored.ok()) subjects_.Keep(scope);
  return stored;
}

absl::StatusOr<int64_t> SqlStore::Reseal(db::Database& database) {
  const db::TransactOptions options;
  return database.Transact(
      options, [&](Transaction& tx) -> absl::StatusOr<int64_t> { return subjects_.Reseal(tx); });
}

}  // namespace metamcp::audit
