-- scopes in which a server answered that is not trusted
-- Class: state, until until_us (microseconds since the epoch). Personal data: none, keys are digests.
-- sources: slugs of servers, one a line. seq: later changes have higher ones.
CREATE TABLE taints (
  key TEXT COLLATE "C" NOT NULL,
  sources TEXT NOT NULL,
  until_us BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (key)
);
CREATE INDEX taints_by_seq ON taints (seq)
