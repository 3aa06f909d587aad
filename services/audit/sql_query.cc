// What reads a log.
#include <map>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/audit/sql_store.h"

namespace metamcp::audit {
namespace {

using db::Params;
using db::Row;
using db::Rows;
using db::Transaction;

constexpr int64_t kHourUs = int64_t{3600} * 1'000'000;
constexpr int64_t kUsageMax = 10'000;

absl::StatusOr<std::vector<RecordRow>> ReadRows(const Rows& rows, const std::string& tenant) {
  std::vector<RecordRow> out;
  out.reserve(rows.size());
  for (const Row& row : rows) {
    METAMCP_ASSIGN_OR_RETURN(RecordRow read, ReadRecordRow(row, tenant));
    out.push_back(std::move(read));
  }
  return out;
}

absl::StatusOr<std::vector<CheckpointRow>> ReadCheckpointRows(const Rows& rows) {
  std::vector<CheckpointRow> out;
  for (const Row& row : rows) {
    CheckpointRow& to = out.emplace_back();
    METAMCP_ASSIGN_OR_RETURN(to.tenant, row.Get<std::string>("tenant"));
    METAMCP_ASSIGN_OR_RETURN(to.size, row.Get<int64_t>("size"));
    METAMCP_ASSIGN_OR_RETURN(to.time_us, row.Get<int64_t>("time_us"));
    METAMCP_ASSIGN_OR_RETURN(to.note, row.Get<std::string>("note"));
    METAMCP_ASSIGN_OR_RETURN(to.pushed, row.Get<int64_t>("pushed"));
  }
  return out;
}

// Adds "AND column = :column" for a text that is given.
void Equal(std::string_view column, const std::string& value, std::string& where, Params& params) {
  if (value.empty()) return;
  where += StrCat(" AND ", column, " = :", column);
  params.emplace_back(column, CleanText(value, 256));
}

// The pseudonym that stands for a person in a query; one that nobody has for a person who is not
// known.
absl::StatusOr<std::string> PseudonymFor(Transaction& tx, const Subjects& subjects,
                                         const Head& head, const std::string& subject) {
  const Subjects::Scope scope{head.tenant, head.lookup, head.epoch, {}};
  auto found = subjects.Find(tx, scope, subject);
  if (found.ok() || !absl::IsNotFound(found.status())) return found;
  return subject;  // a pseudonym is taken as it is
}

}  // namespace

absl::StatusOr<RecordRow> ReadRecordRow(const Row& row, const std::string& tenant) {
  RecordRow out;
  out.tenant = tenant;
  METAMCP_ASSIGN_OR_RETURN(out.seq, row.Get<int64_t>("seq"));
  METAMCP_ASSIGN_OR_RETURN(out.id, row.Get<std::string>("id"));
  METAMCP_ASSIGN_OR_RETURN(out.time_us, row.Get<int64_t>("time_us"));
  METAMCP_ASSIGN_OR_RETURN(out.subject, row.Get<std::string>("subject"));
  METAMCP_ASSIGN_OR_RETURN(out.action, row.Get<std::string>("action"));
  METAMCP_ASSIGN_OR_RETURN(out.item, row.Get<std::string>("item"));
  METAMCP_ASSIGN_OR_RETURN(out.upstream, row.Get<std::string>("upstream"));
  METAMCP_ASSIGN_OR_RETURN(out.virtual_server, row.Get<std::string>("virtual_server"));
  METAMCP_ASSIGN_OR_RETURN(out.outcome, row.Get<std::string>("outcome"));
  METAMCP_ASSIGN_OR_RETURN(out.trace, row.Get<std::string>("trace"));
  METAMCP_ASSIGN_OR_RETURN(out.record, row.Get<std::string>("record"));
  METAMCP_ASSIGN_OR_RETURN(db::Blob hash, row.Get<db::Blob>("hash"));
  out.hash = std::move(hash.bytes);
  return out;
}

absl::StatusOr<std::optional<Head>> SqlStore::GetHead(db::Database& database,
                                                      const std::string& tenant) {
  return database.Read([&](Transaction& tx) { return FindHead(tx, tenant); });
}

absl::StatusOr<std::vector<std::string>> SqlStore::Tenants(db::Database& database) {
  return database.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<std::string>> {
    METAMCP_ASSIGN_OR_RETURN(const Rows rows,
                             tx.Query("SELECT tenant FROM audit_heads ORDER BY tenant"));
    std::vector<std::string> out;
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(std::string tenant, row.Get<std::string>("tenant"));
      out.push_back(std::move(tenant));
    }
    return out;
  });
}

