// What chaos does to a fleet. A fault says what it may cost: `excuses(failure)` tells whether a
// failed call is its doing.
import { setTimeout as sleep } from 'node:timers/promises';

const pick = (list) => list[Math.floor(Math.random() * list.length)];
const between = (least, most) => least + Math.random() * (most - least);

// A kill is sent by one process and noticed by others: calls that began just after it count as in
// flight, too.
const SLACK_MS = 150;
// A lease, a heartbeat, a scan and the start of the servers: how long calls may still go to a
// connector that is frozen or cut off.
const LEASE_MS = 8000;
const LOST_AT_CONNECTOR = [
  'UPSTREAM_LOST',
  'UPSTREAM_UNAVAILABLE',
  'UPSTREAM_TIMEOUT',
  'CALL_OWNER_LOST',
  'SERVICE_UNREACHABLE',
  'PEER_UNAVAILABLE',
];
// A session's question is at one gateway and its call at one connector.
const LOST_WITH_SESSION = [...LOST_AT_CONNECTOR, 'SESSION_NOT_FOUND', 'SHUTTING_DOWN', 'CANCELLED'];
const LOST_AT_CATALOG = [
  'DATABASE_UNAVAILABLE',
  'DATABASE_CONFLICT',
  'COMMIT_IN_DOUBT',
  'SERVICE_LOST',
  'SERVICE_UNREACHABLE',
  'DEADLINE_EXCEEDED',
  'SHUTTING_DOWN',
  'NOT_FOUND',
];

class Fault {
  constructor(kind, target, servers = []) {
    Object.assign(this, { kind, target, servers, began: Date.now(), latest: 0 });
  }

  // Calls that began until `ms` after the fault may fail by it.
  within(ms) {
    this.latest = this.began + ms;
    return this;
  }

  overlaps(failure) {
    return failure.started <= this.latest && failure.ended >= this.began;
  }

  excuses(failure) {
    if (!this.overlaps(failure)) return false;
    // Attributed, or a connection that ended with its gateway.
    if (failure.lost) {
      return this.target?.role === 'gateway' && failure.gateway === this.target.name;
    }
    if (!failure.reason) return false;
    switch (this.target?.role) {
      case 'gateway':
        return failure.worker === 'session' && LOST_WITH_SESSION.includes(failure.reason);
      case 'connector':
        return (
          this.servers.includes(failure.server) &&
          (failure.worker === 'session' ? LOST_WITH_SESSION : LOST_AT_CONNECTOR).includes(failure.reason)
        );
      default:
        return failure.worker === 'operator' && LOST_AT_CATALOG.includes(failure.reason);
    }
  }

  toString() {
    return `${this.kind}${this.target ? ` ${this.target.name}` : ''}`;
  }
}

const serversOf = (fleet, member, words) =>
  Object.keys(words).filter((server) =>
    member.children().some((command) => command.includes(words[server])),
  );

// Each takes (fleet, words) and resolves with a Fault when it is over. `words`: by server, what is
// in the command line of its process.
const killed = (role, patience) => async (fleet, words) => {
  const member = pick(fleet.of(role));
  const fault = new Fault('kill', member, role === 'connector' ? serversOf(fleet, member, words) : []);
  fault.within(patience);
  await member.kill();
  await sleep(between(50, 600));
  await member.start();
  return fault;
};

// Frozen for longer than its lease, then awake again, a zombie.
const frozen = (role, patience, least, most) => async (fleet, words) => {
  const member = pick(fleet.of(role));
  const fault = new Fault('freeze', member, role === 'connector' ? serversOf(fleet, member, words) : []);
  const time = between(least, most);
  member.freeze();
  await sleep(time);
  member.thaw();
  return fault.within(Math.min(time, patience) + SLACK_MS);
};

const linked = (role, mode, time, delayMs) => async (fleet, words) => {
  const member = role === 'postgres' ? undefined : pick(fleet.of(role));
  const link = fleet.links.get(member?.name ?? 'postgres');
  const fault = new Fault(`${mode} link to`, member ?? { name: 'postgres' }, []);
  if (role === 'connector') fault.servers = serversOf(fleet, member, words);
  link.set(mode, delayMs);
  await sleep(time);
  link.set('pass');
  return fault.within(time + SLACK_MS);
};

const postgres = (what) => async (fleet) => {
  const fault = new Fault(`PostgreSQL ${what}`, { name: '' });
  if (what === 'restart') await fleet.postgres('restart');
  else if (what === 'stop') {
    await fleet.postgres('stop');
    await sleep(3000);
    await fleet.postgres('start');
  } else {
    await fleet.sql(
      fleet.directUrl,
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()',
    );
  }
  return fault.within(Date.now() - fault.began + 2500);
};

// How often each comes, and the fault itself.
export const FAULTS = [
  [4, killed('connector', SLACK_MS)],
  [4, killed('gateway', SLACK_MS)],
  [3, killed('catalog', 2500)],
  [2, postgres('restart')],
  [1, postgres('stop')],
  [2, postgres('drop')],
  [2, frozen('connector', LEASE_MS, 7000, 9000)],
  [1, frozen('catalog', LEASE_MS, 3000, 6000)],
  [2, linked('connector', 'cut', 1500)],
  [1, linked('gateway', 'cut', 1500)],
  [1, linked('catalog', 'cut', 1500)],
  [1, linked('connector', 'silent', 3000)],
  [1, linked('postgres', 'silent', 3000)],
  [1, linked('connector', 'slow', 2500, 150)],
  [1, linked('catalog', 'slow', 2500, 150)],
  [1, linked('postgres', 'slow', 2500, 100)],
  [1, linked('postgres', 'cut', 1000)],
];

// Every fault once, then by weight, in a random order.
export function* faults() {
  const all = FAULTS.map(([, fault]) => fault);
  for (let i = all.length - 1; i > 0; --i) {
    const other = Math.floor(Math.random() * (i + 1));
    [all[i], all[other]] = [all[other], all[i]];
  }
  yield* all;
  const weighted = FAULTS.flatMap(([weight, fault]) => Array(weight).fill(fault));
  for (;;) yield pick(weighted);
}
