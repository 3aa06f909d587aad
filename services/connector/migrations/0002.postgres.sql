-- who renews a credential just now
-- Class: cache. Personal data: owner names a user.
CREATE TABLE connector_claims (
  tenant_id TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  owner TEXT COLLATE "C" NOT NULL,
  resource TEXT COLLATE "C" NOT NULL,
  claimant TEXT COLLATE "C" NOT NULL,
  until_us BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, kind, owner, resource)
);
