-- queries of a large log
-- needs: 1
-- What is rare is found without reading what is not: see Query.
CREATE INDEX audit_records_failed ON audit_records (tenant, outcome, seq)
  WHERE outcome NOT IN ('ok', 'input_required');
CREATE INDEX audit_records_action ON audit_records (tenant, action, seq)
  WHERE action <> 'tools/call';
CREATE INDEX audit_records_upstream ON audit_records (tenant, upstream, seq);
CREATE INDEX audit_records_server ON audit_records (tenant, virtual_server, seq);
