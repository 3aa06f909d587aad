-- suggestions, feedback and usage of models
-- Class: history. Personal data: subject, task.
CREATE TABLE ai_suggestions (
  id TEXT COLLATE "C" NOT NULL,
  tenant TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  task TEXT COLLATE "C" NOT NULL,
  made_by TEXT COLLATE "C" NOT NULL,
  provider TEXT COLLATE "C" NOT NULL,
  model TEXT COLLATE "C" NOT NULL,
  prompt_version TEXT COLLATE "C" NOT NULL,
  workflow TEXT COLLATE "C" NOT NULL,
  valid BIGINT NOT NULL,
  created_us BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX ai_suggestions_by_time ON ai_suggestions (created_us);
-- Class: history. Personal data: subject, comment.
CREATE TABLE ai_feedback (
  id TEXT COLLATE "C" NOT NULL,
  tenant TEXT COLLATE "C" NOT NULL,
  suggestion_id TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  rating BIGINT NOT NULL,
  comment TEXT COLLATE "C" NOT NULL,
  created_us BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX ai_feedback_by_time ON ai_feedback (created_us);
CREATE INDEX ai_feedback_by_suggestion ON ai_feedback (tenant, suggestion_id);
-- Class: history. Personal data: subject. One row for each principal, provider and day (since the
-- epoch, UTC).
CREATE TABLE ai_usage (
  tenant TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  provider TEXT COLLATE "C" NOT NULL,
  day BIGINT NOT NULL,
  requests BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  input_tokens BIGINT NOT NULL,
  output_tokens BIGINT NOT NULL,
  cost_micros BIGINT NOT NULL,
  PRIMARY KEY (tenant, day, subject, provider)
);
