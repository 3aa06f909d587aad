-- Class: cache. Personal data: none, keys are digests. Tokens are shared by all gateways. A bucket
-- is full again at full_ns (nanoseconds since the epoch); then its row says nothing any more.
CREATE TABLE limit_buckets (
  key TEXT COLLATE "C" NOT NULL,
  full_ns BIGINT NOT NULL,
  PRIMARY KEY (key)
);
CREATE INDEX limit_buckets_by_time ON limit_buckets (full_ns);
-- Class: state, until the day is over. Personal data: none, keys are digests. Days since 1970-01-01.
CREATE TABLE limit_quotas (
  day BIGINT NOT NULL,
  key TEXT COLLATE "C" NOT NULL,
  used BIGINT NOT NULL,
  PRIMARY KEY (day, key)
);
-- Class: cache. Personal data: none, keys are digests. Calls at once, by gateway.
CREATE TABLE limit_slots (
  key TEXT COLLATE "C" NOT NULL,
  gateway TEXT COLLATE "C" NOT NULL,
  slots BIGINT NOT NULL,
  expires_us BIGINT NOT NULL,
  PRIMARY KEY (key, gateway)
);
CREATE INDEX limit_slots_by_gateway ON limit_slots (gateway)
