#include "services/catalog/access/access_store.h"

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/catalog/access/access_rows.h"

namespace metamcp::catalog {
namespace {

using access::v1::Key;
using access::v1::SecretMac;
using access::v1::Team;
using db::Params;
using db::Row;
using db::Rows;
using db::Transaction;

constexpr std::string_view kLock = "metamcp.access";
constexpr std::string_view kInForce = "revoked_us = 0 AND (expires_us = 0 OR expires_us > :now)";

}  // namespace

Params AccessStore::With(Params params) const {
  params.push_back({"tenant", tenant_});
  return params;
}

absl::StatusOr<int64_t> AccessStore::Revision() {
  return database_.Read([this](Transaction& tx) -> absl::StatusOr<int64_t> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT revision FROM access_head WHERE tenant_id = :tenant", With({})));
    return rows.empty() ? absl::StatusOr<int64_t>(0) : rows[0].Get<int64_t>("revision");
  });
}

// Writers queue here, so a decision rests on what is there.
absl::Status AccessStore::Bump(Transaction& tx) {
  METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(kLock));
  METAMCP_RETURN_IF_ERROR(tx.Execute("INSERT INTO access_head (tenant_id, revision) "
                                     "VALUES (:tenant, 0) ON CONFLICT (tenant_id) DO NOTHING",
                                     With({}))
                              .status());
  return tx
      .Execute("UPDATE access_head SET revision = revision + 1 WHERE tenant_id = :tenant", With({}))
      .status();
}

absl::StatusOr<access::v1::WatchAccessResponse> AccessStore::Snapshot(int64_t now_us) {
  using Response = access::v1::WatchAccessResponse;
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<Response> {
    Response out;
    METAMCP_ASSIGN_OR_RETURN(
        const Rows head,
        tx.Query("SELECT revision FROM access_head WHERE tenant_id = :tenant", With({})));
    if (!head.empty()) {
      METAMCP_ASSIGN_OR_RETURN(const int64_t revision, head[0].Get<int64_t>("revision"));
      out.set_revision(revision);
    }
    METAMCP_ASSIGN_OR_RETURN(
        const Rows keys,
        tx.Query(StrCat("SELECT ", kKeyColumns, " FROM access_keys WHERE tenant_id = :tenant AND ",
                        kInForce, " ORDER BY id"),
                 With({{"now", now_us}})));
    for (const Row& row : keys) {
      METAMCP_ASSIGN_OR_RETURN(StoredKey stored, ReadKey(row));
      access::v1::LiveKey& live = *out.add_keys();
      *live.mutable_key() = std::move(stored.key);
      *live.add_macs() = std::move(stored.mac);
      if (stored.old.until_us() > now_us) *live.add_macs() = std::move(stored.old);
    }
    METAMCP_ASSIGN_OR_RETURN(const Rows users,
                             tx.Query("SELECT subject FROM access_users WHERE tenant_id = :tenant "
                                      "AND disabled = 1 ORDER BY subject",
                                      With({})));
    for (const Row& row : users) {
      METAMCP_RETURN_IF_ERROR(ReadText(row, "subject", out.add_disabled()));
    }
    METAMCP_ASSIGN_OR_RETURN(const std::vector<Team> teams, ReadTeams(tx));
    for (const Team& team : teams) *out.add_teams() = team;
    return out;
  });
}

absl::Status AccessStore::Put(Transaction& tx, const StoredKey& stored) {
  const Key& key = stored.key;
  return tx.Upsert("access_keys", {{"tenant_id", tenant_}, {"id", key.id()}},
                   {{"name", key.name()},
                    {"prefix", key.prefix()},
                    {"owner", key.owner()},
                    {"roles", Lines(key.roles())},
                    {"scopes", Lines(key.scopes())},
                    {"teams", Lines(key.teams())},
                    {"created_us", key.created_us()},
                    {"created_by", key.created_by()},
                    {"expires_us", key.expires_us()},
                    {"revoked_us", key.revoked_us()},
                    {"rotated_us", key.rotated_us()},
                    {"last_used_us", key.last_used_us()},
                    {"mac_kid", stored.mac.kid()},
                    {"mac", HexEncode(stored.mac.mac())},
                    {"old_kid", stored.old.kid()},
                    {"old_mac", HexEncode(stored.old.mac())},
                    {"old_until_us", stored.old.until_us()}});
}

