-- workflow_face
-- Class: state. Whose a workflow is, who may see it, and whether it is a tool.
CREATE TABLE workflow_objects (
  tenant TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  owner TEXT NOT NULL,
  team TEXT NOT NULL,
  visibility TEXT NOT NULL,
  published INTEGER NOT NULL,
  published_version TEXT NOT NULL,
  changed_us INTEGER NOT NULL,
  PRIMARY KEY (tenant, namespace, name)
) STRICT;

-- Class: state. When workflows start by themselves. `next_us` is the next time, 0 for none yet;
-- `bus_after` is the last event that was looked at.
CREATE TABLE workflow_schedules (
  tenant TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  kind TEXT NOT NULL,
  spec TEXT NOT NULL,
  missed TEXT NOT NULL,
  input TEXT NOT NULL,
  principal TEXT NOT NULL,
  paused INTEGER NOT NULL,
  next_us INTEGER NOT NULL,
  bus_after INTEGER NOT NULL,
  last_us INTEGER NOT NULL,
  last_run TEXT NOT NULL,
  fired INTEGER NOT NULL,
  note TEXT NOT NULL,
  PRIMARY KEY (tenant, namespace, name)
) STRICT;
