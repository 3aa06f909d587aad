#include "services/catalog/directory/directory_store.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/db/migrations.h"
#include "migrations/directory.h"

namespace metamcp::catalog {
namespace {

using db::Params;
using db::Row;
using db::Rows;
using db::Transaction;

// Both groups of tables have one writer at a time, so that a decision rests on what is there.
constexpr std::string_view kClusterLock = "metamcp.cluster";
constexpr std::string_view kMarksLock = "metamcp.session_marks";

absl::Status Free(Transaction& tx, const std::string& instance) {
  const Params params = {{"instance", instance}};
  METAMCP_RETURN_IF_ERROR(
      tx.Execute("UPDATE cluster_leases SET owner = '' WHERE owner = :instance", params).status());
  return tx.Execute("DELETE FROM cluster_members WHERE instance = :instance", params).status();
}

// Whether `member` names every role of a row: who may end it.
absl::StatusOr<bool> NamesRolesOf(const v1::Member& member, const Row& row) {
  METAMCP_ASSIGN_OR_RETURN(const std::string roles, row.Get<std::string>("roles"));
  const std::vector<std::string> theirs = absl::StrSplit(Av(roles), ' ', absl::SkipEmpty());
  return std::all_of(theirs.begin(), theirs.end(), [&member](const std::string& role) {
    return std::find(member.roles().begin(), member.roles().end(), role) != member.roles().end();
  });
}

absl::Status FreeOthersAt(Transaction& tx, const v1::Member& member) {
  METAMCP_ASSIGN_OR_RETURN(
      const Rows rows,
      tx.Query("SELECT instance, roles FROM cluster_members WHERE address = :address "
               "AND instance <> :instance",
               {{"address", member.address()}, {"instance", member.instance()}}));
  for (const Row& row : rows) {
    METAMCP_ASSIGN_OR_RETURN(const bool may, NamesRolesOf(member, row));
    if (!may) continue;
    METAMCP_ASSIGN_OR_RETURN(const std::string instance, row.Get<std::string>("instance"));
    METAMCP_RETURN_IF_ERROR(Free(tx, instance));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::Member>> Living(Transaction& tx, int64_t now_us) {
  METAMCP_ASSIGN_OR_RETURN(const Rows rows,
                           tx.Query("SELECT instance, address, roles, since_us FROM "
                                    "cluster_members WHERE expires_us > :now ORDER BY instance",
                                    {{"now", now_us}}));
  std::vector<v1::Member> out;
  for (const Row& row : rows) {
    v1::Member member;
    METAMCP_ASSIGN_OR_RETURN(*member.mutable_instance(), row.Get<std::string>("instance"));
    METAMCP_ASSIGN_OR_RETURN(*member.mutable_address(), row.Get<std::string>("address"));
    METAMCP_ASSIGN_OR_RETURN(const std::string roles, row.Get<std::string>("roles"));
    for (const absl::string_view role : absl::StrSplit(Av(roles), ' ', absl::SkipEmpty())) {
      member.add_roles(std::string(role));
    }
    METAMCP_ASSIGN_OR_RETURN(const int64_t since, row.Get<int64_t>("since_us"));
    member.set_since_us(since);
    out.push_back(std::move(member));
  }
  return out;
}

using Leases = std::map<std::string, v1::UpstreamLease, std::less<>>;

absl::StatusOr<Leases> ReadLeases(Transaction& tx) {
  METAMCP_ASSIGN_OR_RETURN(const Rows rows,
                           tx.Query("SELECT upstream_id, owner, epoch FROM cluster_leases"));
  Leases out;
  for (const Row& row : rows) {
    METAMCP_ASSIGN_OR_RETURN(const std::string id, row.Get<std::string>("upstream_id"));
    METAMCP_ASSIGN_OR_RETURN(const std::string owner, row.Get<std::string>("owner"));
    METAMCP_ASSIGN_OR_RETURN(const int64_t epoch, row.Get<int64_t>("epoch"));
    v1::UpstreamLease& lease = out[id];
    lease.set_upstream_id(id);
    lease.set_owner(owner);
    lease.set_epoch(epoch);
  }
  return out;
}

absl::Status Grant(Transaction& tx, const std::string& id, const std::string& owner,
                   v1::UpstreamLease& lease) {
  lease.set_upstream_id(id);
  lease.set_owner(owner);
  lease.set_epoch(lease.epoch() + 1);
  return tx.Upsert("cluster_leases", {{"upstream_id", id}},
                   {{"owner", owner}, {"epoch", lease.epoch()}});
}

absl::StatusOr<v1::SessionMark> ReadMark(const Row& row) {
  v1::SessionMark mark;
  METAMCP_ASSIGN_OR_RETURN(*mark.mutable_handle(), row.Get<std::string>("handle"));
  METAMCP_ASSIGN_OR_RETURN(const bool ended, row.Get<bool>("ended"));
  mark.set_ended(ended);
  METAMCP_ASSIGN_OR_RETURN(*mark.mutable_log_level(), row.Get<std::string>("log_level"));
  METAMCP_ASSIGN_OR_RETURN(const int64_t expires, row.Get<int64_t>("expires_us"));
  mark.set_expires_us(expires);
  return mark;
}

absl::Status PutMark(Transaction& tx, v1::SessionMark mark, int64_t seq) {
  METAMCP_ASSIGN_OR_RETURN(
      const Rows rows, tx.Query("SELECT handle, ended, log_level, expires_us FROM session_marks "
                                "WHERE handle = :handle",
                                {{"handle", mark.handle()}}));
  if (!rows.empty()) {
    METAMCP_ASSIGN_OR_RETURN(const v1::SessionMark before, ReadMark(rows[0]));
    mark.set_ended(mark.ended() || before.ended());
    if (mark.log_level().empty()) mark.set_log_level(before.log_level());
    mark.set_expires_us(std::max(mark.expires_us(), before.expires_us()));
  }
  return tx.Upsert("session_marks", {{"handle", mark.handle()}},
                   {{"seq", seq},
                    {"ended", mark.ended()},
                    {"log_level", mark.log_level()},
                    {"expires_us", mark.expires_us()}});
}

}  // namespace

absl::Status DirectoryStore::MigrateBlocking(db::Database& database) {
  return db::MigrateBlocking(database, "directory", directory::Migrations()).status();
}

absl::StatusOr<std::vector<v1::Member>> DirectoryStore::Announce(const v1::Member& member,
                                                                 int64_t now_us, int64_t lease_us) {
  const db::TransactOptions options;
  return database_.Transact(
      options, [&](Transaction& tx) -> absl::StatusOr<std::vector<v1::Member>> {
        METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(kClusterLock));
        METAMCP_RETURN_IF_ERROR(FreeOthersAt(tx, member));
        METAMCP_RETURN_IF_ERROR(
            tx.Execute("DELETE FROM cluster_members WHERE expires_us <= :now", {{"now", now_us}})
                .status());
        METAMCP_ASSIGN_OR_RETURN(
            const Rows known,
            tx.Query("SELECT since_us FROM cluster_members WHERE instance = :instance",
                     {{"instance", member.instance()}}));
        int64_t since = now_us;
        if (!known.empty()) {
          METAMCP_ASSIGN_OR_RETURN(since, known[0].Get<int64_t>("since_us"));
        }
        METAMCP_RETURN_IF_ERROR(tx.Upsert("cluster_members", {{"instance", member.instance()}},
                                          {{"address", member.address()},
                                           {"roles", absl::StrJoin(member.roles(), " ")},
                                           {"since_us", since},
                                           {"expires_us", now_us + lease_us}}));
        return Living(tx, now_us);
      });
}

absl::Status DirectoryStore::Leave(const v1::Member& member) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(kClusterLock));
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query("SELECT roles FROM cluster_members WHERE instance = :instance",
                                  {{"instance", member.instance()}}));
    if (rows.empty()) return absl::OkStatus();
    METAMCP_ASSIGN_OR_RETURN(const bool may, NamesRolesOf(member, rows[0]));
    return may ? Free(tx, member.instance()) : absl::OkStatus();
  });
}

