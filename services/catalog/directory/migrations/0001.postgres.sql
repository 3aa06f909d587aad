-- Class: cache. Personal data: none. Processes belong to no tenant; handles and ids are unique
-- among all of them.
CREATE TABLE cluster_members (
  instance TEXT COLLATE "C" NOT NULL,
  address TEXT COLLATE "C" NOT NULL,
  roles TEXT COLLATE "C" NOT NULL,
  since_us BIGINT NOT NULL,
  expires_us BIGINT NOT NULL,
  PRIMARY KEY (instance)
);
-- Class: state. Personal data: none. An empty owner is nobody.
CREATE TABLE cluster_leases (
  upstream_id TEXT COLLATE "C" NOT NULL,
  owner TEXT COLLATE "C" NOT NULL,
  epoch BIGINT NOT NULL,
  PRIMARY KEY (upstream_id)
);
-- Class: state, until the session's id expires. Personal data: none.
CREATE TABLE session_marks (
  handle TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  ended BIGINT NOT NULL,
  log_level TEXT COLLATE "C" NOT NULL,
  expires_us BIGINT NOT NULL,
  PRIMARY KEY (handle)
);
CREATE INDEX session_marks_by_seq ON session_marks (seq);
CREATE INDEX session_marks_by_expiry ON session_marks (expires_us);
-- Class: state. One row: the number of the newest mark.
CREATE TABLE session_marks_head (
  id BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (id)
);
INSERT INTO session_marks_head (id, seq) VALUES (1, 0)
