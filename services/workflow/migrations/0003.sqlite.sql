-- Steps that wait for an approval of the policy are looked for every second.
CREATE INDEX workflow_steps_consents ON workflow_steps (run_id)
  WHERE kind = 'consent' AND state = 'waiting';
