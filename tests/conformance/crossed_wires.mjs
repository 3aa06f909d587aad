#!/usr/bin/env node
// usage: node crossed_wires.mjs [--gateway ADAPTER] [--clients 100] [--calls 5000] [--seed 1]
//                               [--verbose]
// Many clients of mixed revisions and transports call servers of mixed eras and transports that ask back in the
// middle of each call. Every question carries a nonce, and so does every answer: none may reach
// another call. Between them calls are cancelled, refused, left, or answered late. At the end nothing
// may be left: no parked call, no session, no descriptor. Prints "N passed, N failed".
import { readFileSync, readdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Client } from './client/client.mjs';
import { clientCapabilities, refuses } from './features/questions.mjs';
import { loadAdapter } from './lib/adapter.mjs';
import { REVISIONS, has, isModern } from './lib/revisions.mjs';
import { Random } from './lib/random.mjs';
import { eventually, pause, within } from './lib/wait.mjs';
import { startUpstreams } from './upstream/host.mjs';

const SERVERS = [
  { name: 'modern', revision: '2026-07-28', transport: 'http' },
  { name: 'legacy', revision: '2025-11-25', transport: 'http' },
  { name: 'older', revision: '2025-06-18', transport: 'sse', interactive: true },
  { name: 'child', revision: '2025-11-25', transport: 'stdio', interactive: true },
];
// A server on stdio that asks gets a process per client, so only some clients call it.
const CHILD_CLIENTS = 8;
const ACTIONS = ['answer', 'answer', 'answer', 'answer', 'decline', 'cancel', 'leave', 'late'];
const LATE_MS = 30;
const CALL_MS = 60000;
// Connections that may be kept open for the next call, which is not many for thousands of calls.
const POOLED_MAX = 8;

const { values } = parseArgs({
  options: {
    gateway: { type: 'string', default: 'meta_mcp' },
    clients: { type: 'string', default: '100' },
    calls: { type: 'string', default: '5000' },
    seed: { type: 'string', default: '1' },
    verbose: { type: 'boolean', default: false },
  },
});
const wanted = {
  clients: Number(values.clients),
  calls: Number(values.calls),
  seed: Number(values.seed)
};
const failures = [];
const counts = {};
const count = (key) => {
  counts[key] = (counts[key] ?? 0) + 1;
};
const fail = (text) => failures.push(text);

// One client and what it has asked for: by nonce, how it means to react to the question.
class Worker {
  calls = new Map();

  constructor(number, gateway, random) {
    Object.assign(this, { number, gateway, random });
    this.revision = REVISIONS[number % REVISIONS.length];
    const round = Math.floor(number / REVISIONS.length);
    const transports = isModern(this.revision) ? ['http', 'ws'] : ['http', 'sse', 'ws'];
    this.transport = transports[round % transports.length];
    this.servers = number < CHILD_CLIENTS ? SERVERS : SERVERS.slice(0, 3);
  }

  async open() {
    const handlers = {
      'sampling/createMessage': ({ messages }) => this.#asked(messages[0].content.text, 'sampling'),
      'elicitation/create': ({ message }) => this.#asked(message, 'form'),
    };
    this.client = await new Client({
      revision: this.revision,
      transport: this.transport,
      capabilities: clientCapabilities(this.revision),
      handlers,
      refuses,
      endpoint: this.gateway.endpoint(this.transport),
    }).open();
  }

  async #asked(nonce, kind) {
    const call = this.calls.get(nonce);
    if (!call) {
      const own = [...this.calls.keys()];
      fail(`client ${this.number} was asked ${nonce} while its own calls were: ${own}`);
      return kind === 'form' ?
        { action: 'cancel' } :
        { role: 'assistant', model: 'kit', content: { type: 'text', text: 'no' } };
    }
    call.asked += 1;
    if (call.asked > 1) fail(`${nonce} was asked twice`);
    if (call.action === 'late') await pause(this.random.below(LATE_MS));
    if (call.action === 'cancel' || call.action === 'leave') {
      call.reached();
      return new Promise(() => {});
    }
    if (call.action === 'decline') {
      if (kind === 'form') return { action: 'decline' };
      throw Object.assign(new Error('the user said no'), { code: -1 });
    }
    if (kind === 'form') return { action: 'accept', content: { answer: `re ${nonce}` } };
    return { role: 'assistant', model: 'kit', content: { type: 'text', text: `re ${nonce}` } };
  }

  async run(nonce) {
    const server = this.random.pick(this.servers);
    const forms = has(this.revision, 'elicitation') && has(server.revision, 'elicitation');
    const kind = forms && this.random.below(2) ? 'form' : 'sampling';
    let action = this.random.pick(ACTIONS);
    // A modern client cannot refuse a sampling, and it leaves by cancelling.
    if (isModern(this.revision) && action === 'decline' && kind === 'sampling') action = 'answer';
    if (isModern(this.revision) && action === 'leave') action = 'cancel';
    const call = { nonce, kind, action, server, asked: 0 };
    const asked = new Promise((resolve) => {
      call.reached = resolve;
    });
    this.calls.set(nonce, call);
    count(`${action} ${kind} ${server.name}`);
    const params = {
      name: this.gateway.toolName(server.name, 'asks'),
      arguments: { kind, nonce },
    };
    try {
      if (action === 'cancel' || action === 'leave') await this.#interrupt(call, params, asked);
      else this.#check(call, await this.client.call('tools/call', params, { ms: CALL_MS }));
    } catch (error) {
      fail(
        `${nonce} (${action} ${kind}, client ${this.revision}, ${server.name}): ${error.message}`);
    }
    this.calls.delete(nonce);
  }

  // The question is there, and then the client cancels the call or leaves for good.
  async #interrupt(call, params, asked) {
    const { client } = this;
    const begun = client.begin('tools/call', params);
    if (client.modern) {
      // The question ends the request; the client just never comes back, or has gone before.
      const early = this.random.below(2) === 0;
      if (early) {
        await pause(this.random.below(5));
        begun.cancel();
        return;
      }
      const { result, error } = await begun.reply;
      const text = JSON.stringify(result?.inputRequests ?? error ?? result);
      if (!text.includes(call.nonce)) fail(`${call.nonce}: asked ${text}`);
      count('abandoned');
      return;
    }
    const ended = begun.reply.then((reply) => {
      throw new Error(`ended early: ${JSON.stringify(reply.error ?? reply.result ?? reply.lost)}`);
    });
    ended.catch(() => {});
    await within(Promise.race([asked, ended]), 'the question', CALL_MS);
    if (call.action === 'cancel') {
      await begun.cancel();
      return;
    }
    await client.close();
    await this.open();
  }

  #check({ nonce, action, kind }, { result, error, lost }) {
    if (!result) return fail(`${nonce} (${action} ${kind}): ${JSON.stringify(error ?? lost)}`);
    const { text } = result.content[0];
    if (action === 'decline') {
      if (kind === 'form' && !text.includes('decline')) fail(`${nonce} was declined, but: ${text}`);
      if (kind === 'sampling' && !result.isError) fail(`${nonce} was refused, but: ${text}`);
      return undefined;
    }
    if (result.isError) return fail(`${nonce} (${action} ${kind}): ${text}`);
    const told = JSON.parse(text);
    if (told.nonce !== nonce) fail(`${nonce} got the result of ${told.nonce}`);
    if (!JSON.stringify(told.answer).includes(`re ${nonce}"`))
      fail(`${nonce} got the answer ${text}`);
    return undefined;
  }
}

