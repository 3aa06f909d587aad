-- queries of a large log
-- needs: 1
-- The tables of weeks have the indexes of this step (partitions.cc). The table from before gets none:
-- it may be large, and a starter would hold it while they are made.
COMMENT ON TABLE audit_records IS 'Partitioned by time; see docs/adr/0016-audit-partitions.md.';
