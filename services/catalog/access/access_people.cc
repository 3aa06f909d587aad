// Users, teams and what gateways saw.
#include <algorithm>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/catalog/access/access_rows.h"
#include "services/catalog/access/access_store.h"

namespace metamcp::catalog {

using access::v1::Team;
using access::v1::User;
using db::Params;
using db::Row;
using db::Rows;
using db::Transaction;

absl::StatusOr<std::vector<User>> AccessStore::Users() {
  return database_.Read([this](Transaction& tx) -> absl::StatusOr<std::vector<User>> {
    METAMCP_ASSIGN_OR_RETURN(const Rows rows,
                             tx.Query(StrCat("SELECT ", kUserColumns,
                                             " FROM access_users WHERE tenant_id = :tenant "
                                             "ORDER BY last_seen_us DESC, subject LIMIT :most"),
                                      With({{"most", kAccessRowsMax}})));
    std::vector<User> out;
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(User user, ReadUser(row));
      out.push_back(std::move(user));
    }
    return out;
  });
}

absl::StatusOr<User> AccessStore::SetUser(const std::string& subject, bool disabled,
                                          int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<User> {
    METAMCP_RETURN_IF_ERROR(Bump(tx));
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("INSERT INTO access_users (tenant_id, subject, display_name, issuer, roles, "
                   "disabled, first_seen_us, last_seen_us) VALUES (:tenant, :subject, '', '', '', "
                   ":disabled, :now, 0) ON CONFLICT (tenant_id, subject) DO NOTHING",
                   With({{"subject", subject}, {"disabled", disabled}, {"now", now_us}}))
            .status());
    METAMCP_RETURN_IF_ERROR(tx.Execute("UPDATE access_users SET disabled = :disabled WHERE "
                                       "tenant_id = :tenant AND subject = :subject",
                                       With({{"subject", subject}, {"disabled", disabled}}))
                                .status());
    METAMCP_ASSIGN_OR_RETURN(
        const Row row,
        tx.QueryOne(StrCat("SELECT ", kUserColumns,
                           " FROM access_users WHERE tenant_id = :tenant AND subject = :subject"),
                    With({{"subject", subject}})));
    return ReadUser(row);
  });
}

