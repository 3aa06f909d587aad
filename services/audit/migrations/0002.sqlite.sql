-- queries of a large log
-- needs: 1
-- What is rare is found without reading what is not: see Query.
CREATE INDEX audit_records_failed ON audit_records (tenant, outcome, seq)
  WHERE outcome NOT IN ('ok', 'input_required');
CREATE INDEX audit_records_action ON audit_records (tenant, action, seq)
  WHERE action <> 'tools/call';
CREATE INDEX audit_records_upstream ON audit_records (tenant, upstream, seq);
CREATE INDEX audit_records_server ON audit_records (tenant, virtual_server, seq);
-- Without figures SQLite reads the primary key; these are of a log of a million records, and hold for
-- smaller ones as well.
ANALYZE audit_records;
DELETE FROM sqlite_stat1 WHERE tbl = 'audit_records';
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('audit_records', 'audit_records', '1000000 1000000 1'),
  ('audit_records', 'audit_records_id', '1000000 1000000 1'),
  ('audit_records', 'audit_records_time', '1000000 1000000 2'),
  ('audit_records', 'audit_records_subject', '1000000 1000000 10000 1'),
  ('audit_records', 'audit_records_item', '1000000 1000000 5000 1'),
  ('audit_records', 'audit_records_trace', '1000000 1000000 2'),
  ('audit_records', 'audit_records_failed', '20000 20000 5000 1'),
  ('audit_records', 'audit_records_action', '20000 20000 5000 1'),
  ('audit_records', 'audit_records_upstream', '1000000 1000000 50000 1'),
  ('audit_records', 'audit_records_server', '1000000 1000000 100000 1');
ANALYZE sqlite_schema;
