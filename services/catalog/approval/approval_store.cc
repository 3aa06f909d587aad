#include "services/catalog/approval/approval_store.h"

#include "common/auth/roles.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/db/migrations.h"
#include "migrations/approvals.h"

namespace metamcp::catalog {
namespace {

using apb::Approval;
using db::Params;
using db::Row;
using db::Rows;
using db::Transaction;

constexpr std::string_view kColumns =
    "id, state, scope, subject, client, virtual_server, item, fingerprint, digest, shown, rule, "
    "reason, decided_by, created_us, decided_us, expires_us";
constexpr int kListMax = 200;

absl::StatusOr<Approval> FromRow(const Row& row, int64_t now_us) {
  Approval out;
  METAMCP_ASSIGN_OR_RETURN(*out.mutable_id(), row.Get<std::string>("id"));
  METAMCP_ASSIGN_OR_RETURN(*out.mutable_state(), row.Get<std::string>("state"));
  METAMCP_ASSIGN_OR_RETURN(const int64_t scope, row.Get<int64_t>("scope"));
  out.set_scope(static_cast<apb::ApprovalScope>(scope));
  METAMCP_ASSIGN_OR_RETURN(*out.mutable_subject(), row.Get<std::string>("subject"));
  METAMCP_ASSIGN_OR_RETURN(*out.mutable_client(), row.Get<std::string>("client"));
  METAMCP_ASSIGN_OR_RETURN(*out.mutable_virtual_server(), row.Get<std::string>("virtual_server"));
  METAMCP_ASSIGN_OR_RETURN(*out.mutable_item(), row.Get<std::string>("item"));
  METAMCP_ASSIGN_OR_RETURN(*out.mutable_fingerprint(), row.Get<std::string>("fingerprint"));
  METAMCP_ASSIGN_OR_RETURN(*out.mutable_digest(), row.Get<std::string>("digest"));
  METAMCP_ASSIGN_OR_RETURN(*out.mutable_shown(), row.Get<std::string>("shown"));
  METAMCP_ASSIGN_OR_RETURN(*out.mutable_rule(), row.Get<std::string>("rule"));
  METAMCP_ASSIGN_OR_RETURN(*out.mutable_reason(), row.Get<std::string>("reason"));
  METAMCP_ASSIGN_OR_RETURN(*out.mutable_decided_by(), row.Get<std::string>("decided_by"));
  METAMCP_ASSIGN_OR_RETURN(const int64_t created, row.Get<int64_t>("created_us"));
  METAMCP_ASSIGN_OR_RETURN(const int64_t decided, row.Get<int64_t>("decided_us"));
  METAMCP_ASSIGN_OR_RETURN(const int64_t expires, row.Get<int64_t>("expires_us"));
  out.set_created_us(created);
  out.set_decided_us(decided);
  out.set_expires_us(expires);
  const bool open = out.state() == "waiting" || out.state() == "approved";
  if (open && expires > 0 && expires <= now_us) out.set_state("expired");
  return out;
}

absl::StatusOr<std::vector<Approval>> Read(Transaction& tx, std::string_view where,
                                           const Params& params, int64_t now_us) {
  METAMCP_ASSIGN_OR_RETURN(const Rows rows,
                           tx.Query(StrCat("SELECT ", kColumns, " FROM approvals WHERE ", where,
                                           " ORDER BY created_us DESC, id DESC LIMIT ", kListMax),
                                    params));
  std::vector<Approval> out;
  for (const Row& row : rows) {
    METAMCP_ASSIGN_OR_RETURN(Approval approval, FromRow(row, now_us));
    out.push_back(std::move(approval));
  }
  return out;
}

absl::StatusOr<Approval> One(Transaction& tx, const std::string& tenant, const std::string& id,
                             int64_t now_us) {
  METAMCP_ASSIGN_OR_RETURN(const auto found, Read(tx, "tenant = :tenant AND id = :id",
                                                  {{"tenant", tenant}, {"id", id}}, now_us));
  if (!found.empty()) return found[0];
  return MakeError("NOT_FOUND", "catalog", StrCat("no approval \"", id.substr(0, 64), "\""));
}

absl::Status SetState(Transaction& tx, const std::string& tenant, const Approval& approval) {
  return tx
      .Execute(
          "UPDATE approvals SET state = :state, scope = :scope, decided_by = :by, "
          "decided_us = :decided, expires_us = :expires WHERE tenant = :tenant AND id = :id",
          {{"state", approval.state()},
           {"scope", static_cast<int64_t>(approval.scope())},
           {"by", approval.decided_by()},
           {"decided", approval.decided_us()},
           {"expires", approval.expires_us()},
           {"tenant", tenant},
           {"id", approval.id()}})
      .status();
}

absl::Status Insert(Transaction& tx, const std::string& tenant, const Approval& approval) {
  return tx
      .Execute(StrCat("INSERT INTO approvals (tenant, ", kColumns,
                      ") VALUES (:tenant, :id, :state, :scope, :subject, :client, :server, :item, "
                      ":fingerprint, :digest, :shown, :rule, :reason, '', :created, 0, :expires)"),
               {{"tenant", tenant},
                {"id", approval.id()},
                {"state", approval.state()},
                {"scope", static_cast<int64_t>(approval.scope())},
                {"subject", approval.subject()},
                {"client", approval.client()},
                {"server", approval.virtual_server()},
                {"item", approval.item()},
                {"fingerprint", approval.fingerprint()},
                {"digest", approval.digest()},
                {"shown", approval.shown()},
                {"rule", approval.rule()},
                {"reason", approval.reason()},
                {"created", approval.created_us()},
                {"expires", approval.expires_us()}})
      .status();
}

// Whether what was allowed then covers the call that is asked about now.
bool Covers(const Approval& granted, const Approval& asked) {
  if (granted.state() != "approved" || granted.fingerprint() != asked.fingerprint()) return false;
  switch (granted.scope()) {
    case apb::APPROVAL_SCOPE_ALWAYS:
      return true;
    case apb::APPROVAL_SCOPE_SESSION:
      return granted.client() == asked.client() &&
             granted.virtual_server() == asked.virtual_server();
    default:
      return granted.digest() == asked.digest();
  }
}

bool MayDecide(const Principal& who, const Approval& approval) {
  return auth::Allows(who, auth::Permission::kOperate) ||
         (!who.subject.empty() && who.subject == approval.subject());
}

}  // namespace

absl::Status ApprovalStore::MigrateBlocking(db::Database& database) {
  return db::MigrateBlocking(database, "approvals", approvals::Migrations()).status();
}

absl::StatusOr<apb::AskApprovalResponse> ApprovalStore::Ask(const apb::AskApprovalRequest& request,
                                                            const std::string& new_id,
                                                            int64_t now_us) {
  const Approval& asked = request.approval();
  return database_.Transact({}, [&](Transaction& tx) -> absl::StatusOr<apb::AskApprovalResponse> {
    // One at a time for each principal: of two calls at once only one uses an approval up.
    METAMCP_RETURN_IF_ERROR(
        tx.AdvisoryLock(StrCat("metamcp.approvals.", tenant_, ".", asked.subject())));
    METAMCP_ASSIGN_OR_RETURN(auto known,
                             Read(tx,
                                  "tenant = :tenant AND subject = :subject AND item = :item AND "
                                  "state IN ('waiting', 'approved', 'denied') AND "
                                  "(expires_us = 0 OR expires_us > :now)",
                                  {{"tenant", tenant_},
                                   {"subject", asked.subject()},
                                   {"item", asked.item()},
                                   {"now", now_us}},
                                  now_us));
    if (!request.id().empty()) {
      std::erase_if(known, [&](const Approval& one) { return one.id() != request.id(); });
    }
    apb::AskApprovalResponse out;
    for (Approval& one : known) {
      if (!Covers(one, asked)) continue;
      if (one.scope() == apb::APPROVAL_SCOPE_ONCE) {
        one.set_state("used");
        METAMCP_RETURN_IF_ERROR(SetState(tx, tenant_, one));
      }
      out.set_outcome("granted");
      *out.mutable_approval() = std::move(one);
      return out;
    }
    for (Approval& one : known) {
      if (one.digest() != asked.digest()) continue;
      const bool told = one.state() == "denied";
      if (!told && one.state() != "waiting") continue;
      out.set_outcome(told ? "denied" : "waiting");
      if (told) {
        // Once: who asks again after that is a new question.
        one.set_state("closed");
        METAMCP_RETURN_IF_ERROR(SetState(tx, tenant_, one));
      }
      *out.mutable_approval() = std::move(one);
      return out;
    }
    if (!request.id().empty()) {
      out.set_outcome("gone");
      return out;
    }
    METAMCP_ASSIGN_OR_RETURN(
        const Row count,
        tx.QueryOne("SELECT COUNT(*) AS n FROM approvals WHERE tenant = :tenant "
                    "AND subject = :subject AND state = 'waiting' AND "
                    "expires_us > :now",
                    {{"tenant", tenant_}, {"subject", asked.subject()}, {"now", now_us}}));
    METAMCP_ASSIGN_OR_RETURN(const int64_t waiting, count.Get<int64_t>("n"));
    if (waiting >= kWaitingMax) {
      return MakeError("QUEUE_FULL", "policy",
                       StrCat(kWaitingMax, " calls of yours wait for a person already"));
    }
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("DELETE FROM approvals WHERE tenant = :tenant AND created_us < :old AND "
                   "(state NOT IN ('approved') OR (expires_us > 0 AND expires_us < :now))",
                   {{"tenant", tenant_}, {"old", now_us - kKeptUs}, {"now", now_us}})
            .status());
    Approval made = asked;
    made.set_id(new_id);
    made.set_state("waiting");
    made.set_scope(apb::APPROVAL_SCOPE_ONCE);
    made.set_created_us(now_us);
    made.set_expires_us(now_us + request.lifetime_ms() * 1000);
    METAMCP_RETURN_IF_ERROR(Insert(tx, tenant_, made));
    out.set_outcome("waiting");
    *out.mutable_approval() = std::move(made);
    return out;
  });
}

