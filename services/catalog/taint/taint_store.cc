#include "services/catalog/taint/taint_store.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/db/migrations.h"
#include "migrations/taint.h"

namespace metamcp::catalog {
namespace {

using db::Row;
using db::Rows;
using db::Transaction;

// One writer at a time, so that whoever follows sees each seq after those before it.
constexpr std::string_view kLock = "metamcp.taint";
constexpr size_t kSourcesMax = 8;
constexpr int64_t kBatch = 1000;

std::set<std::string> SplitSources(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

absl::Status MarkOne(Transaction& tx, const v1::TaintedScope& scope, int64_t now_us, int64_t seq) {
  METAMCP_ASSIGN_OR_RETURN(
      const Rows known,
      tx.Query("SELECT sources, until_us FROM taints WHERE key = :key", {{"key", scope.key()}}));
  std::set<std::string> sources(scope.sources().begin(), scope.sources().end());
  int64_t until = scope.until_us();
  if (!known.empty()) {
    METAMCP_ASSIGN_OR_RETURN(const int64_t before, known[0].Get<int64_t>("until_us"));
    METAMCP_ASSIGN_OR_RETURN(const std::string text, known[0].Get<std::string>("sources"));
    if (before > now_us) sources.merge(SplitSources(text));
    until = std::max(until, before);
  }
  while (sources.size() > kSourcesMax) sources.erase(std::prev(sources.end()));
  return tx.Upsert("taints", {{"key", scope.key()}},
                   {{"sources", absl::StrJoin(sources, "\n")}, {"until_us", until}, {"seq", seq}});
}

}  // namespace

absl::Status TaintStore::MigrateBlocking(db::Database& database) {
  return db::MigrateBlocking(database, "taint", taint::Migrations()).status();
}

absl::Status TaintStore::Mark(const v1::MarkTaintRequest& request, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(kLock));
    METAMCP_ASSIGN_OR_RETURN(
        const Row last,
        tx.QueryOne("SELECT CAST(COALESCE(MAX(seq), 0) AS BIGINT) AS seq FROM taints"));
    METAMCP_ASSIGN_OR_RETURN(int64_t seq, last.Get<int64_t>("seq"));
    // Not below what was there before rows were removed.
    seq = std::max(seq, now_us);
    for (const v1::TaintedScope& scope : request.scopes()) {
      METAMCP_RETURN_IF_ERROR(MarkOne(tx, scope, now_us, ++seq));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<TaintStore::Changes> TaintStore::Since(int64_t after, int64_t now_us) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<Changes> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT key, sources, until_us, seq FROM taints WHERE seq > :after AND "
                 "until_us > :now ORDER BY seq LIMIT :limit",
                 {{"after", after}, {"now", now_us}, {"limit", kBatch}}));
    Changes out;
    out.seq = after;
    for (const Row& row : rows) {
      v1::TaintedScope& scope = out.scopes.emplace_back();
      METAMCP_ASSIGN_OR_RETURN(*scope.mutable_key(), row.Get<std::string>("key"));
      METAMCP_ASSIGN_OR_RETURN(const std::string text, row.Get<std::string>("sources"));
      for (const std::string& source : SplitSources(text)) scope.add_sources(source);
      METAMCP_ASSIGN_OR_RETURN(const int64_t until, row.Get<int64_t>("until_us"));
      scope.set_until_us(until);
      METAMCP_ASSIGN_OR_RETURN(out.seq, row.Get<int64_t>("seq"));
    }
    out.more = static_cast<int64_t>(rows.size()) == kBatch;
    return out;
  });
}

absl::Status TaintStore::Prune(int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(kLock));
    return tx.Execute("DELETE FROM taints WHERE until_us <= :now", {{"now", now_us}}).status();
  });
}

}  // namespace metamcp::catalog
