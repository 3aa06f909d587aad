#include "services/workflow/face/hook_store.h"

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/workflow/store/rows.h"

namespace metamcp::workflow {
namespace {

using db::Row;
using db::Rows;
using db::Transaction;

absl::StatusOr<WebhookRow> ReadWebhook(const Row& row) {
  WebhookRow out;
  METAMCP_ASSIGN_OR_RETURN(out.id, row.Get<std::string>("id"));
  METAMCP_ASSIGN_OR_RETURN(out.tenant, row.Get<std::string>("tenant"));
  METAMCP_ASSIGN_OR_RETURN(out.url, row.Get<std::string>("url"));
  METAMCP_ASSIGN_OR_RETURN(const std::string states, row.Get<std::string>("states"));
  out.states = absl::StrSplit(states, ',', absl::SkipEmpty());
  METAMCP_ASSIGN_OR_RETURN(out.workflow, row.Get<std::string>("workflow"));
  METAMCP_ASSIGN_OR_RETURN(out.owner, row.Get<std::string>("owner"));
  METAMCP_ASSIGN_OR_RETURN(out.principal, row.Get<std::string>("principal"));
  METAMCP_ASSIGN_OR_RETURN(out.secret, row.Get<std::string>("secret"));
  METAMCP_ASSIGN_OR_RETURN(out.enabled, row.Get<bool>("enabled"));
  METAMCP_ASSIGN_OR_RETURN(out.created_us, row.Get<int64_t>("created_us"));
  return out;
}

absl::StatusOr<DeliveryRow> ReadDelivery(const Row& row) {
  DeliveryRow out;
  METAMCP_ASSIGN_OR_RETURN(out.id, row.Get<std::string>("id"));
  METAMCP_ASSIGN_OR_RETURN(out.webhook_id, row.Get<std::string>("webhook_id"));
  METAMCP_ASSIGN_OR_RETURN(out.run_id, row.Get<std::string>("run_id"));
  METAMCP_ASSIGN_OR_RETURN(out.state, row.Get<std::string>("state"));
  METAMCP_ASSIGN_OR_RETURN(out.payload, row.Get<std::string>("payload"));
  METAMCP_ASSIGN_OR_RETURN(out.status, row.Get<std::string>("status"));
  METAMCP_ASSIGN_OR_RETURN(out.attempts, row.Get<int64_t>("attempts"));
  METAMCP_ASSIGN_OR_RETURN(out.http_status, row.Get<int64_t>("http_status"));
  METAMCP_ASSIGN_OR_RETURN(out.error, row.Get<std::string>("error"));
  METAMCP_ASSIGN_OR_RETURN(out.next_us, row.Get<int64_t>("next_us"));
  METAMCP_ASSIGN_OR_RETURN(out.created_us, row.Get<int64_t>("created_us"));
  return out;
}

absl::StatusOr<HookRow> ReadHook(const Row& row) {
  HookRow out;
  METAMCP_ASSIGN_OR_RETURN(out.id, row.Get<std::string>("id"));
  METAMCP_ASSIGN_OR_RETURN(out.tenant, row.Get<std::string>("tenant"));
  METAMCP_ASSIGN_OR_RETURN(out.name, row.Get<std::string>("name"));
  METAMCP_ASSIGN_OR_RETURN(out.workflow, row.Get<std::string>("workflow"));
  METAMCP_ASSIGN_OR_RETURN(out.event_type, row.Get<std::string>("event_type"));
  METAMCP_ASSIGN_OR_RETURN(out.owner, row.Get<std::string>("owner"));
  METAMCP_ASSIGN_OR_RETURN(out.principal, row.Get<std::string>("principal"));
  METAMCP_ASSIGN_OR_RETURN(out.secret, row.Get<std::string>("secret"));
  METAMCP_ASSIGN_OR_RETURN(out.created_us, row.Get<int64_t>("created_us"));
  METAMCP_ASSIGN_OR_RETURN(out.received, row.Get<int64_t>("received"));
  METAMCP_ASSIGN_OR_RETURN(out.last_us, row.Get<int64_t>("last_us"));
  return out;
}

template <typename T>
absl::StatusOr<std::vector<T>> ReadAll(const Rows& rows, absl::StatusOr<T> (*read)(const Row&)) {
  std::vector<T> out;
  for (const Row& row : rows) {
    METAMCP_ASSIGN_OR_RETURN(T one, read(row));
    out.push_back(std::move(one));
  }
  return out;
}

absl::Status PutDelivery(Transaction& tx, const DeliveryRow& row) {
  return tx.Upsert("workflow_deliveries", {{"id", row.id}},
                   {{"webhook_id", row.webhook_id},
                    {"run_id", row.run_id},
                    {"state", row.state},
                    {"payload", row.payload},
                    {"status", row.status},
                    {"attempts", row.attempts},
                    {"http_status", row.http_status},
                    {"error", row.error},
                    {"next_us", row.next_us},
                    {"created_us", row.created_us}});
}

absl::Status NoSuch(std::string_view what, const std::string& id) {
  return MakeError("NOT_FOUND", "workflow", StrCat("no ", what, " \"", id, "\""));
}

}  // namespace

absl::Status HookStore::PutWebhook(const WebhookRow& row) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    return tx.Upsert("workflow_webhooks", {{"id", row.id}},
                     {{"tenant", row.tenant},
                      {"url", row.url},
                      {"states", absl::StrJoin(row.states, ",")},
                      {"workflow", row.workflow},
                      {"owner", row.owner},
                      {"principal", row.principal},
                      {"secret", row.secret},
                      {"enabled", row.enabled},
                      {"created_us", row.created_us}});
  });
}

