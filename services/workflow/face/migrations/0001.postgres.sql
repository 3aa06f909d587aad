-- workflow_face
-- Class: state. Whose a workflow is, who may see it, and whether it is a tool.
CREATE TABLE workflow_objects (
  tenant TEXT COLLATE "C" NOT NULL,
  namespace TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  owner TEXT COLLATE "C" NOT NULL,
  team TEXT COLLATE "C" NOT NULL,
  visibility TEXT COLLATE "C" NOT NULL,
  published BIGINT NOT NULL,
  published_version TEXT COLLATE "C" NOT NULL,
  changed_us BIGINT NOT NULL,
  PRIMARY KEY (tenant, namespace, name)
);

-- Class: state. When workflows start by themselves. `next_us` is the next time, 0 for none yet;
-- `bus_after` is the last event that was looked at.
CREATE TABLE workflow_schedules (
  tenant TEXT COLLATE "C" NOT NULL,
  namespace TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  version TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  spec TEXT COLLATE "C" NOT NULL,
  missed TEXT COLLATE "C" NOT NULL,
  input TEXT COLLATE "C" NOT NULL,
  principal TEXT COLLATE "C" NOT NULL,
  paused BIGINT NOT NULL,
  next_us BIGINT NOT NULL,
  bus_after BIGINT NOT NULL,
  last_us BIGINT NOT NULL,
  last_run TEXT COLLATE "C" NOT NULL,
  fired BIGINT NOT NULL,
  note TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant, namespace, name)
);
