-- Who may come in (metamcp.access.v1). Class: state; users hold personal data.
CREATE TABLE access_head (
  tenant_id TEXT NOT NULL PRIMARY KEY,
  revision BIGINT NOT NULL
);
CREATE TABLE access_keys (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  prefix TEXT NOT NULL,
  owner TEXT NOT NULL,
  roles TEXT NOT NULL,
  scopes TEXT NOT NULL,
  teams TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  expires_us BIGINT NOT NULL,
  revoked_us BIGINT NOT NULL,
  rotated_us BIGINT NOT NULL,
  last_used_us BIGINT NOT NULL,
  -- Hexadecimal; the key of the ring that made it, and of the secret before.
  mac_kid TEXT NOT NULL,
  mac TEXT NOT NULL,
  old_kid TEXT NOT NULL,
  old_mac TEXT NOT NULL,
  old_until_us BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE TABLE access_users (
  tenant_id TEXT NOT NULL,
  subject TEXT NOT NULL,
  display_name TEXT NOT NULL,
  issuer TEXT NOT NULL,
  roles TEXT NOT NULL,
  disabled BIGINT NOT NULL,
  first_seen_us BIGINT NOT NULL,
  last_seen_us BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, subject)
);
CREATE TABLE access_teams (
  tenant_id TEXT NOT NULL,
  name TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, name)
);
CREATE TABLE access_members (
  tenant_id TEXT NOT NULL,
  team TEXT NOT NULL,
  subject TEXT NOT NULL,
  PRIMARY KEY (tenant_id, team, subject)
);
