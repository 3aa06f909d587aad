-- members, upstream leases and session marks
-- Class: cache. Personal data: none. Processes belong to no tenant; handles and ids are unique
-- among all of them.
CREATE TABLE cluster_members (
  instance TEXT NOT NULL,
  address TEXT NOT NULL,
  roles TEXT NOT NULL,
  since_us INTEGER NOT NULL,
  expires_us INTEGER NOT NULL,
  PRIMARY KEY (instance)
) STRICT;
-- Class: state. Personal data: none. An empty owner is nobody.
CREATE TABLE cluster_leases (
  upstream_id TEXT NOT NULL,
  owner TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  PRIMARY KEY (upstream_id)
) STRICT;
-- Class: state, until the session's id expires. Personal data: none.
CREATE TABLE session_marks (
  handle TEXT NOT NULL,
  seq INTEGER NOT NULL,
  ended INTEGER NOT NULL,
  log_level TEXT NOT NULL,
  expires_us INTEGER NOT NULL,
  PRIMARY KEY (handle)
) STRICT;
CREATE INDEX session_marks_by_seq ON session_marks (seq);
CREATE INDEX session_marks_by_expiry ON session_marks (expires_us);
-- Class: state. One row: the number of the newest mark.
CREATE TABLE session_marks_head (
  id INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT;
INSERT INTO session_marks_head (id, seq) VALUES (1, 0)
