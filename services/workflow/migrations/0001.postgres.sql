-- workflow
-- Class: state. Immutable versions of workflows.
CREATE TABLE workflow_definitions (
  tenant TEXT COLLATE "C" NOT NULL,
  namespace TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  version TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  title TEXT COLLATE "C" NOT NULL,
  summary TEXT COLLATE "C" NOT NULL,
  source TEXT COLLATE "C" NOT NULL,
  document TEXT COLLATE "C" NOT NULL,
  digest TEXT COLLATE "C" NOT NULL,
  created_us BIGINT NOT NULL,
  created_by TEXT COLLATE "C" NOT NULL,
  deleted BIGINT NOT NULL,
  PRIMARY KEY (tenant, namespace, name, version)
);

-- Class: state; may hold personal data (input, output). `due_us` is set while the run wants a
-- process; `owner`, `epoch` and `lease_us` are the lease of the one that works on it; `wake` counts
-- what others have changed.
CREATE TABLE workflow_runs (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  namespace TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  version TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  phase TEXT COLLATE "C" NOT NULL,
  input TEXT COLLATE "C" NOT NULL,
  output TEXT COLLATE "C" NOT NULL,
  error TEXT COLLATE "C" NOT NULL,
  principal TEXT COLLATE "C" NOT NULL,
  request_key TEXT COLLATE "C" NOT NULL,
  parent_run TEXT COLLATE "C" NOT NULL,
  parent_path TEXT COLLATE "C" NOT NULL,
  control BIGINT NOT NULL,
  owner TEXT COLLATE "C" NOT NULL,
  epoch BIGINT NOT NULL,
  lease_us BIGINT NOT NULL,
  due_us BIGINT,
  event_seq BIGINT NOT NULL,
  wake BIGINT NOT NULL,
  created_us BIGINT NOT NULL,
  ended_us BIGINT NOT NULL
);
CREATE UNIQUE INDEX workflow_runs_request ON workflow_runs (tenant, request_key);
CREATE INDEX workflow_runs_due ON workflow_runs (due_us) WHERE due_us IS NOT NULL;
CREATE INDEX workflow_runs_owner ON workflow_runs (owner) WHERE owner <> '';
CREATE INDEX workflow_runs_list ON workflow_runs (tenant, id);

-- Class: state; may hold personal data. Checkpoints of a run: a committed step never runs again.
CREATE TABLE workflow_steps (
  run_id TEXT COLLATE "C" NOT NULL,
  path TEXT COLLATE "C" NOT NULL,
  attempt BIGINT NOT NULL,
  ord BIGINT NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  tool TEXT COLLATE "C" NOT NULL,
  idempotency_key TEXT COLLATE "C" NOT NULL,
  repeatable BIGINT NOT NULL,
  compensable BIGINT NOT NULL,
  output TEXT COLLATE "C" NOT NULL,
  context TEXT COLLATE "C" NOT NULL,
  next TEXT COLLATE "C" NOT NULL,
  error TEXT COLLATE "C" NOT NULL,
  detail TEXT COLLATE "C" NOT NULL,
  due_us BIGINT NOT NULL,
  started_us BIGINT NOT NULL,
  ended_us BIGINT NOT NULL,
  PRIMARY KEY (run_id, path, attempt)
);

-- Class: history. What happened to a run, in order; what watchers read.
CREATE TABLE workflow_events (
  run_id TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  time_us BIGINT NOT NULL,
  type TEXT COLLATE "C" NOT NULL,
  path TEXT COLLATE "C" NOT NULL,
  data TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (run_id, seq)
);

-- Class: state. Answers to what a run waits for; each is given once.
CREATE TABLE workflow_decisions (
  run_id TEXT COLLATE "C" NOT NULL,
  path TEXT COLLATE "C" NOT NULL,
  attempt BIGINT NOT NULL,
  decision TEXT COLLATE "C" NOT NULL,
  decided_us BIGINT NOT NULL,
  decided_by TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (run_id, path, attempt)
);

-- Class: event. Events that runs emit and listen for.
CREATE TABLE workflow_bus (
  tenant TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  time_us BIGINT NOT NULL,
  event TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant, seq)
);

-- Class: state; may hold personal data. Large values, by the SHA-256 of their text.
CREATE TABLE workflow_payloads (
  digest TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  body TEXT COLLATE "C" NOT NULL
);
