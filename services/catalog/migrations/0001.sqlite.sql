-- catalog tables
-- Class: state. Personal data: creator and changer names in meta.
CREATE TABLE catalog_head (
  tenant_id TEXT NOT NULL,
  revision BIGINT NOT NULL,
  floor_revision BIGINT NOT NULL,
  name_separator TEXT NOT NULL,
  PRIMARY KEY (tenant_id)
);
CREATE TABLE catalog_upstreams (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  enabled BIGINT NOT NULL,
  config_enabled BIGINT NOT NULL,
  meta TEXT NOT NULL,
  spec TEXT NOT NULL,
  status TEXT NOT NULL,
  lists TEXT NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, name)
);
CREATE TABLE catalog_items (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  upstream_id TEXT NOT NULL,
  kind BIGINT NOT NULL,
  original_name TEXT NOT NULL,
  definition TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  version BIGINT NOT NULL,
  first_seen_us BIGINT NOT NULL,
  breaking_change BIGINT NOT NULL,
  invalid TEXT NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX catalog_items_by_upstream ON catalog_items (tenant_id, upstream_id);
CREATE TABLE catalog_virtual_servers (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  enabled BIGINT NOT NULL,
  config_enabled BIGINT NOT NULL,
  meta TEXT NOT NULL,
  spec TEXT NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, name)
);
-- Class: history, bounded. What was removed, for watchers that resume.
CREATE TABLE catalog_removed (
  tenant_id TEXT NOT NULL,
  object_type BIGINT NOT NULL,
  object_key TEXT NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, object_type, object_key)
);
CREATE INDEX catalog_removed_by_revision ON catalog_removed (tenant_id, revision);
-- Class: history, bounded. Creates that were done, by the caller's request id.
CREATE TABLE catalog_requests (
  tenant_id TEXT NOT NULL,
  request_id TEXT NOT NULL,
  object_id TEXT NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, request_id)
);
