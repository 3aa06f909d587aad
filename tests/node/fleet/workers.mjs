// Checked load on a fleet: every worker goes on until it is stopped, and notes each failure with
// what it needs to be judged: when, by which gateway, at which server, and the reason that it got.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { failureOf, http, messagesOf, rpc, textOf } from './client.mjs';

const PAUSE_MS = 30;
const ANSWER_MS = 10000;
const pick = (list) => list[Math.floor(Math.random() * list.length)];

export class Workers {
  done = {}; // by worker
  failures = [];
  wrong = []; // defects whatever happened
  firstGood = new Map(); // by server: resolvers that wait for the next success
  #over = false;
  #running = [];

  constructor(fleet) {
    this.fleet = fleet;
  }

  // Runs `count` of a worker: an async function of (workers, number).
  spawn(name, worker, count = 1) {
    for (let i = 0; i < count; ++i) {
      const loop = async () => {
        while (!this.#over) {
          await worker(this, i);
          await sleep(Math.random() * 2 * PAUSE_MS);
        }
      };
      this.#running.push(loop());
    }
  }

  get over() {
    return this.#over;
  }

  async stop() {
    this.#over = true;
    await Promise.all(this.#running);
  }

  // Gateways that take connections.
  up() {
    return this.fleet.of('gateway').filter((member) => member.up && !member.frozen);
  }

  // One request at the next gateway that takes a connection, as a balancer would choose. Resolves
  // with the outcome and the gateway.
  async ask(method, params, { gateway, ...options } = {}) {
    const all = this.fleet.of('gateway').filter((member) => !member.frozen);
    const first = Math.floor(Math.random() * all.length);
    for (let i = 0; ; ++i) {
      const chosen = gateway ?? all[(first + i) % all.length];
      const outcome = await rpc(chosen.url, method, params, options);
      const refused = outcome.lost && !outcome.sent;
      if (!refused || gateway || i + 1 >= all.length) return { ...outcome, gateway: chosen.name };
    }
  }

  // `problem`: null for none.
  note(worker, server, started, outcome, problem = failureOf(outcome)) {
    if (!problem) {
      this.done[worker] = (this.done[worker] ?? 0) + 1;
      for (const resolve of this.firstGood.get(server)?.splice(0) ?? []) resolve(started);
      return true;
    }
    this.failures.push({
      worker,
      server,
      started,
      ended: Date.now(),
      gateway: outcome.gateway,
      ...problem,
    });
    return false;
  }

  // Resolves with the start of the next good call on `server`.
  nextGood(server) {
    return new Promise((resolve) => {
      this.firstGood.set(server, [...(this.firstGood.get(server) ?? []), resolve]);
    });
  }

  defect(what, details) {
    this.wrong.push({ what, at: Date.now(), ...details });
  }
}

// Echoes a nonce; every second one takes a while, so that some are always on their way.
export const echo = (servers) => async (workers, i) => {
  const server = servers[i % servers.length];
  const nonce = randomUUID();
  const slow = Math.random() < 0.5;
  const params = {
    name: `${server}__${slow ? 'slow' : 'echo'}`,
    arguments: { text: nonce, ...(slow ? { ms: Math.floor(Math.random() * 300) } : {}) },
  };
  const started = Date.now();
  const outcome = await workers.ask('tools/call', params);
  if (!workers.note('echo', server, started, outcome)) return;
  if (textOf(outcome) !== nonce) workers.defect('another answer', { server, nonce, got: textOf(outcome) });
};

// Progress comes on the stream of its own call only.
export const progress = (servers) => async (workers, i) => {
  const server = servers[i % servers.length];
  const nonce = randomUUID();
  const params = {
    name: `${server}__progress`,
    arguments: { steps: 3, text: nonce },
    _meta: {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientCapabilities': {},
      progressToken: nonce,
    },
  };
  const started = Date.now();
  const outcome = await workers.ask('tools/call', params);
  for (const message of outcome.messages ?? []) {
    const strange = message.method && message.params?.progressToken !== nonce;
    if (strange) workers.defect('a crossed notification', { server, nonce, message });
  }
  if (!workers.note('progress', server, started, outcome)) return;
  if (textOf(outcome) !== nonce) workers.defect('another answer', { server, nonce, got: textOf(outcome) });
};

// Counts: each key must be in the server's ledger at most once, and those that were answered
// exactly once. `answered` collects them.
export const count = (servers, answered) => async (workers, i) => {
  const server = servers[i % servers.length];
  const key = randomUUID();
  const started = Date.now();
  const params = { name: `${server}__add`, arguments: { key, ms: Math.floor(Math.random() * 200) } };
  const outcome = await workers.ask('tools/call', params);
  if (!workers.note('count', server, started, outcome)) return;
  if (textOf(outcome) !== key) workers.defect('another answer', { server, key, got: textOf(outcome) });
  answered.add(key);
};

// A legacy session whose requests go to any gateway: a tool asks it something in the middle of a
// call, and the answer goes in elsewhere.
export const sessions = (server) => {
  const open = new Map(); // by worker
  return async (workers, i) => {
    const started = Date.now();
    if (!open.has(i)) {
      const outcome = await workers.ask(
        'initialize',
        {
          protocolVersion: '2025-11-25',
          capabilities: { elicitation: {} },
          clientInfo: { name: 'fleet', version: '1' },
        },
        { session: '' },
      );
      if (!workers.note('initialize', undefined, started, outcome)) return;
      open.set(i, { id: outcome.headers['mcp-session-id'], home: outcome.gateway });
    }
    const session = open.get(i);
    const nonce = randomUUID();
    let text = '';
    let asked;
    let gone = false; // the session, as it was said to its client
    const giveUp = new AbortController();
    const answer = async (question) => {
      const content = { name: nonce };
      const body = JSON.stringify({ jsonrpc: '2.0', id: question.id, result: { action: 'accept', content } });
      const headers = {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2025-11-25',
        'mcp-session-id': session.id,
      };
      // An answer that was refused for now is given again; the call it belongs to may have ended.
      for (const end = Date.now() + ANSWER_MS; Date.now() < end; await sleep(200)) {
        const gateway = pick(workers.up());
        const { status } = gateway ? await http(gateway.url, { headers, body }) : {};
        if (status === 202) return;
        if (status === 404) {
          gone = true;
          giveUp.abort();
          return;
        }
      }
    };
    const onData = (data) => {
      text += data;
      const question = messagesOf({ headers: { 'content-type': 'event-stream' }, body: text.slice(0, text.lastIndexOf('\n')) }).find(
        (each) => each.method === 'elicitation/create',
      );
      if (question && !asked) asked = answer(question);
    };
    const outcome = await workers.ask(
      'tools/call',
      { name: `${server}__elicit`, arguments: {} },
      { session: session.id, onData, signal: giveUp.signal },
    );
    await asked;
    outcome.home = session.home;
    const problem = gone ? { reason: 'SESSION_NOT_FOUND', message: 'the answer was refused' } : failureOf(outcome);
    const good = workers.note('session', server, started, outcome, problem ?? null);
    if (!good) {
      Object.assign(workers.failures.at(-1), { home: session.home, status: outcome.status });
      open.delete(i);
      return;
    }
    if (!textOf(outcome).includes(nonce)) {
      workers.defect('a crossed session', { nonce, got: textOf(outcome) });
    }
    if (Math.random() < 0.1) open.delete(i);
  };
};

// An operator who makes and deletes virtual servers. `known`: name to whether it must be there;
// what was not answered is in doubt and left out.
export const operator = (known) => {
  let next = 0;
  return async (workers) => {
    const name = `made-${next++}`;
    const started = Date.now();
    const gateway = pick(workers.up());
    if (!gateway) return;
    const rest = (method, path, body) =>
      http(`http://${gateway.http}/api/v1${path}`, {
        method,
        headers: { 'content-type': 'application/json' },
        body: body && JSON.stringify(body),
      });
    const check = (outcome) => {
      let reason;
      try {
        reason = outcome.body && JSON.parse(outcome.body).error?.reason;
      } catch {
        workers.defect('no JSON from the API', { body: outcome.body?.slice(0, 200), status: outcome.status });
      }
      const problem = outcome.lost
        ? { lost: outcome.lost, sent: outcome.sent }
        : outcome.status >= 300
          ? { reason, message: `HTTP ${outcome.status}` }
          : null;
      return workers.note('operator', undefined, started, { gateway: gateway.name }, problem);
    };
    const made = await rest('POST', '/virtual-servers', { meta: { name } });
    if (!check(made)) return;
    known.set(name, true);
    if (Math.random() < 0.5) return;
    known.delete(name);
    if (check(await rest('DELETE', `/virtual-servers/${name}`))) known.set(name, false);
    await sleep(200);
  };
};