absl::Status AccessStore::AddKey(const StoredKey& key, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(Bump(tx));
    METAMCP_ASSIGN_OR_RETURN(
        const Rows same,
        tx.Query(StrCat("SELECT id FROM access_keys WHERE tenant_id = :tenant AND name = :name "
                        "AND ",
                        kInForce),
                 With({{"name", key.key.name()}, {"now", now_us}})));
    if (!same.empty()) {
      return MakeError("ALREADY_EXISTS", "catalog",
                       StrCat("a key in force is called \"", key.key.name(), "\" already"));
    }
    METAMCP_ASSIGN_OR_RETURN(
        const Rows all, tx.Query("SELECT id FROM access_keys WHERE tenant_id = :tenant LIMIT :most",
                                 With({{"most", kAccessRowsMax}})));
    if (static_cast<int64_t>(all.size()) >= kAccessRowsMax) {
      return MakeError("QUEUE_FULL", "catalog",
                       StrCat("there are ", kAccessRowsMax, " keys already"));
    }
    return Put(tx, key);
  });
}

absl::StatusOr<std::vector<Key>> AccessStore::Keys(bool all, int64_t now_us) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<Key>> {
    const std::string rest = all ? " AND :now >= 0" : StrCat(" AND ", kInForce);
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query(StrCat("SELECT ", kKeyColumns, " FROM access_keys WHERE tenant_id = :tenant", rest,
                        " ORDER BY created_us DESC, id LIMIT :most"),
                 With({{"now", now_us}, {"most", kAccessRowsMax}})));
    std::vector<Key> out;
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(StoredKey stored, ReadKey(row));
      out.push_back(std::move(stored.key));
    }
    return out;
  });
}

absl::StatusOr<StoredKey> AccessStore::KeyInForce(Transaction& tx, const std::string& id,
                                                  int64_t now_us) {
  METAMCP_ASSIGN_OR_RETURN(
      const Rows rows,
      tx.Query(StrCat("SELECT ", kKeyColumns,
                      " FROM access_keys WHERE tenant_id = :tenant AND id = :id AND ", kInForce),
               With({{"id", id}, {"now", now_us}})));
  if (rows.empty()) return Missing("key in force", id);
  return ReadKey(rows[0]);
}

absl::StatusOr<Key> AccessStore::Rotate(const std::string& id, const std::string& prefix,
                                        const SecretMac& mac, int64_t old_until_us,
                                        int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<Key> {
    METAMCP_RETURN_IF_ERROR(Bump(tx));
    METAMCP_ASSIGN_OR_RETURN(StoredKey stored, KeyInForce(tx, id, now_us));
    stored.old = stored.mac;
    stored.old.set_until_us(old_until_us);
    stored.mac = mac;
    // Its age begins anew.
    if (stored.key.expires_us() > 0) {
      const int64_t born =
          stored.key.rotated_us() > 0 ? stored.key.rotated_us() : stored.key.created_us();
      stored.key.set_expires_us(now_us + stored.key.expires_us() - born);
    }
    stored.key.set_rotated_us(now_us);
    stored.key.set_prefix(prefix);
    METAMCP_RETURN_IF_ERROR(Put(tx, stored));
    return stored.key;
  });
}

absl::StatusOr<Key> AccessStore::Revoke(const std::string& id, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<Key> {
    METAMCP_RETURN_IF_ERROR(Bump(tx));
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query(StrCat("SELECT ", kKeyColumns,
                        " FROM access_keys WHERE tenant_id = :tenant AND id = :id"),
                 With({{"id", id}})));
    if (rows.empty()) return Missing("key", id);
    METAMCP_ASSIGN_OR_RETURN(StoredKey stored, ReadKey(rows[0]));
    if (stored.key.revoked_us() == 0) stored.key.set_revoked_us(now_us);
    METAMCP_RETURN_IF_ERROR(Put(tx, stored));
    return stored.key;
  });
}

}  // namespace metamcp::catalog
