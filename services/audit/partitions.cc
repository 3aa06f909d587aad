#include "services/audit/partitions.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::audit {
namespace {

using db::Row;
using db::Rows;
using db::Transaction;

constexpr int64_t kWeeksAhead = 2;
constexpr std::string_view kWeekTable = "audit_records_w";
// What was there before the table had partitions, and what no partition is for.
constexpr std::string_view kOldTable = "audit_records_before";
constexpr std::string_view kRestTable = "audit_records_rest";
constexpr std::string_view kBound = "audit_records_before_w";

// A change of the schema waits for those who read and write, who meanwhile queue behind it: so it
// gives up soon and is tried again at the next turn.
constexpr std::string_view kBeBrief = "SET LOCAL lock_timeout = '2s'";

int64_t WeekOf(int64_t time_us) {
  return time_us >= 0 ? time_us / kPartitionUs : (time_us + 1) / kPartitionUs - 1;
}

std::string TableOf(int64_t week) { return StrCat(kWeekTable, week); }

// The number in a name such as audit_records_w2957.
std::optional<int64_t> NumberIn(std::string_view name, std::string_view prefix) {
  if (name.substr(0, prefix.size()) != prefix) return std::nullopt;
  int64_t number = 0;
  const char* end = name.data() + name.size();
  const auto [stopped, error] = std::from_chars(name.data() + prefix.size(), end, number);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return number;
}

absl::Status BeginChange(Transaction& tx) {
  METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock("audit.partitions"));
  return tx.Script(kBeBrief);
}

absl::StatusOr<bool> IsPartitioned(Transaction& tx) {
  METAMCP_ASSIGN_OR_RETURN(const Row row,
                           tx.QueryOne("SELECT CAST(relkind AS TEXT) AS kind FROM pg_class WHERE "
                                       "oid = to_regclass('audit_records')"));
  METAMCP_ASSIGN_OR_RETURN(const std::string kind, row.Get<std::string>("kind"));
  return kind == "p";
}

absl::StatusOr<bool> Exists(Transaction& tx, const std::string& table) {
  METAMCP_ASSIGN_OR_RETURN(
      const Row row,
      tx.QueryOne("SELECT CASE WHEN to_regclass(:name) IS NULL THEN 0 ELSE 1 END AS there",
                  {{"name", table}}));
  METAMCP_ASSIGN_OR_RETURN(const int64_t there, row.Get<int64_t>("there"));
  return there == 1;
}

// The week that the table from before ends with: it holds what is older. Its name says it.
struct Bound {
  int64_t week = 0;
  bool checked = false;
};
absl::StatusOr<std::optional<Bound>> FindBound(Transaction& tx, std::string_view table) {
  METAMCP_ASSIGN_OR_RETURN(
      const Rows rows,
      tx.Query("SELECT CAST(conname AS TEXT) AS name, CASE WHEN convalidated THEN 1 ELSE 0 END AS "
               "checked FROM pg_constraint WHERE conrelid = to_regclass(:table) AND contype = 'c'",
               {{"table", std::string(table)}}));
  for (const Row& row : rows) {
    METAMCP_ASSIGN_OR_RETURN(const std::string name, row.Get<std::string>("name"));
    METAMCP_ASSIGN_OR_RETURN(const int64_t checked, row.Get<int64_t>("checked"));
    if (const auto week = NumberIn(name, kBound)) return Bound{*week, checked == 1};
  }
  return std::optional<Bound>();
}

// The first week that may have a table of its own: none of what is there is in it or later.
absl::StatusOr<int64_t> ChooseBound(Transaction& tx, int64_t now_us) {
  METAMCP_ASSIGN_OR_RETURN(
      const Rows newest,
      tx.Query("SELECT (SELECT MAX(time_us) FROM audit_records r WHERE r.tenant = h.tenant) AS "
               "newest FROM audit_heads h"));
  int64_t week = WeekOf(now_us);
  bool empty = true;
  for (const Row& row : newest) {
    METAMCP_ASSIGN_OR_RETURN(const auto time, row.Get<std::optional<int64_t>>("newest"));
    if (!time) continue;
    empty = false;
    week = std::max(week, WeekOf(*time));
  }
  // Not the week that is written now, nor the next one: what is written while the table is checked
  // is older than the bound, too.
  return empty ? week : week + 2;
}

// Expands: from now on nothing is written that is as new as the bound.
absl::Status AddBound(db::Database& database, int64_t now_us) {
  const db::TransactOptions options;
  return database.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(BeginChange(tx));
    METAMCP_ASSIGN_OR_RETURN(const bool done, IsPartitioned(tx));
    METAMCP_ASSIGN_OR_RETURN(const auto bound, FindBound(tx, "audit_records"));
    if (done) return absl::OkStatus();
    if (bound && bound->week > WeekOf(now_us)) return absl::OkStatus();
    if (bound) {
      METAMCP_RETURN_IF_ERROR(
          tx.Script(StrCat("ALTER TABLE audit_records DROP CONSTRAINT ", kBound, bound->week)));
    }
    METAMCP_ASSIGN_OR_RETURN(const int64_t week, ChooseBound(tx, now_us));
    return tx.Script(StrCat("ALTER TABLE audit_records ADD CONSTRAINT ", kBound, week,
                            " CHECK (time_us < ", week * kPartitionUs, ") NOT VALID"));
  });
}

