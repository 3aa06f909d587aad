-- credentials of upstreams
-- Class: state. Personal data: owner names a user. Values are sealed by the key ring.
CREATE TABLE connector_secrets (
  tenant_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  owner TEXT NOT NULL,
  resource TEXT NOT NULL,
  issuer TEXT NOT NULL,
  sealed TEXT NOT NULL,
  updated_us BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, kind, owner, resource, issuer)
);
