-- credentials of upstreams
-- Class: state. Personal data: owner names a user. Values are sealed by the key ring.
CREATE TABLE connector_secrets (
  tenant_id TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  owner TEXT COLLATE "C" NOT NULL,
  resource TEXT COLLATE "C" NOT NULL,
  issuer TEXT COLLATE "C" NOT NULL,
  sealed TEXT COLLATE "C" NOT NULL,
  updated_us BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, kind, owner, resource, issuer)
);
