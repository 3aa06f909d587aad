-- audit
-- Class: state. One log per tenant; its row is what writers queue at. `base_*` stands for what
-- retention has removed; `lookup` is the sealed key of audit_subjects.lookup; `epoch` counts
-- erasures.
CREATE TABLE audit_heads (
  tenant TEXT NOT NULL PRIMARY KEY,
  log_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL,
  frontier BLOB NOT NULL,
  base_seq INTEGER NOT NULL,
  base_hash BLOB NOT NULL,
  base_frontier BLOB NOT NULL,
  lookup TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  checkpoint_seq INTEGER NOT NULL,
  locked_us INTEGER NOT NULL
) STRICT;

-- Class: history, append only; personal data is encrypted in `record`. The columns beside it are
-- copies of what is in it, for queries.
CREATE TABLE audit_records (
  tenant TEXT NOT NULL,
  seq INTEGER NOT NULL,
  id TEXT NOT NULL,
  time_us INTEGER NOT NULL,
  subject TEXT NOT NULL,
  action TEXT NOT NULL,
  item TEXT NOT NULL,
  upstream TEXT NOT NULL,
  virtual_server TEXT NOT NULL,
  outcome TEXT NOT NULL,
  trace TEXT NOT NULL,
  hash BLOB NOT NULL,
  record TEXT NOT NULL,
  PRIMARY KEY (tenant, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX audit_records_id ON audit_records (tenant, id);
CREATE INDEX audit_records_time ON audit_records (tenant, time_us);
CREATE INDEX audit_records_subject ON audit_records (tenant, subject, seq);
CREATE INDEX audit_records_item ON audit_records (tenant, item, seq);
CREATE INDEX audit_records_trace ON audit_records (tenant, trace) WHERE trace <> '';

-- Class: state; personal data, sealed. A row is the only way from a person to the pseudonym and to
-- the key of the personal fields: erasure deletes it.
CREATE TABLE audit_subjects (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  lookup BLOB NOT NULL,
  sealed_name TEXT NOT NULL,
  sealed_key TEXT NOT NULL,
  ring TEXT NOT NULL,
  created_us INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX audit_subjects_lookup ON audit_subjects (tenant, lookup);

-- Class: history. `pushed` has a bit for each sink that has it.
CREATE TABLE audit_checkpoints (
  tenant TEXT NOT NULL,
  size INTEGER NOT NULL,
  time_us INTEGER NOT NULL,
  note TEXT NOT NULL,
  frontier BLOB NOT NULL,
  hash BLOB NOT NULL,
  pushed INTEGER NOT NULL,
  PRIMARY KEY (tenant, size)
) STRICT;
CREATE INDEX audit_checkpoints_pushed ON audit_checkpoints (pushed, time_us);

-- Class: state. Legal holds; an empty subject stands for all.
CREATE TABLE audit_holds (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  subject TEXT NOT NULL,
  reason TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_us INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT;

-- Class: history. Calls by hour.
CREATE TABLE audit_usage (
  tenant TEXT NOT NULL,
  hour_us INTEGER NOT NULL,
  subject TEXT NOT NULL,
  upstream TEXT NOT NULL,
  item TEXT NOT NULL,
  virtual_server TEXT NOT NULL,
  calls INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  duration_us INTEGER NOT NULL,
  bytes_in INTEGER NOT NULL,
  bytes_out INTEGER NOT NULL,
  PRIMARY KEY (tenant, hour_us, subject, upstream, item, virtual_server)
) STRICT, WITHOUT ROWID;
