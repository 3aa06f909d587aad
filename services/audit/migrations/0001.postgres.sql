-- audit
-- Class: state. One log per tenant; its row is what writers queue at. `base_*` stands for what
-- retention has removed; `lookup` is the sealed key of audit_subjects.lookup; `epoch` counts
-- erasures.
CREATE TABLE audit_heads (
  tenant TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  log_id TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  hash BYTEA NOT NULL,
  frontier BYTEA NOT NULL,
  base_seq BIGINT NOT NULL,
  base_hash BYTEA NOT NULL,
  base_frontier BYTEA NOT NULL,
  lookup TEXT COLLATE "C" NOT NULL,
  epoch BIGINT NOT NULL,
  checkpoint_seq BIGINT NOT NULL,
  locked_us BIGINT NOT NULL
);

-- Class: history, append only; personal data is encrypted in `record`. The columns beside it are
-- copies of what is in it, for queries.
CREATE TABLE audit_records (
  tenant TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  time_us BIGINT NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  action TEXT COLLATE "C" NOT NULL,
  item TEXT COLLATE "C" NOT NULL,
  upstream TEXT COLLATE "C" NOT NULL,
  virtual_server TEXT COLLATE "C" NOT NULL,
  outcome TEXT COLLATE "C" NOT NULL,
  trace TEXT COLLATE "C" NOT NULL,
  hash BYTEA NOT NULL,
  record TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant, seq)
);
CREATE UNIQUE INDEX audit_records_id ON audit_records (tenant, id);
CREATE INDEX audit_records_time ON audit_records (tenant, time_us);
CREATE INDEX audit_records_subject ON audit_records (tenant, subject, seq);
CREATE INDEX audit_records_item ON audit_records (tenant, item, seq);
CREATE INDEX audit_records_trace ON audit_records (tenant, trace) WHERE trace <> '';

-- Class: state; personal data, sealed. A row is the only way from a person to the pseudonym and to
-- the key of the personal fields: erasure deletes it.
CREATE TABLE audit_subjects (
  tenant TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  lookup BYTEA NOT NULL,
  sealed_name TEXT COLLATE "C" NOT NULL,
  sealed_key TEXT COLLATE "C" NOT NULL,
  ring TEXT COLLATE "C" NOT NULL,
  created_us BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX audit_subjects_lookup ON audit_subjects (tenant, lookup);

-- Class: history. `pushed` has a bit for each sink that has it.
CREATE TABLE audit_checkpoints (
  tenant TEXT COLLATE "C" NOT NULL,
  size BIGINT NOT NULL,
  time_us BIGINT NOT NULL,
  note TEXT COLLATE "C" NOT NULL,
  frontier BYTEA NOT NULL,
  hash BYTEA NOT NULL,
  pushed BIGINT NOT NULL,
  PRIMARY KEY (tenant, size)
);
CREATE INDEX audit_checkpoints_pushed ON audit_checkpoints (pushed, time_us);

-- Class: state. Legal holds; an empty subject stands for all.
CREATE TABLE audit_holds (
  tenant TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C" NOT NULL,
  created_by TEXT COLLATE "C" NOT NULL,
  created_us BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);

-- Class: history. Calls by hour.
CREATE TABLE audit_usage (
  tenant TEXT COLLATE "C" NOT NULL,
  hour_us BIGINT NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  upstream TEXT COLLATE "C" NOT NULL,
  item TEXT COLLATE "C" NOT NULL,
  virtual_server TEXT COLLATE "C" NOT NULL,
  calls BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  duration_us BIGINT NOT NULL,
  bytes_in BIGINT NOT NULL,
  bytes_out BIGINT NOT NULL,
  PRIMARY KEY (tenant, hour_us, subject, upstream, item, virtual_server)
);