absl::StatusOr<Approval> ApprovalStore::Decide(const apb::DecideApprovalRequest& request,
                                               const Principal& who, bool self, int64_t now_us) {
  return database_.Transact({}, [&](Transaction& tx) -> absl::StatusOr<Approval> {
    METAMCP_ASSIGN_OR_RETURN(Approval approval, One(tx, tenant_, request.id(), now_us));
    if (!MayDecide(who, approval)) {
      return MakeError("NOT_FOUND", "catalog",
                       StrCat("no approval \"", request.id().substr(0, 64), "\""));
    }
    if (!self && who.subject == approval.subject()) {
      return MakeError("PERMISSION_DENIED", "catalog",
                       "somebody else must decide this (policy.selfApproval)");
    }
    METAMCP_RETURN_IF_ERROR(
        tx.AdvisoryLock(StrCat("metamcp.approvals.", tenant_, ".", approval.subject())));
    METAMCP_ASSIGN_OR_RETURN(approval, One(tx, tenant_, request.id(), now_us));
    const std::string wanted = request.approve() ? "approved" : "denied";
    if (approval.state() == wanted) return approval;
    if (approval.state() != "waiting") {
      return MakeError("APPROVAL_CLOSED", "catalog",
                       StrCat("the approval ", approval.id(), " is ", approval.state(),
                              approval.decided_by().empty() ? "" : " by ", approval.decided_by()));
    }
    const int64_t lifetime = approval.expires_us() - approval.created_us();
    approval.set_state(wanted);
    approval.set_decided_by(who.subject);
    approval.set_decided_us(now_us);
    const auto scope = request.scope() == apb::APPROVAL_SCOPE_UNSPECIFIED ? apb::APPROVAL_SCOPE_ONCE
                                                                          : request.scope();
    approval.set_scope(scope);
    approval.set_expires_us(scope == apb::APPROVAL_SCOPE_ALWAYS && request.approve() ? 0
                            : scope == apb::APPROVAL_SCOPE_SESSION ? now_us + kSessionUs
                                                                   : now_us + lifetime);
    METAMCP_RETURN_IF_ERROR(SetState(tx, tenant_, approval));
    return approval;
  });
}