absl::Status AccessStore::Report(const access::v1::ReportUseRequest& seen) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    for (const access::v1::KeyUse& use : seen.keys()) {
      METAMCP_RETURN_IF_ERROR(
          tx.Execute("UPDATE access_keys SET last_used_us = :used WHERE tenant_id = :tenant AND "
                     "id = :id AND last_used_us < :used",
                     With({{"id", use.id()}, {"used", use.used_us()}}))
              .status());
      if (!use.has_mac()) continue;
      METAMCP_RETURN_IF_ERROR(Bump(tx));
      METAMCP_RETURN_IF_ERROR(tx.Execute("UPDATE access_keys SET mac_kid = :kid, mac = :mac WHERE "
                                         "tenant_id = :tenant AND id = :id AND mac_kid <> :kid",
                                         With({{"id", use.id()},
                                               {"kid", use.mac().kid()},
                                               {"mac", HexEncode(use.mac().mac())}}))
                                  .status());
    }
    for (const User& user : seen.users()) {
      const Params values = With({{"subject", user.subject()},
                                  {"name", user.display_name()},
                                  {"issuer", user.issuer()},
                                  {"roles", Lines(user.roles())},
                                  {"seen", user.last_seen_us()}});
      METAMCP_ASSIGN_OR_RETURN(
          const int64_t known,
          tx.Execute("UPDATE access_users SET display_name = :name, issuer = :issuer, "
                     "roles = :roles, last_seen_us = :seen WHERE tenant_id = :tenant AND "
                     "subject = :subject",
                     values));
      if (known > 0) continue;
      METAMCP_RETURN_IF_ERROR(
          tx.Execute("INSERT INTO access_users (tenant_id, subject, display_name, issuer, roles, "
                     "disabled, first_seen_us, last_seen_us) VALUES (:tenant, :subject, :name, "
                     ":issuer, :roles, 0, :seen, :seen) ON CONFLICT (tenant_id, subject) "
                     "DO NOTHING",
                     values)
              .status());
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<Team>> AccessStore::ReadTeams(Transaction& tx) {
  METAMCP_ASSIGN_OR_RETURN(const Rows rows,
                           tx.Query("SELECT name, created_us FROM access_teams WHERE "
                                    "tenant_id = :tenant ORDER BY name",
                                    With({})));
  METAMCP_ASSIGN_OR_RETURN(const Rows members,
                           tx.Query("SELECT team, subject FROM access_members WHERE "
                                    "tenant_id = :tenant ORDER BY team, subject",
                                    With({})));
  std::vector<Team> out;
  for (const Row& row : rows) {
    Team team;
    METAMCP_RETURN_IF_ERROR(ReadText(row, "name", team.mutable_name()));
    METAMCP_ASSIGN_OR_RETURN(const int64_t created, row.Get<int64_t>("created_us"));
    team.set_created_us(created);
    out.push_back(std::move(team));
  }
  for (const Row& row : members) {
    std::string name;
    METAMCP_RETURN_IF_ERROR(ReadText(row, "team", &name));
    const auto at = std::lower_bound(out.begin(), out.end(), name,
                                     [](const Team& t, const auto& n) { return t.name() < n; });
    if (at == out.end() || at->name() != name) continue;
    METAMCP_RETURN_IF_ERROR(ReadText(row, "subject", at->add_members()));
  }
  return out;
}

absl::StatusOr<Team> AccessStore::ReadTeam(Transaction& tx, const std::string& name) {
  METAMCP_ASSIGN_OR_RETURN(const std::vector<Team> teams, ReadTeams(tx));
  for (const Team& team : teams) {
    if (team.name() == name) return team;
  }
  return Missing("team", name);
}

absl::StatusOr<std::vector<Team>> AccessStore::Teams() {
  return database_.Read([this](Transaction& tx) { return ReadTeams(tx); });
}

absl::StatusOr<Team> AccessStore::AddTeam(const std::string& name, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<Team> {
    METAMCP_RETURN_IF_ERROR(Bump(tx));
    const auto there = ReadTeam(tx, name);
    if (there.ok()) {
      return MakeError("ALREADY_EXISTS", "catalog", StrCat("there is a team \"", name, "\""));
    }
    METAMCP_RETURN_IF_ERROR(tx.Execute("INSERT INTO access_teams (tenant_id, name, created_us) "
                                       "VALUES (:tenant, :name, :now)",
                                       With({{"name", name}, {"now", now_us}}))
                                .status());
    return ReadTeam(tx, name);
  });
}

absl::Status AccessStore::RemoveTeam(const std::string& name) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(Bump(tx));
    METAMCP_RETURN_IF_ERROR(ReadTeam(tx, name).status());
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("DELETE FROM access_members WHERE tenant_id = :tenant AND team = :name",
                   With({{"name", name}}))
            .status());
    return tx
        .Execute("DELETE FROM access_teams WHERE tenant_id = :tenant AND name = :name",
                 With({{"name", name}}))
        .status();
  });
}

absl::StatusOr<Team> AccessStore::SetMember(const std::string& name, const std::string& subject,
                                            bool absent) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<Team> {
    METAMCP_RETURN_IF_ERROR(Bump(tx));
    METAMCP_RETURN_IF_ERROR(ReadTeam(tx, name).status());
    if (absent) {
      METAMCP_RETURN_IF_ERROR(tx.Execute("DELETE FROM access_members WHERE tenant_id = :tenant AND "
                                         "team = :name AND subject = :subject",
                                         With({{"name", name}, {"subject", subject}}))
                                  .status());
    } else {
      METAMCP_RETURN_IF_ERROR(tx.Upsert(
          "access_members", {{"tenant_id", tenant_}, {"team", name}, {"subject", subject}}, {}));
    }
    return ReadTeam(tx, name);
  });
}

}  // namespace metamcp::catalog