absl::StatusOr<std::vector<v1::UpstreamLease>> DirectoryStore::Take(
    const v1::TakeUpstreamsRequest& request, int64_t now_us, bool sure) {
  const db::TransactOptions options;
  return database_.Transact(
      options, [&](Transaction& tx) -> absl::StatusOr<std::vector<v1::UpstreamLease>> {
        METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(kClusterLock));
        METAMCP_ASSIGN_OR_RETURN(const std::vector<v1::Member> members, Living(tx, now_us));
        std::set<std::string> living;
        for (const v1::Member& member : members) living.insert(member.instance());
        const std::string& me = request.instance();
        if (living.count(me) == 0) {
          return MakeError("NOT_FOUND", "catalog", "this process has no lease; announce it first");
        }
        METAMCP_ASSIGN_OR_RETURN(Leases leases, ReadLeases(tx));
        for (const std::string& id : request.release_ids()) {
          const auto it = leases.find(id);
          if (it == leases.end() || it->second.owner() != me) continue;
          it->second.clear_owner();
          METAMCP_RETURN_IF_ERROR(
              tx.Execute("UPDATE cluster_leases SET owner = '' WHERE upstream_id = :id",
                         {{"id", id}})
                  .status());
        }
        std::vector<v1::UpstreamLease> out;
        for (const std::string& id : request.take_ids()) {
          v1::UpstreamLease& lease = leases[id];
          const bool gone = living.count(lease.owner()) == 0;
          if (lease.owner().empty() || (gone && sure)) {
            METAMCP_RETURN_IF_ERROR(Grant(tx, id, me, lease));
          }
          lease.set_upstream_id(id);
          out.push_back(lease);
        }
        for (const std::string& id : request.ask_ids()) {
          v1::UpstreamLease lease = leases[id];
          lease.set_upstream_id(id);
          if (living.count(lease.owner()) == 0) lease.clear_owner();
          out.push_back(std::move(lease));
        }
        return out;
      });
}