absl::StatusOr<std::vector<Approval>> ApprovalStore::List(std::string_view state,
                                                          const std::string& subject,
                                                          int64_t now_us) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<Approval>> {
    std::string where = "tenant = :tenant";
    Params params = {{"tenant", tenant_}};
    if (!subject.empty()) {
      where += " AND subject = :subject";
      params.emplace_back("subject", subject);
    }
    if (state != "all") {
      where += " AND state = :state AND (expires_us = 0 OR expires_us > :now)";
      params.emplace_back("state", std::string(state == "granted" ? "approved" : "waiting"));
      params.emplace_back("now", now_us);
    }
    return Read(tx, where, params, now_us);
  });
}

absl::StatusOr<Approval> ApprovalStore::Get(const std::string& id, int64_t now_us) {
  return database_.Read([&](Transaction& tx) { return One(tx, tenant_, id, now_us); });
}

absl::Status ApprovalStore::Revoke(const std::string& id, const Principal& who, int64_t now_us) {
  const auto done = database_.Transact({}, [&](Transaction& tx) -> absl::StatusOr<bool> {
    METAMCP_ASSIGN_OR_RETURN(Approval approval, One(tx, tenant_, id, now_us));
    if (!MayDecide(who, approval)) {
      return MakeError("NOT_FOUND", "catalog", StrCat("no approval \"", id.substr(0, 64), "\""));
    }
    METAMCP_RETURN_IF_ERROR(
        tx.AdvisoryLock(StrCat("metamcp.approvals.", tenant_, ".", approval.subject())));
    METAMCP_ASSIGN_OR_RETURN(approval, One(tx, tenant_, id, now_us));
    if (approval.state() != "waiting" && approval.state() != "approved") return false;
    approval.set_state("revoked");
    approval.set_decided_by(who.subject);
    approval.set_decided_us(now_us);
    METAMCP_RETURN_IF_ERROR(SetState(tx, tenant_, approval));
    return true;
  });
  return done.status();
}

}  // namespace metamcp::catalog
