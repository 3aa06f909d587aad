-- What a run is of others, and what its time limit counts from.
ALTER TABLE workflow_runs ADD COLUMN subject TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE workflow_runs ADD COLUMN mode TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE workflow_runs ADD COLUMN origin TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE workflow_runs ADD COLUMN detached BIGINT NOT NULL DEFAULT 0;
ALTER TABLE workflow_runs ADD COLUMN began_us BIGINT NOT NULL DEFAULT 0;
CREATE INDEX workflow_runs_ended ON workflow_runs (ended_us) WHERE ended_us > 0;
CREATE INDEX workflow_runs_active ON workflow_runs (tenant, subject) WHERE ended_us = 0;
CREATE INDEX workflow_runs_children ON workflow_runs (parent_run) WHERE parent_run <> '';
CREATE INDEX workflow_runs_of ON workflow_runs (tenant, namespace, name, created_us);

-- Whether the outcome of an attempt is unknown; what the tool was given.
ALTER TABLE workflow_steps ADD COLUMN unsettled BIGINT NOT NULL DEFAULT 0;
ALTER TABLE workflow_steps ADD COLUMN arguments TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Class: state; may hold personal data. Large values of a run, by the SHA-256 of their text; they
-- go with the run.
CREATE TABLE workflow_values (
  run_id TEXT COLLATE "C" NOT NULL,
  digest TEXT COLLATE "C" NOT NULL,
  body TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (run_id, digest)
);
INSERT INTO workflow_values (run_id, digest, body)
SELECT refs.run_id, p.digest, p.body FROM (
  SELECT id AS run_id, input AS ref FROM workflow_runs
  UNION SELECT id, output FROM workflow_runs
  UNION SELECT id, error FROM workflow_runs
  UNION SELECT run_id, output FROM workflow_steps
  UNION SELECT run_id, context FROM workflow_steps
  UNION SELECT run_id, data FROM workflow_events
) AS refs JOIN workflow_payloads p ON refs.ref = '@' || p.digest;
DROP TABLE workflow_payloads;

-- Class: state. Processes that work on runs, and until when they count as alive; in the place of
-- workflow_runs.lease_us.
CREATE TABLE workflow_owners (
  owner TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  lease_us BIGINT NOT NULL
);

-- Class: state. Types of events for which runs wait; '*' is any.
CREATE TABLE workflow_listeners (
  run_id TEXT COLLATE "C" NOT NULL,
  type TEXT COLLATE "C" NOT NULL,
  tenant TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (run_id, type)
);
CREATE INDEX workflow_listeners_type ON workflow_listeners (tenant, type);
