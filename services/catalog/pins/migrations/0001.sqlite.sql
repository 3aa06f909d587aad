-- approved definitions of tools
-- Class: state. Personal data: who approved it. Stays when the tool vanishes, so that it cannot come
-- back as another; goes with its upstream.
CREATE TABLE catalog_pins (
  tenant_id TEXT NOT NULL,
  item_id TEXT NOT NULL,
  upstream_id TEXT NOT NULL,
  original_name TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  definition TEXT NOT NULL,
  approved_by TEXT NOT NULL,
  approved_us INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, item_id)
) STRICT;
CREATE INDEX catalog_pins_by_upstream ON catalog_pins (tenant_id, upstream_id)