absl::StatusOr<std::vector<WebhookRow>> HookStore::ListWebhooks(const std::string& tenant,
                                                                const std::string& owner) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<WebhookRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT * FROM workflow_webhooks WHERE tenant = :tenant AND (owner = :owner OR "
                 ":owner = '') ORDER BY id",
                 {{"tenant", tenant}, {"owner", owner}}));
    return ReadAll<WebhookRow>(rows, ReadWebhook);
  });
}

absl::StatusOr<WebhookRow> HookStore::GetWebhook(const std::string& tenant, const std::string& id) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<WebhookRow> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT * FROM workflow_webhooks WHERE tenant = :tenant AND id = :id",
                 {{"tenant", tenant}, {"id", id}}));
    if (rows.empty()) return NoSuch("webhook", id);
    return ReadWebhook(rows[0]);
  });
}

absl::Status HookStore::RemoveWebhook(const std::string& tenant, const std::string& id) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_ASSIGN_OR_RETURN(
        const int64_t changed,
        tx.Execute("DELETE FROM workflow_webhooks WHERE tenant = :tenant AND id = :id",
                   {{"tenant", tenant}, {"id", id}}));
    if (changed == 0) return NoSuch("webhook", id);
    return tx.Execute("DELETE FROM workflow_deliveries WHERE webhook_id = :id", {{"id", id}})
        .status();
  });
}

absl::StatusOr<int64_t> HookStore::Unpack(int64_t limit, const Make& make) {
  METAMCP_ASSIGN_OR_RETURN(const auto rows, ReadOutbox(limit));
  for (const OutboxRow& row : rows) {
    METAMCP_ASSIGN_OR_RETURN(const auto deliveries, make(row));
    const db::TransactOptions options;
    const absl::Status stored = database_.Transact(options, [&](Transaction& tx) -> absl::Status {
      METAMCP_ASSIGN_OR_RETURN(
          const int64_t taken,
          tx.Execute("DELETE FROM workflow_outbox WHERE seq = :seq", {{"seq", row.seq}}));
      if (taken == 0) return absl::OkStatus();  // another process was first
      for (const DeliveryRow& delivery : deliveries) {
        METAMCP_RETURN_IF_ERROR(PutDelivery(tx, delivery));
      }
      return absl::OkStatus();
    });
    if (!stored.ok()) return stored;
  }
  return static_cast<int64_t>(rows.size());
}

absl::StatusOr<std::vector<OutboxRow>> HookStore::ReadOutbox(int64_t limit) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<OutboxRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT * FROM workflow_outbox ORDER BY seq LIMIT :limit", {{"limit", limit}}));
    std::vector<OutboxRow> out;
    for (const Row& row : rows) {
      OutboxRow one;
      METAMCP_ASSIGN_OR_RETURN(one.seq, row.Get<int64_t>("seq"));
      METAMCP_ASSIGN_OR_RETURN(one.tenant, row.Get<std::string>("tenant"));
      METAMCP_ASSIGN_OR_RETURN(one.run_id, row.Get<std::string>("run_id"));
      METAMCP_ASSIGN_OR_RETURN(one.state, row.Get<std::string>("state"));
      out.push_back(std::move(one));
    }
    return out;
  });
}

