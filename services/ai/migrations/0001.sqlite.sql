-- suggestions, feedback and usage of models
-- Class: history. Personal data: subject, task.
CREATE TABLE ai_suggestions (
  id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  subject TEXT NOT NULL,
  task TEXT NOT NULL,
  made_by TEXT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  prompt_version TEXT NOT NULL,
  workflow TEXT NOT NULL,
  valid INTEGER NOT NULL,
  created_us INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX ai_suggestions_by_time ON ai_suggestions (created_us);
-- Class: history. Personal data: subject, comment.
CREATE TABLE ai_feedback (
  id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  suggestion_id TEXT NOT NULL,
  subject TEXT NOT NULL,
  kind TEXT NOT NULL,
  rating INTEGER NOT NULL,
  comment TEXT NOT NULL,
  created_us INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX ai_feedback_by_time ON ai_feedback (created_us);
CREATE INDEX ai_feedback_by_suggestion ON ai_feedback (tenant, suggestion_id);
-- Class: history. Personal data: subject. One row for each principal, provider and day (since the
-- epoch, UTC).
CREATE TABLE ai_usage (
  tenant TEXT NOT NULL,
  subject TEXT NOT NULL,
  provider TEXT NOT NULL,
  day INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cost_micros INTEGER NOT NULL,
  PRIMARY KEY (tenant, day, subject, provider)
) STRICT;
