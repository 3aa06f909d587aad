-- workflow_webhooks
-- Class: state; holds sealed secrets. Addresses that are told of runs.
CREATE TABLE workflow_webhooks (
  id TEXT NOT NULL PRIMARY KEY,
  tenant TEXT NOT NULL,
  url TEXT NOT NULL,
  states TEXT NOT NULL,
  workflow TEXT NOT NULL,
  owner TEXT NOT NULL,
  principal TEXT NOT NULL,
  secret TEXT NOT NULL,
  enabled INTEGER NOT NULL,
  created_us INTEGER NOT NULL
) STRICT;

-- Class: event. What happened to runs, written with it; read and removed when it has become
-- deliveries.
CREATE TABLE workflow_outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant TEXT NOT NULL,
  run_id TEXT NOT NULL,
  state TEXT NOT NULL
) STRICT;

CREATE TRIGGER workflow_outbox_runs AFTER UPDATE OF state ON workflow_runs
WHEN NEW.state <> OLD.state
  AND NEW.state IN ('completed', 'failed', 'cancelled', 'rolled-back', 'needs-decision')
  AND EXISTS (SELECT 1 FROM workflow_webhooks w WHERE w.tenant = NEW.tenant)
BEGIN
  INSERT INTO workflow_outbox (tenant, run_id, state) VALUES (NEW.tenant, NEW.id, NEW.state);
END;

CREATE TRIGGER workflow_outbox_steps AFTER INSERT ON workflow_steps
WHEN NEW.kind = 'approval' AND NEW.state = 'waiting'
BEGIN
  INSERT INTO workflow_outbox (tenant, run_id, state)
  SELECT r.tenant, r.id, 'waiting' FROM workflow_runs r
  WHERE r.id = NEW.run_id
    AND EXISTS (SELECT 1 FROM workflow_webhooks w WHERE w.tenant = r.tenant);
END;

-- Class: history; may hold personal data. `status` is pending, delivered or failed.
CREATE TABLE workflow_deliveries (
  id TEXT NOT NULL PRIMARY KEY,
  webhook_id TEXT NOT NULL,
  run_id TEXT NOT NULL,
  state TEXT NOT NULL,
  payload TEXT NOT NULL,
  status TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  http_status INTEGER NOT NULL,
  error TEXT NOT NULL,
  next_us INTEGER NOT NULL,
  created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX workflow_deliveries_due ON workflow_deliveries (next_us) WHERE status = 'pending';
CREATE INDEX workflow_deliveries_of ON workflow_deliveries (webhook_id, created_us);

-- Class: state; holds sealed secrets. Addresses that take signed events.
CREATE TABLE workflow_hooks (
  id TEXT NOT NULL PRIMARY KEY,
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  workflow TEXT NOT NULL,
  event_type TEXT NOT NULL,
  owner TEXT NOT NULL,
  principal TEXT NOT NULL,
  secret TEXT NOT NULL,
  created_us INTEGER NOT NULL,
  received INTEGER NOT NULL,
  last_us INTEGER NOT NULL
) STRICT;

-- Class: cache. Messages that have been taken, for as long as their time would still be accepted.
CREATE TABLE workflow_hook_messages (
  hook_id TEXT NOT NULL,
  message_id TEXT NOT NULL,
  time_us INTEGER NOT NULL,
  PRIMARY KEY (hook_id, message_id)
) STRICT;
CREATE INDEX workflow_hook_messages_time ON workflow_hook_messages (time_us);