absl::StatusOr<std::vector<DeliveryRow>> HookStore::TakeDue(int64_t now_us, int64_t until_us,
                                                            int64_t limit) {
  const db::TransactOptions options;
  return database_.Transact(
      options, [&](Transaction& tx) -> absl::StatusOr<std::vector<DeliveryRow>> {
        db::ClaimSpec spec;
        spec.table = "workflow_deliveries";
        spec.where = "status = 'pending' AND next_us <= :now";
        spec.params = {{"now", now_us}};
        spec.order_by = "next_us, id";
        spec.limit = limit;
        METAMCP_ASSIGN_OR_RETURN(const Rows rows, tx.Claim(spec));
        METAMCP_ASSIGN_OR_RETURN(auto out, ReadAll<DeliveryRow>(rows, ReadDelivery));
        for (const DeliveryRow& row : out) {
          METAMCP_RETURN_IF_ERROR(
              tx.Execute("UPDATE workflow_deliveries SET next_us = :until WHERE id = :id",
                         {{"until", until_us}, {"id", row.id}})
                  .status());
        }
        return out;
      });
}

absl::Status HookStore::Put(const DeliveryRow& row) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) { return PutDelivery(tx, row); });
}

absl::StatusOr<std::vector<DeliveryRow>> HookStore::Deliveries(const std::string& webhook_id,
                                                               int64_t limit) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<DeliveryRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query("SELECT * FROM workflow_deliveries WHERE webhook_id = :id ORDER "
                                  "BY created_us DESC, id DESC LIMIT :limit",
                                  {{"id", webhook_id}, {"limit", limit}}));
    return ReadAll<DeliveryRow>(rows, ReadDelivery);
  });
}

absl::Status HookStore::Prune(int64_t before_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    return tx
        .Execute("DELETE FROM workflow_deliveries WHERE status <> 'pending' AND created_us < :us",
                 {{"us", before_us}})
        .status();
  });
}

absl::Status HookStore::PutHook(const HookRow& row) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    return tx.Upsert("workflow_hooks", {{"id", row.id}},
                     {{"tenant", row.tenant},
                      {"name", row.name},
                      {"workflow", row.workflow},
                      {"event_type", row.event_type},
                      {"owner", row.owner},
                      {"principal", row.principal},
                      {"secret", row.secret},
                      {"created_us", row.created_us},
                      {"received", row.received},
                      {"last_us", row.last_us}});
  });
}

absl::StatusOr<std::vector<HookRow>> HookStore::ListHooks(const std::string& tenant,
                                                          const std::string& owner) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<HookRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT * FROM workflow_hooks WHERE tenant = :tenant AND (owner = :owner OR "
                 ":owner = '') ORDER BY id",
                 {{"tenant", tenant}, {"owner", owner}}));
    return ReadAll<HookRow>(rows, ReadHook);
  });
}

absl::StatusOr<HookRow> HookStore::GetHook(const std::string& id) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<HookRow> {
    METAMCP_ASSIGN_OR_RETURN(const Rows rows,
                             tx.Query("SELECT * FROM workflow_hooks WHERE id = :id", {{"id", id}}));
    if (rows.empty()) return NoSuch("hook", id);
    return ReadHook(rows[0]);
  });
}

absl::Status HookStore::RemoveHook(const std::string& tenant, const std::string& id) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_ASSIGN_OR_RETURN(
        const int64_t changed,
        tx.Execute("DELETE FROM workflow_hooks WHERE tenant = :tenant AND id = :id",
                   {{"tenant", tenant}, {"id", id}}));
    return changed == 0 ? NoSuch("hook", id) : absl::OkStatus();
  });
}

absl::StatusOr<bool> HookStore::TakeMessage(const HookRow& hook, const std::string& message_id,
                                            const std::string& event, int64_t now_us,
                                            int64_t forget_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<bool> {
    METAMCP_RETURN_IF_ERROR(tx.Execute("DELETE FROM workflow_hook_messages WHERE time_us < :forget",
                                       {{"forget", forget_us}})
                                .status());
    METAMCP_ASSIGN_OR_RETURN(
        const int64_t added,
        tx.Execute("INSERT INTO workflow_hook_messages (hook_id, message_id, time_us) VALUES "
                   "(:hook, :message, :now) ON CONFLICT (hook_id, message_id) DO NOTHING",
                   {{"hook", hook.id}, {"message", message_id}, {"now", now_us}}));
    if (added == 0) return false;
    if (!event.empty()) METAMCP_RETURN_IF_ERROR(PutOnBus(tx, hook.tenant, {event}, now_us));
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE workflow_hooks SET received = received + 1, last_us = :now WHERE id = "
                   ":hook",
                   {{"now", now_us}, {"hook", hook.id}})
            .status());
    return true;
  });
}

}  // namespace metamcp::workflow
