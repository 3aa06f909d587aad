-- catalog tables
-- Class: state. Personal data: creator and changer names in meta.
CREATE TABLE catalog_head (
  tenant_id TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  floor_revision BIGINT NOT NULL,
  name_separator TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id)
);
CREATE TABLE catalog_upstreams (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  enabled BIGINT NOT NULL,
  config_enabled BIGINT NOT NULL,
  meta TEXT COLLATE "C" NOT NULL,
  spec TEXT COLLATE "C" NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  lists TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, name)
);
CREATE TABLE catalog_items (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  upstream_id TEXT COLLATE "C" NOT NULL,
  kind BIGINT NOT NULL,
  original_name TEXT COLLATE "C" NOT NULL,
  definition TEXT COLLATE "C" NOT NULL,
  fingerprint TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  first_seen_us BIGINT NOT NULL,
  breaking_change BIGINT NOT NULL,
  invalid TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX catalog_items_by_upstream ON catalog_items (tenant_id, upstream_id);
CREATE TABLE catalog_virtual_servers (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  enabled BIGINT NOT NULL,
  config_enabled BIGINT NOT NULL,
  meta TEXT COLLATE "C" NOT NULL,
  spec TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, name)
);
-- Class: history, bounded. What was removed, for watchers that resume.
CREATE TABLE catalog_removed (
  tenant_id TEXT COLLATE "C" NOT NULL,
  object_type BIGINT NOT NULL,
  object_key TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, object_type, object_key)
);
CREATE INDEX catalog_removed_by_revision ON catalog_removed (tenant_id, revision);
-- Class: history, bounded. Creates that were done, by the caller's request id.
CREATE TABLE catalog_requests (
  tenant_id TEXT COLLATE "C" NOT NULL,
  request_id TEXT COLLATE "C" NOT NULL,
  object_id TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, request_id)
);
