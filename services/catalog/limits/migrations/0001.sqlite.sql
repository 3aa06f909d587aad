-- shared limits
-- Class: cache. Personal data: none, keys are digests. Tokens are shared by all gateways. A bucket
-- is full again at full_ns (nanoseconds since the epoch); then its row says nothing any more.
CREATE TABLE limit_buckets (
  key TEXT NOT NULL,
  full_ns INTEGER NOT NULL,
  PRIMARY KEY (key)
) STRICT;
CREATE INDEX limit_buckets_by_time ON limit_buckets (full_ns);
-- Class: state, until the day is over. Personal data: none, keys are digests. Days since 1970-01-01.
CREATE TABLE limit_quotas (
  day INTEGER NOT NULL,
  key TEXT NOT NULL,
  used INTEGER NOT NULL,
  PRIMARY KEY (day, key)
) STRICT;
-- Class: cache. Personal data: none, keys are digests. Calls at once, by gateway.
CREATE TABLE limit_slots (
  key TEXT NOT NULL,
  gateway TEXT NOT NULL,
  slots INTEGER NOT NULL,
  expires_us INTEGER NOT NULL,
  PRIMARY KEY (key, gateway)
) STRICT;
CREATE INDEX limit_slots_by_gateway ON limit_slots (gateway)
