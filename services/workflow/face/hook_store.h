#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/db/database.h"

namespace metamcp::workflow {

struct WebhookRow {
  std::string id, tenant, url;
  std::vector<std::string> states;  // empty: all
  std::string workflow;             // empty: all
  std::string owner, principal;
  std::string secret;  // sealed
  bool enabled = true;
  int64_t created_us = 0;
};

struct DeliveryRow {
  std::string id, webhook_id, run_id, state, payload;
  std::string status = "pending";  // pending, delivered or failed
  int64_t attempts = 0;
  int64_t http_status = 0;
  std::string error;
  int64_t next_us = 0;
  int64_t created_us = 0;
};

struct OutboxRow {
  int64_t seq = 0;
  std::string tenant, run_id, state;
};

struct HookRow {
  std::string id, tenant, name, workflow, event_type;
  std::string owner, principal;
  std::string secret;  // sealed
  int64_t created_us = 0;
  int64_t received = 0;
  int64_t last_us = 0;
};

// The store of webhooks, out and in. Blocking: on database threads only. Errors: those of
// common/db, beside those named.
class HookStore {
 public:
  explicit HookStore(db::Database& database) : database_(database) {}

  absl::Status PutWebhook(const WebhookRow& row);
  // All, or those of one owner.
  absl::StatusOr<std::vector<WebhookRow>> ListWebhooks(const std::string& tenant,
                                                       const std::string& owner);
  // Errors: NOT_FOUND.
  absl::StatusOr<WebhookRow> GetWebhook(const std::string& tenant, const std::string& id);
  // With its deliveries.
  absl::Status RemoveWebhook(const std::string& tenant, const std::string& id);

  // Takes rows out of the outbox, each in one transaction with the deliveries that `make` makes of
  // it, so that it becomes these once, whoever else does the same. How many rows it saw.
  using Make = std::function<absl::StatusOr<std::vector<DeliveryRow>>(const OutboxRow& row)>;
  absl::StatusOr<int64_t> Unpack(int64_t limit, const Make& make);

  // Takes deliveries that are due and puts off the next try until `until_us`, so that nobody else
  // takes them meanwhile.
  absl::StatusOr<std::vector<DeliveryRow>> TakeDue(int64_t now_us, int64_t until_us, int64_t limit);
  absl::Status Put(const DeliveryRow& row);
  // Newest first.
  absl::StatusOr<std::vector<DeliveryRow>> Deliveries(const std::string& webhook_id, int64_t limit);
  // Forgets what ended before then.
  absl::Status Prune(int64_t before_us);

  absl::Status PutHook(const HookRow& row);
  absl::StatusOr<std::vector<HookRow>> ListHooks(const std::string& tenant,
                                                 const std::string& owner);
  // By id alone: it is part of an address. Errors: NOT_FOUND.
  absl::StatusOr<HookRow> GetHook(const std::string& id);
  absl::Status RemoveHook(const std::string& tenant, const std::string& id);
  // Notes a message and, where it is not empty, puts `event` on the bus with it; false where it has
  // been taken before. Forgets messages from before `forget_us`.
  absl::StatusOr<bool> TakeMessage(const HookRow& hook, const std::string& message_id,
                                   const std::string& event, int64_t now_us, int64_t forget_us);

 private:
  absl::StatusOr<std::vector<OutboxRow>> ReadOutbox(int64_t limit);
  db::Database& database_;
};

}  // namespace metamcp::workflow