// What the gateway holds that calls and sessions could leave behind.
async function holdings(gateway) {
  const fds = readdirSync(`/proc/${gateway.pid}/fd`).length;
  const children = readFileSync(`/proc/${gateway.pid}/task/${gateway.pid}/children`, 'utf8').trim();
  const held = await gateway.holdings();
  return { fds, children: children === '' ? 0 : children.split(' ').length, ...held };
}

async function allJoined(gateway, random) {
  const probe = new Worker(REVISIONS.length - 1, gateway, random);
  await probe.open();
  const there = async () => {
    const { result } = await probe.client.request('tools/list', {});
    const names = result.tools.map(({ name }) => name);
    return SERVERS.every(({ name }) => names.includes(gateway.toolName(name, 'asks')));
  };
  await eventually('every server has joined', there, 30000);
  await probe.client.close();
}

// Runs the calls. Resolves with how many were made.
async function work(gateway, random) {
  const make = (_, number) => new Worker(number, gateway, random.fork());
  const workers = Array.from({ length: wanted.clients }, make);
  await Promise.all(workers.map((worker) => worker.open()));
  const share = Math.ceil(wanted.calls / wanted.clients);
  const callAll = async (worker) => {
    for (let i = 0; i < share; i += 1) await worker.run(`w${worker.number}-${i}`);
  };
  await Promise.all(workers.map(callAll));
  for (const { client, number } of workers) {
    // A cancellation and the answer may pass each other on the way.
    const real = client.problems.filter((each) => !each.endsWith('after it was cancelled'));
    for (const problem of real.slice(0, 3)) fail(`client ${number}: ${problem}`);
    await client.close();
  }
  return share * wanted.clients;
}

// What the servers were told is right, too.
function judge(server) {
  for (const problem of server.problems.slice(0, 5)) fail(problem);
  for (const { nonce, kind, result } of server.answers.entries) {
    const text = JSON.stringify(result ?? {});
    const own = text.includes(`re ${nonce}"`);
    const none = !result || (kind === 'form' && /"action":"(decline|cancel)"/.test(text));
    if (!own && !none) fail(`${server.name} got for ${nonce} the answer ${text}`);
  }
}

async function nothingLeft(gateway, before) {
  const slack = (key) => (key === 'fds' ? POOLED_MAX : 0);
  let after;
  const settled = async () => {
    after = await holdings(gateway);
    return Object.keys(before).every((key) => after[key] <= before[key] + slack(key));
  };
  await eventually('nothing is left', settled, 60000).catch(() => {});
  for (const key of Object.keys(before)) {
    if (after[key] > before[key] + slack(key))
      fail(`${key}: ${before[key]} before, ${after[key]} after`);
  }
  return after;
}

const random = new Random(wanted.seed);
const adapter = await loadAdapter(values.gateway);
const upstreams = await startUpstreams(SERVERS);
const settings = adapter.QUICK_EXPIRY;
const gateway = await adapter.start({ upstreams: upstreams.describe(), settings });
try {
  await allJoined(gateway, random);
  const before = await holdings(gateway);
  const done = await work(gateway, random);
  for (const server of upstreams.servers.values()) judge(server);
  const after = await nothingLeft(gateway, before);
  const held = `before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`;
  process.stdout.write(`seed ${wanted.seed}: ${done} calls, ${wanted.clients} clients; ${held}\n`);
  if (values.verbose) process.stdout.write(`${JSON.stringify(counts, null, 1)}\n`);
  for (const text of failures.slice(0, 20)) process.stdout.write(`  ${text}\n`);
  process.stdout.write(`${Math.max(0, done - failures.length)} passed, ${failures.length} failed\n`);
} finally {
  await gateway.stop();
  await upstreams.stop();
}
process.exit(failures.length === 0 ? 0 : 1);
