-- what can be fetched again
-- Class: cache. Personal data: what servers answered, sealed.
CREATE TABLE cache_entries (
  area TEXT COLLATE "C" NOT NULL,
  item TEXT COLLATE "C" NOT NULL,
  value BYTEA NOT NULL,
  bytes BIGINT NOT NULL,
  expires_us BIGINT NOT NULL,
  PRIMARY KEY (area, item)
);
CREATE INDEX cache_entries_expiry ON cache_entries (expires_us);