absl::StatusOr<std::vector<RecordRow>> SqlStore::Read(db::Database& database,
                                                      const std::string& tenant, int64_t from_seq,
                                                      int64_t limit) {
  return database.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<RecordRow>> {
    // Not what retention has removed and is still on the disk.
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT * FROM audit_records WHERE tenant = :tenant AND seq >= :from AND seq > "
                 "COALESCE((SELECT base_seq FROM audit_heads WHERE tenant = :tenant), 0) ORDER BY "
                 "seq LIMIT :limit",
                 {{"tenant", tenant}, {"from", from_seq}, {"limit", limit}}));
    return ReadRows(rows, tenant);
  });
}

absl::StatusOr<std::vector<RecordRow>> SqlStore::Query(db::Database& database,
                                                       const std::string& tenant,
                                                       const RecordFilter& filter) {
  return database.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<RecordRow>> {
    METAMCP_ASSIGN_OR_RETURN(const std::optional<Head> head, FindHead(tx, tenant));
    if (!head) return std::vector<RecordRow>();
    std::string where = "tenant = :tenant AND seq > :base";
    Params params = {{"tenant", tenant}, {"base", head->base_seq}, {"limit", filter.limit}};
    if (!filter.subject.empty()) {
      METAMCP_ASSIGN_OR_RETURN(const std::string id,
                               PseudonymFor(tx, subjects_, *head, filter.subject));
      Equal("subject", id, where, params);
    }
    Equal("action", filter.action, where, params);
    Equal("item", filter.item, where, params);
    Equal("upstream", filter.upstream, where, params);
    Equal("virtual_server", filter.virtual_server, where, params);
    Equal("outcome", filter.outcome, where, params);
    // In the words of the partial indexes, which are taken for nothing else.
    const bool failed =
        !filter.outcome.empty() && filter.outcome != "ok" && filter.outcome != "input_required";
    if (filter.failures || failed) where += " AND outcome NOT IN ('ok', 'input_required')";
    if (!filter.action.empty() && filter.action != "tools/call") {
      where += " AND action <> 'tools/call'";
    }
    if (!filter.trace.empty()) where += " AND trace <> ''";
    Equal("trace", filter.trace, where, params);
    const auto bound = [&](std::string_view sql, std::string_view name, int64_t value) {
      if (value == 0) return;
      where += sql;
      params.emplace_back(name, value);
    };
    bound(" AND time_us >= :since", "since", filter.since_us);
    bound(" AND time_us < :until", "until", filter.until_us);
    bound(" AND seq < :before", "before", filter.before_seq);
    METAMCP_ASSIGN_OR_RETURN(const Rows rows,
                             tx.Query(StrCat("SELECT * FROM audit_records WHERE ", where,
                                             " ORDER BY seq DESC LIMIT :limit"),
                                      params));
    return ReadRows(rows, tenant);
  });
}

absl::StatusOr<std::vector<std::string>> SqlStore::OpenPersonals(
    db::Database& database, const std::string& tenant, const std::vector<RecordRow>& rows) {
  return database.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<std::string>> {
    std::map<std::string, std::optional<SubjectKey>> keys;
    std::vector<std::string> out;
    for (const RecordRow& row : rows) {
      auto it = keys.find(row.subject);
      if (it == keys.end()) {
        METAMCP_ASSIGN_OR_RETURN(auto key, subjects_.Open(tx, tenant, row.subject));
        it = keys.emplace(row.subject, std::move(key)).first;
      }
      out.push_back(it->second ? OpenPersonal(row.record, *it->second).value_or("") : "");
    }
    return out;
  });
}

absl::StatusOr<std::vector<CheckpointRow>> SqlStore::Checkpoints(db::Database& database,
                                                                 const std::string& tenant,
                                                                 int64_t after, int64_t limit) {
  return database.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<CheckpointRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query("SELECT * FROM audit_checkpoints WHERE tenant = :tenant AND size "
                                  "> :after ORDER BY size LIMIT :limit",
                                  {{"tenant", tenant}, {"after", after}, {"limit", limit}}));
    return ReadCheckpointRows(rows);
  });
}

absl::StatusOr<std::vector<CheckpointRow>> SqlStore::NewestCheckpoints(db::Database& database,
                                                                       const std::string& tenant,
                                                                       int64_t before,
                                                                       int64_t limit) {
  return database.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<CheckpointRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query("SELECT * FROM audit_checkpoints WHERE tenant = :tenant AND size "
                                  "< :before ORDER BY size DESC LIMIT :limit",
                                  {{"tenant", tenant}, {"before", before}, {"limit", limit}}));
    return ReadCheckpointRows(rows);
  });
}