// Reads the whole table, while others read and write it.
absl::Status CheckBound(db::Database& database) {
  const db::TransactOptions options;
  return database.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_ASSIGN_OR_RETURN(const bool done, IsPartitioned(tx));
    METAMCP_ASSIGN_OR_RETURN(const auto bound, FindBound(tx, "audit_records"));
    if (done || !bound || bound->checked) return absl::OkStatus();
    METAMCP_RETURN_IF_ERROR(tx.Script("SET LOCAL statement_timeout = 0"));
    return tx.Script(StrCat("ALTER TABLE audit_records VALIDATE CONSTRAINT ", kBound, bound->week));
  });
}

// What every partition has beside the columns. The parent has no keys: one that holds across
// partitions would need the time in it. The head row makes numbers unique, and appending looks for
// events that are stored.
std::string KeysOf(const std::string& table) {
  constexpr std::pair<std::string_view, std::string_view> kIndexes[] = {
      {"time", "(tenant, time_us)"},
      {"subject", "(tenant, subject, seq)"},
      {"item", "(tenant, item, seq)"},
      {"trace", "(tenant, trace) WHERE trace <> ''"},
      {"failed", "(tenant, outcome, seq) WHERE outcome NOT IN ('ok', 'input_required')"},
      {"action", "(tenant, action, seq) WHERE action <> 'tools/call'"},
      {"upstream", "(tenant, upstream, seq)"},
      {"server", "(tenant, virtual_server, seq)"},
  };
  std::string sql = StrCat("ALTER TABLE ", table, " ADD PRIMARY KEY (tenant, seq);",
                           "CREATE UNIQUE INDEX ", table, "_id ON ", table, " (tenant, id);");
  for (const auto& [name, columns] : kIndexes) {
    sql += StrCat("CREATE INDEX ", table, "_", name, " ON ", table, " ", columns, ";");
  }
  return sql;
}

// The table becomes the oldest partition of one of its name. Nothing is read: the bound proves
// that all of it fits.
absl::Status TakeOver(db::Database& database) {
  const db::TransactOptions options;
  return database.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(BeginChange(tx));
    METAMCP_ASSIGN_OR_RETURN(const bool done, IsPartitioned(tx));
    METAMCP_ASSIGN_OR_RETURN(const auto bound, FindBound(tx, "audit_records"));
    if (done || !bound || !bound->checked) return absl::OkStatus();
    return tx.Script(StrCat(
        "ALTER TABLE audit_records RENAME TO ", kOldTable, ";", "CREATE TABLE audit_records (LIKE ",
        kOldTable, ") PARTITION BY RANGE (time_us);", "ALTER TABLE audit_records ATTACH PARTITION ",
        kOldTable, " FOR VALUES FROM (MINVALUE) TO (", bound->week * kPartitionUs, ");",
        "CREATE TABLE ", kRestTable, " PARTITION OF audit_records DEFAULT;",
        KeysOf(std::string(kRestTable))));
  });
}

// Makes the table of a week. What is in the rest and belongs there is moved.
absl::StatusOr<int64_t> MakeWeek(db::Database& database, int64_t week) {
  const std::string table = TableOf(week);
  const std::string from = std::to_string(week * kPartitionUs);
  const std::string to = std::to_string((week + 1) * kPartitionUs);
  const db::TransactOptions options;
  return database.Transact(options, [&](Transaction& tx) -> absl::StatusOr<int64_t> {
    METAMCP_RETURN_IF_ERROR(BeginChange(tx));
    METAMCP_ASSIGN_OR_RETURN(const bool exists, Exists(tx, table));
    if (exists) return 0;
    METAMCP_RETURN_IF_ERROR(tx.Script(
        StrCat("LOCK TABLE ", kRestTable, " IN ACCESS EXCLUSIVE MODE;", "CREATE TABLE ", table,
               " (LIKE audit_records);", KeysOf(table), "WITH moved AS (DELETE FROM ", kRestTable,
               " WHERE time_us >= ", from, " AND time_us < ", to, " RETURNING *) INSERT INTO ",
               table, " SELECT * FROM moved;", "ALTER TABLE audit_records ATTACH PARTITION ", table,
               " FOR VALUES FROM (", from, ") TO (", to, ")")));
    return 1;
  });
}

