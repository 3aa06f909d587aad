-- Calls that wait for a person, and what persons allowed. State; holds personal data (subject,
-- arguments as shown), removed some time after it has no more meaning.
CREATE TABLE approvals (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  state TEXT NOT NULL,
  scope BIGINT NOT NULL,
  subject TEXT NOT NULL,
  client TEXT NOT NULL,
  virtual_server TEXT NOT NULL,
  item TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  digest TEXT NOT NULL,
  shown TEXT NOT NULL,
  rule TEXT NOT NULL,
  reason TEXT NOT NULL,
  decided_by TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  decided_us BIGINT NOT NULL,
  expires_us BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX approvals_by_item ON approvals (tenant, subject, item, state);
CREATE INDEX approvals_by_time ON approvals (tenant, created_us);