absl::Status DirectoryStore::Mark(const std::vector<v1::SessionMark>& marks, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(kMarksLock));
    METAMCP_ASSIGN_OR_RETURN(const Row head,
                             tx.QueryOne("SELECT seq FROM session_marks_head WHERE id = 1"));
    METAMCP_ASSIGN_OR_RETURN(int64_t seq, head.Get<int64_t>("seq"));
    for (const v1::SessionMark& mark : marks) {
      METAMCP_RETURN_IF_ERROR(PutMark(tx, mark, ++seq));
    }
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("DELETE FROM session_marks WHERE expires_us <= :now", {{"now", now_us}})
            .status());
    return tx.Execute("UPDATE session_marks_head SET seq = :seq WHERE id = 1", {{"seq", seq}})
        .status();
  });
}

absl::StatusOr<v1::ListSessionMarksResponse> DirectoryStore::ListMarks(int64_t after,
                                                                       int64_t now_us) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<v1::ListSessionMarksResponse> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query(
            "SELECT handle, seq, ended, log_level, expires_us FROM session_marks "
            "WHERE seq > :after AND expires_us > :now ORDER BY seq LIMIT :most",
            {{"after", after}, {"now", now_us}, {"most", static_cast<int64_t>(kMarksPerPage)}}));
    v1::ListSessionMarksResponse out;
    out.set_head(after);
    out.set_more(rows.size() == kMarksPerPage);
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(*out.add_marks(), ReadMark(row));
      METAMCP_ASSIGN_OR_RETURN(const int64_t seq, row.Get<int64_t>("seq"));
      out.set_head(seq);
    }
    return out;
  });
}

}  // namespace metamcp::catalog