absl::StatusOr<std::vector<CheckpointRow>> SqlStore::Unpushed(db::Database& database, int64_t sinks,
                                                              int64_t limit) {
  // Written out, so that the index is used.
  std::string lacking;
  for (int64_t bits = 0; bits <= sinks; ++bits) {
    if ((bits & sinks) != sinks) lacking += StrCat(lacking.empty() ? "" : ", ", bits);
  }
  if (lacking.empty()) return std::vector<CheckpointRow>();
  return database.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<CheckpointRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query(StrCat("SELECT * FROM audit_checkpoints WHERE pushed IN (",
                                         lacking, ") ORDER BY time_us, tenant, size LIMIT :limit"),
                                  {{"limit", limit}}));
    return ReadCheckpointRows(rows);
  });
}

absl::StatusOr<std::vector<UsageRow>> SqlStore::Usage(db::Database& database,
                                                      const std::string& tenant,
                                                      const UsageQuery& query) {
  return database.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<UsageRow>> {
    METAMCP_ASSIGN_OR_RETURN(const std::optional<Head> head, FindHead(tx, tenant));
    if (!head) return std::vector<UsageRow>();
    std::string group;
    std::string select;
    for (const std::string& by : query.by) {
      const int64_t step = by == "day" ? 24 * kHourUs : kHourUs;
      const bool time = by == "hour" || by == "day";
      const std::string column = time ? StrCat("(hour_us - hour_us % ", step, ")") : by;
      group += StrCat(group.empty() ? "" : ", ", column);
      select += StrCat(column, " AS ", time ? "time_us" : by, ", ");
    }
    std::string where = "tenant = :tenant";
    Params params = {{"tenant", tenant}, {"limit", kUsageMax}};
    if (!query.subject.empty()) {
      METAMCP_ASSIGN_OR_RETURN(const std::string id,
                               PseudonymFor(tx, subjects_, *head, query.subject));
      Equal("subject", id, where, params);
    }
    Equal("upstream", query.upstream, where, params);
    Equal("item", query.item, where, params);
    Equal("virtual_server", query.virtual_server, where, params);
    if (query.since_us > 0) {
      where += " AND hour_us >= :since";
      params.emplace_back("since", query.since_us - query.since_us % kHourUs);
    }
    if (query.until_us > 0) {
      where += " AND hour_us < :until";
      params.emplace_back("until", query.until_us);
    }
    const auto sum = [](std::string_view column) {
      return StrCat("CAST(SUM(", column, ") AS BIGINT) AS ", column);
    };
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query(StrCat("SELECT ", select, sum("calls"), ", ", sum("failures"),
                                         ", ", sum("duration_us"), ", ", sum("bytes_in"), ", ",
                                         sum("bytes_out"), " FROM audit_usage WHERE ", where,
                                         " GROUP BY ", group, " ORDER BY calls DESC LIMIT :limit"),
                                  params));
    std::vector<UsageRow> out;
    for (const Row& row : rows) {
      UsageRow& to = out.emplace_back();
      for (const std::string& by : query.by) {
        if (by == "hour" || by == "day") {
          METAMCP_ASSIGN_OR_RETURN(to.time_us, row.Get<int64_t>("time_us"));
          continue;
        }
        std::string& text = by == "subject"    ? to.subject
                            : by == "upstream" ? to.upstream
                            : by == "item"     ? to.item
                                               : to.virtual_server;
        METAMCP_ASSIGN_OR_RETURN(text, row.Get<std::string>(by));
        if (by == "subject") {
          METAMCP_ASSIGN_OR_RETURN(const std::string name, subjects_.Name(tx, tenant, text));
          if (!name.empty()) text = name;
        }
      }
      METAMCP_ASSIGN_OR_RETURN(to.calls, row.Get<int64_t>("calls"));
      METAMCP_ASSIGN_OR_RETURN(to.failures, row.Get<int64_t>("failures"));
      METAMCP_ASSIGN_OR_RETURN(to.duration_us, row.Get<int64_t>("duration_us"));
      METAMCP_ASSIGN_OR_RETURN(to.bytes_in, row.Get<int64_t>("bytes_in"));
      METAMCP_ASSIGN_OR_RETURN(to.bytes_out, row.Get<int64_t>("bytes_out"));
    }
    return out;
  });
}

}  // namespace metamcp::audit
