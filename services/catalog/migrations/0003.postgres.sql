-- Who may come in (metamcp.access.v1). Class: state; users hold personal data.
CREATE TABLE access_head (
  tenant_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  revision BIGINT NOT NULL
);
CREATE TABLE access_keys (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  prefix TEXT COLLATE "C" NOT NULL,
  owner TEXT COLLATE "C" NOT NULL,
  roles TEXT COLLATE "C" NOT NULL,
  scopes TEXT COLLATE "C" NOT NULL,
  teams TEXT COLLATE "C" NOT NULL,
  created_us BIGINT NOT NULL,
  created_by TEXT COLLATE "C" NOT NULL,
  expires_us BIGINT NOT NULL,
  revoked_us BIGINT NOT NULL,
  rotated_us BIGINT NOT NULL,
  last_used_us BIGINT NOT NULL,
  -- Hexadecimal; the key of the ring that made it, and of the secret before.
  mac_kid TEXT COLLATE "C" NOT NULL,
  mac TEXT COLLATE "C" NOT NULL,
  old_kid TEXT COLLATE "C" NOT NULL,
  old_mac TEXT COLLATE "C" NOT NULL,
  old_until_us BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE TABLE access_users (
  tenant_id TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  display_name TEXT COLLATE "C" NOT NULL,
  issuer TEXT COLLATE "C" NOT NULL,
  roles TEXT COLLATE "C" NOT NULL,
  disabled BIGINT NOT NULL,
  first_seen_us BIGINT NOT NULL,
  last_seen_us BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, subject)
);
CREATE TABLE access_teams (
  tenant_id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  created_us BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, name)
);
CREATE TABLE access_members (
  tenant_id TEXT COLLATE "C" NOT NULL,
  team TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, team, subject)
);
