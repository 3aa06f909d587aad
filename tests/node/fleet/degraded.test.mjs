// What still works when a part is gone: the rows of docs/degradation.md. Under scripts/with_postgres.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { gatewayBinary } from '../lib/paths.mjs';
import { waitForTools } from '../lib/servers.mjs';
import { eventually } from '../../conformance/lib/wait.mjs';
import { failureOf, http, rpc, textOf } from './client.mjs';
import { Fleet } from './fleet.mjs';
import { Steady } from './steady.mjs';

const SERVERS = ['e1', 'e2', 'e3', 'e4'];
const PATIENCE_MS = 30000;
const SHAPE = { gateways: 2, connectors: 2, catalogs: 2 };
const bin = dirname(gatewayBinary());
const echoServer = (name) => ({
  command: join(bin, 'metamcp-fixture-echo'),
  args: ['--stdio', '--name', name],
});

let fleet;
before(async () => {
  const mcpServers = Object.fromEntries(SERVERS.map((name) => [name, echoServer(name)]));
  mcpServers.hung = { command: join(bin, 'metamcp-fixture-hostile'), args: ['silence'], timeoutMs: 1500 };
  fleet = await Fleet.create({ shape: SHAPE, config: { mcpServers } });
  await fleet.startAll();
  await everythingWorks();
});
after(() => fleet?.stop());
afterEach(async () => {
  await Promise.all([...fleet.members.values()].map((member) => member.up || member.start()));
  await everythingWorks();
});

const gateways = () => fleet.of('gateway');
const toolNames = SERVERS.map((name) => `${name}__echo`);

async function everythingWorks() {
  for (const { url } of gateways()) await waitForTools(url, [...toolNames, 'hung__hurt']);
  for (const { url } of gateways()) {
    for (const name of SERVERS) {
      const works = () => callWorks(url, name).then(() => true, () => false);
      await eventually(`${name} works`, works, PATIENCE_MS);
    }
  }
  await changesWork();
}

const changesWork = () =>
  eventually('changes work', async () => (await change(gateways()[0])).status === 200, PATIENCE_MS);

async function call(url, name, tool = 'echo', more = {}) {
  const text = randomUUID();
  const outcome = await rpc(url, 'tools/call', { name: `${name}__${tool}`, arguments: { text, ...more } });
  return { ...outcome, text };
}

async function callWorks(url, name) {
  const outcome = await call(url, name);
  assert.equal(failureOf(outcome), undefined, JSON.stringify(failureOf(outcome)));
  assert.equal(textOf(outcome), outcome.text);
}

// The process that runs a server: "<name> <pid> <text>".
const pidOf = async (name) => textOf(await call(gateways()[0].url, name, 'who')).split(' ')[1];
const pids = async () => Promise.all(SERVERS.map(pidOf));

const change = (gateway) =>
  http(`http://${gateway.http}/api/v1/virtual-servers`, {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ meta: { name: `made-${randomUUID().slice(0, 8)}` } }),
  });
const reasonOf = ({ body }) => JSON.parse(body).error.reason;

async function listed(url) {
  const { answer } = await rpc(url, 'tools/list', {});
  const names = answer.result.tools.map(({ name }) => name);
  for (const tool of [...toolNames, 'hung__hurt']) assert.ok(names.includes(tool), `${tool} is listed`);
}

// A legacy client that comes now, asks for a list, calls, and goes.
async function newSessionWorks(url) {
  const params = {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'degraded', version: '1' },
  };
  const { headers } = await rpc(url, 'initialize', params, { session: '' });
  const session = headers['mcp-session-id'];
  assert.ok(session);
  const called = await rpc(url, 'tools/call', { name: 'e1__echo', arguments: { text: 'hello' } }, { session });
  assert.equal(textOf(called), 'hello');
}

// Calls at every gateway and server without a failure while `body` runs.
async function whileCallsGoOn(body) {
  const steady = new Steady(fleet, { rate: 40, servers: SERVERS });
  await steady.start();
  try {
    await body();
  } finally {
    await steady.stop();
  }
  assert.ok(steady.good > 20);
  assert.deepEqual(steady.failures, []);
}

const ready = async (gateway) =>
  (await http(`http://${gateway.http}/ready`, { method: 'GET' })).status === 200;

