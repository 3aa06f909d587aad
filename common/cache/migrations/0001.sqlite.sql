-- what can be fetched again
-- Class: cache. Personal data: what servers answered, sealed.
CREATE TABLE cache_entries (
  area TEXT NOT NULL,
  item TEXT NOT NULL,
  value BLOB NOT NULL,
  bytes INTEGER NOT NULL,
  expires_us INTEGER NOT NULL,
  PRIMARY KEY (area, item)
);
CREATE INDEX cache_entries_expiry ON cache_entries (expires_us);
