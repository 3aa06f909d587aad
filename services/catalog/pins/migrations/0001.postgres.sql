-- Class: state. Personal data: who approved it. Stays when the tool vanishes, so that it cannot come
-- back as another; goes with its upstream.
CREATE TABLE catalog_pins (
  tenant_id TEXT COLLATE "C" NOT NULL,
  item_id TEXT COLLATE "C" NOT NULL,
  upstream_id TEXT COLLATE "C" NOT NULL,
  original_name TEXT COLLATE "C" NOT NULL,
  fingerprint TEXT COLLATE "C" NOT NULL,
  definition TEXT COLLATE "C" NOT NULL,
  approved_by TEXT COLLATE "C" NOT NULL,
  approved_us BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, item_id)
);
CREATE INDEX catalog_pins_by_upstream ON catalog_pins (tenant_id, upstream_id)