for (const [name, lose, find] of [
  ['PostgreSQL down', () => fleet.postgres('stop'), () => fleet.postgres('start')],
  ['PostgreSQL read-only', () => fleet.postgres('readonly'), () => fleet.postgres('writable')],
]) {
  test(`${name}: clients notice nothing, changes are refused (M-NFR-002.5)`, async () => {
    const before = await pids();
    await whileCallsGoOn(async () => {
      await lose();
      try {
        for (const gateway of gateways()) {
          const refused = await change(gateway);
          assert.equal(refused.status, 503, refused.body);
          assert.equal(reasonOf(refused), 'DATABASE_UNAVAILABLE');
          assert.ok(await ready(gateway));
          await listed(gateway.url);
          await newSessionWorks(gateway.url);
        }
        // Longer than every lease.
        await new Promise((resolve) => setTimeout(resolve, 7000));
        for (const server of SERVERS) await callWorks(gateways()[1].url, server);
      } finally {
        await find();
      }
    });
    await changesWork();
    assert.deepEqual(await pids(), before, 'no server was restarted');
  });
}

test('a gateway that starts while PostgreSQL is down serves (M-NFR-002.5)', async () => {
  const [gateway] = gateways();
  await gateway.kill();
  await fleet.postgres('stop');
  try {
    await gateway.start();
    await eventually('it is ready', () => ready(gateway));
    await listed(gateway.url);
    for (const server of SERVERS) await callWorks(gateway.url, server);
  } finally {
    await fleet.postgres('start');
  }
});

test('one server hung: its calls time out, nobody else notices (M-NFR-002.5)', async () => {
  await whileCallsGoOn(async () => {
    const hung = await Promise.all(gateways().map(({ url }) => call(url, 'hung', 'hurt')));
    for (const outcome of hung) {
      const { reason, message } = failureOf(outcome);
      assert.equal(reason, 'UPSTREAM_TIMEOUT', message);
    }
    await listed(gateways()[0].url);
  });
});

test('a catalog down: nobody notices, changes go on at the other (M-NFR-002.5)', async () => {
  await whileCallsGoOn(async () => {
    await fleet.of('catalog')[0].kill();
    await changesWork();
    for (let i = 0; i < 10; ++i) await newSessionWorks(gateways()[i % 2].url);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  });
});

test('all catalogs down: clients notice nothing, changes are refused (M-NFR-002.5)', async () => {
  const before = await pids();
  const catalogs = fleet.of('catalog');
  await whileCallsGoOn(async () => {
    await Promise.all(catalogs.map((catalog) => catalog.kill()));
    for (const gateway of gateways()) {
      const refused = await change(gateway);
      assert.equal(refused.status, 503, refused.body);
      // The connection may be found broken by this very request.
      assert.ok(['SERVICE_UNREACHABLE', 'SERVICE_LOST'].includes(reasonOf(refused)), refused.body);
      await listed(gateway.url);
      await newSessionWorks(gateway.url);
    }
    await new Promise((resolve) => setTimeout(resolve, 7000));
    for (const server of SERVERS) await callWorks(gateways()[0].url, server);
    await Promise.all(catalogs.map((catalog) => catalog.start()));
    await changesWork();
  });
  assert.deepEqual(await pids(), before, 'no server was restarted');
});

test('a connector down: its servers run elsewhere within 10 s (M-NFR-002.5)', async () => {
  const [victim, other] = fleet.of('connector');
  await victim.kill();
  const killed = Date.now();
  for (const { url } of gateways()) await listed(url);
  // Calls wait for the new owner.
  await Promise.all(SERVERS.map((server) => callWorks(gateways()[0].url, server)));
  // And the one that nobody waited for.
  const left = 10000 - (Date.now() - killed);
  await eventually('all run', () => other.children().length === SERVERS.length + 1, left);
});

test('all connectors down: lists stay, calls say why they fail (M-NFR-002.5)', async () => {
  const connectors = fleet.of('connector');
  await Promise.all(connectors.map((connector) => connector.kill()));
  for (const gateway of gateways()) {
    await listed(gateway.url);
    assert.ok(await ready(gateway));
    assert.equal((await change(gateway)).status, 200);
  }
  const { reason, message } = failureOf(await call(gateways()[0].url, 'e1'));
  assert.ok(['UPSTREAM_UNAVAILABLE', 'SERVICE_UNREACHABLE'].includes(reason), `${reason}: ${message}`);
});
