-- workflow_webhooks
-- Class: state; holds sealed secrets. Addresses that are told of runs.
CREATE TABLE workflow_webhooks (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  url TEXT COLLATE "C" NOT NULL,
  states TEXT COLLATE "C" NOT NULL,
  workflow TEXT COLLATE "C" NOT NULL,
  owner TEXT COLLATE "C" NOT NULL,
  principal TEXT COLLATE "C" NOT NULL,
  secret TEXT COLLATE "C" NOT NULL,
  enabled BIGINT NOT NULL,
  created_us BIGINT NOT NULL
);

-- Class: event. What happened to runs, written with it; read and removed when it has become
-- deliveries.
CREATE TABLE workflow_outbox (
  seq BIGSERIAL PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  run_id TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL
);

CREATE FUNCTION workflow_outbox_note_run() RETURNS trigger AS $$
BEGIN
  INSERT INTO workflow_outbox (tenant, run_id, state)
  SELECT NEW.tenant, NEW.id, NEW.state
  WHERE EXISTS (SELECT 1 FROM workflow_webhooks w WHERE w.tenant = NEW.tenant);
  RETURN NULL;
END
$$ LANGUAGE plpgsql;
CREATE TRIGGER workflow_outbox_runs AFTER UPDATE OF state ON workflow_runs
FOR EACH ROW WHEN (NEW.state <> OLD.state
  AND NEW.state IN ('completed', 'failed', 'cancelled', 'rolled-back', 'needs-decision'))
EXECUTE FUNCTION workflow_outbox_note_run();

CREATE FUNCTION workflow_outbox_note_step() RETURNS trigger AS $$
BEGIN
  INSERT INTO workflow_outbox (tenant, run_id, state)
  SELECT r.tenant, r.id, 'waiting' FROM workflow_runs r
  WHERE r.id = NEW.run_id
    AND EXISTS (SELECT 1 FROM workflow_webhooks w WHERE w.tenant = r.tenant);
  RETURN NULL;
END
$$ LANGUAGE plpgsql;
CREATE TRIGGER workflow_outbox_steps AFTER INSERT ON workflow_steps
FOR EACH ROW WHEN (NEW.kind = 'approval' AND NEW.state = 'waiting')
EXECUTE FUNCTION workflow_outbox_note_step();

-- Class: history; may hold personal data. `status` is pending, delivered or failed.
CREATE TABLE workflow_deliveries (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  webhook_id TEXT COLLATE "C" NOT NULL,
  run_id TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  payload TEXT COLLATE "C" NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  attempts BIGINT NOT NULL,
  http_status BIGINT NOT NULL,
  error TEXT COLLATE "C" NOT NULL,
  next_us BIGINT NOT NULL,
  created_us BIGINT NOT NULL
);
CREATE INDEX workflow_deliveries_due ON workflow_deliveries (next_us) WHERE status = 'pending';
CREATE INDEX workflow_deliveries_of ON workflow_deliveries (webhook_id, created_us);

-- Class: state; holds sealed secrets. Addresses that take signed events.
CREATE TABLE workflow_hooks (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  workflow TEXT COLLATE "C" NOT NULL,
  event_type TEXT COLLATE "C" NOT NULL,
  owner TEXT COLLATE "C" NOT NULL,
  principal TEXT COLLATE "C" NOT NULL,
  secret TEXT COLLATE "C" NOT NULL,
  created_us BIGINT NOT NULL,
  received BIGINT NOT NULL,
  last_us BIGINT NOT NULL
);

-- Class: cache. Messages that have been taken, for as long as their time would still be accepted.
CREATE TABLE workflow_hook_messages (
  hook_id TEXT COLLATE "C" NOT NULL,
  message_id TEXT COLLATE "C" NOT NULL,
  time_us BIGINT NOT NULL,
  PRIMARY KEY (hook_id, message_id)
);
CREATE INDEX workflow_hook_messages_time ON workflow_hook_messages (time_us);
