-- who renews a credential just now
-- Class: cache. Personal data: owner names a user.
CREATE TABLE connector_claims (
  tenant_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  owner TEXT NOT NULL,
  resource TEXT NOT NULL,
  claimant TEXT NOT NULL,
  until_us BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, kind, owner, resource)
);
