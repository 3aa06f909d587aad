-- workflow
-- Class: state. Immutable versions of workflows.
CREATE TABLE workflow_definitions (
  tenant TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  seq INTEGER NOT NULL,
  title TEXT NOT NULL,
  summary TEXT NOT NULL,
  source TEXT NOT NULL,
  document TEXT NOT NULL,
  digest TEXT NOT NULL,
  created_us INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  deleted INTEGER NOT NULL,
  PRIMARY KEY (tenant, namespace, name, version)
) STRICT;

-- Class: state; may hold personal data (input, output). `due_us` is set while the run wants a
-- process; `owner`, `epoch` and `lease_us` are the lease of the one that works on it; `wake` counts
-- what others have changed.
CREATE TABLE workflow_runs (
  id TEXT NOT NULL PRIMARY KEY,
  tenant TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  state TEXT NOT NULL,
  phase TEXT NOT NULL,
  input TEXT NOT NULL,
  output TEXT NOT NULL,
  error TEXT NOT NULL,
  principal TEXT NOT NULL,
  request_key TEXT NOT NULL,
  parent_run TEXT NOT NULL,
  parent_path TEXT NOT NULL,
  control INTEGER NOT NULL,
  owner TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  lease_us INTEGER NOT NULL,
  due_us INTEGER,
  event_seq INTEGER NOT NULL,
  wake INTEGER NOT NULL,
  created_us INTEGER NOT NULL,
  ended_us INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX workflow_runs_request ON workflow_runs (tenant, request_key);
CREATE INDEX workflow_runs_due ON workflow_runs (due_us) WHERE due_us IS NOT NULL;
CREATE INDEX workflow_runs_owner ON workflow_runs (owner) WHERE owner <> '';
CREATE INDEX workflow_runs_list ON workflow_runs (tenant, id);

-- Class: state; may hold personal data. Checkpoints of a run: a committed step never runs again.
CREATE TABLE workflow_steps (
  run_id TEXT NOT NULL,
  path TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  ord INTEGER NOT NULL,
  state TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  tool TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  repeatable INTEGER NOT NULL,
  compensable INTEGER NOT NULL,
  output TEXT NOT NULL,
  context TEXT NOT NULL,
  next TEXT NOT NULL,
  error TEXT NOT NULL,
  detail TEXT NOT NULL,
  due_us INTEGER NOT NULL,
  started_us INTEGER NOT NULL,
  ended_us INTEGER NOT NULL,
  PRIMARY KEY (run_id, path, attempt)
) STRICT;

-- Class: history. What happened to a run, in order; what watchers read.
CREATE TABLE workflow_events (
  run_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  time_us INTEGER NOT NULL,
  type TEXT NOT NULL,
  path TEXT NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (run_id, seq)
) STRICT;

-- Class: state. Answers to what a run waits for; each is given once.
CREATE TABLE workflow_decisions (
  run_id TEXT NOT NULL,
  path TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  decision TEXT NOT NULL,
  decided_us INTEGER NOT NULL,
  decided_by TEXT NOT NULL,
  PRIMARY KEY (run_id, path, attempt)
) STRICT;

-- Class: event. Events that runs emit and listen for.
CREATE TABLE workflow_bus (
  tenant TEXT NOT NULL,
  seq INTEGER NOT NULL,
  time_us INTEGER NOT NULL,
  event TEXT NOT NULL,
  PRIMARY KEY (tenant, seq)
) STRICT;

-- Class: state; may hold personal data. Large values, by the SHA-256 of their text.
CREATE TABLE workflow_payloads (
  digest TEXT NOT NULL PRIMARY KEY,
  body TEXT NOT NULL
) STRICT;