absl::StatusOr<std::vector<std::string>> Tables(Transaction& tx) {
  METAMCP_ASSIGN_OR_RETURN(
      const Rows rows,
      tx.Query("SELECT CAST(c.relname AS TEXT) AS name FROM pg_inherits i JOIN pg_class c ON c.oid "
               "= i.inhrelid WHERE i.inhparent = to_regclass('audit_records') ORDER BY c.relname"));
  std::vector<std::string> out;
  for (const Row& row : rows) {
    METAMCP_ASSIGN_OR_RETURN(std::string name, row.Get<std::string>("name"));
    out.push_back(std::move(name));
  }
  return out;
}

// Whether a log still has a record that is in `table`.
absl::StatusOr<bool> InUse(Transaction& tx, std::string_view table) {
  METAMCP_ASSIGN_OR_RETURN(
      const Rows rows, tx.Query(StrCat("SELECT r.seq FROM audit_heads h JOIN ", table,
                                       " r ON r.tenant = h.tenant WHERE r.seq > h.base_seq LIMIT "
                                       "1")));
  return !rows.empty();
}

absl::StatusOr<bool> DropTable(db::Database& database, const std::string& table) {
  const auto in_use = database.Read([&](Transaction& tx) { return InUse(tx, table); });
  if (!in_use.ok()) return in_use.status();
  if (*in_use) return false;
  const db::TransactOptions options;
  return database.Transact(options, [&](Transaction& tx) -> absl::StatusOr<bool> {
    METAMCP_RETURN_IF_ERROR(BeginChange(tx));
    METAMCP_ASSIGN_OR_RETURN(const bool exists, Exists(tx, table));
    if (!exists) return false;
    // An event of that time may have come since: nobody writes from here on.
    METAMCP_RETURN_IF_ERROR(tx.Script("LOCK TABLE audit_records IN ACCESS EXCLUSIVE MODE"));
    METAMCP_ASSIGN_OR_RETURN(const bool used, InUse(tx, table));
    if (used) return false;
    METAMCP_RETURN_IF_ERROR(tx.Script(StrCat("DROP TABLE ", table)));
    return true;
  });
}

absl::StatusOr<int64_t> DeleteRows(db::Database& database, const std::string& table,
                                   int64_t rows_max) {
  const db::TransactOptions options;
  return database.Transact(options, [&](Transaction& tx) -> absl::StatusOr<int64_t> {
    return tx.Execute(
        StrCat("DELETE FROM ", table,
               " WHERE (tenant, seq) IN (SELECT r.tenant, r.seq FROM "
               "audit_heads h JOIN ",
               table, " r ON r.tenant = h.tenant WHERE r.seq <= h.base_seq LIMIT :rows)"),
        {{"rows", rows_max}});
  });
}

}  // namespace

absl::StatusOr<int64_t> KeepPartitions(db::Database& database, int64_t now_us) {
  if (database.backend() != db::Backend::kPostgres) return 0;
  auto partitioned = database.Read([](Transaction& tx) { return IsPartitioned(tx); });
  if (!partitioned.ok()) return partitioned.status();
  if (!*partitioned) {
    METAMCP_RETURN_IF_ERROR(AddBound(database, now_us));
    METAMCP_RETURN_IF_ERROR(CheckBound(database));
    METAMCP_RETURN_IF_ERROR(TakeOver(database));
  }
  const auto bound = database.Read([](Transaction& tx) { return FindBound(tx, kOldTable); });
  if (!bound.ok()) return bound.status();
  const int64_t now = WeekOf(now_us);
  int64_t made = 0;
  for (int64_t week = *bound ? std::max(now, (*bound)->week) : now; week <= now + kWeeksAhead;
       ++week) {
    METAMCP_ASSIGN_OR_RETURN(const int64_t one, MakeWeek(database, week));
    made += one;
  }
  return made;
}

absl::StatusOr<Removed> DropPartitions(db::Database& database, int64_t before_us,
                                       int64_t rows_max) {
  Removed removed;
  if (database.backend() != db::Backend::kPostgres) return removed;
  auto found = database.Read([](Transaction& tx) -> absl::StatusOr<std::vector<std::string>> {
    METAMCP_ASSIGN_OR_RETURN(const bool partitioned, IsPartitioned(tx));
    if (!partitioned) return std::vector<std::string>{"audit_records"};
    return Tables(tx);
  });
  if (!found.ok()) return found.status();
  for (const std::string& table : *found) {
    // The tables that have no end of their own lose rows, the others when all of it is old.
    if (const auto week = NumberIn(table, kWeekTable)) {
      if ((*week + 1) * kPartitionUs > before_us) continue;
      METAMCP_ASSIGN_OR_RETURN(const bool dropped, DropTable(database, table));
      if (dropped) {
        ++removed.tables;
        continue;
      }
    }
    METAMCP_ASSIGN_OR_RETURN(const int64_t rows,
                             DeleteRows(database, table, rows_max - removed.rows));
    removed.rows += rows;
    if (removed.rows >= rows_max) {
      removed.more = true;
      break;
    }
  }
  return removed;
}

}  // namespace metamcp::audit
