// What starts runs and what they tell: schedules, signed events from outside, webhooks; and
// templates, from the command line.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../lib/process.mjs';
import { fixtureStdio, startGateway, waitForTools } from '../lib/servers.mjs';

const MCP_SERVERS = { fixture: fixtureStdio() };
const ADD = (name, more = '') => `
name: ${name}
${more}
steps:
  - id: add
    tool: fixture.test_structured_output
    arguments: { a: 1, b: 2 }
output: { sum: "\${steps.add.sum}" }
`;

let gateway; // may reach this machine
let careful; // may not
let folder;

async function rest(method, path, body, at = gateway) {
  const response = await fetch(at.at(`/api/v1${path}`), {
    method,
    headers: { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : {};
}

async function eventually(what, probe, timeoutMs = 20000) {
  for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(50)) {
    const value = await probe();
    if (value) return value;
  }
  throw new Error(`${what}: not in time`);
}
const runsOf = async (name) => (await rest('GET', `/runs?workflow=${name}`)).runs;
const ended = (id) =>
  eventually(`end of ${id}`, async () => {
    const { run: now } = await rest('GET', `/runs/${id}`);
    return ['completed', 'failed', 'cancelled'].includes(now.state) && now;
  });
const cli = (...args) =>
  run(gateway.binary, ['--url', gateway.at('/'), ...args], { timeoutMs: 60000 });

// As Standard Webhooks says.
function sign(secret, id, timestamp, body) {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const mac = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return `v1,${mac}`;
}

// The three programs of that shape have no workflow service among them.
const absent = process.env.METAMCP_SHAPE === 'processes';
const suite = absent ? describe.skip : describe;

before(async () => {
  if (absent) return;
  folder = mkdtempSync(join(tmpdir(), 'metamcp-events-'));
  gateway = await startGateway({ mcpServers: MCP_SERVERS, workflow: { httpLoopback: true } });
  careful = await startGateway({ mcpServers: MCP_SERVERS });
  for (const each of [gateway, careful]) {
    await waitForTools(each.mcpUrl, ['fixture__test_structured_output']);
  }
});
after(async () => {
  await gateway?.stop();
  await careful?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

suite('schedules', () => {
  test('start runs, are listed, rest and go on (M-FR-006)', async () => {
    await rest('POST', '/workflows', { source: ADD('ticks', 'schedule: { every: PT1S }') });
    await eventually('two runs', async () => (await runsOf('ticks')).length >= 2);
    const [first] = (await runsOf('ticks')).reverse();
    assert.equal((await ended(first.id)).state, 'completed');
    assert.equal(first.startedBy, 'local');
    const { schedules } = await rest('GET', '/schedules');
    const mine = schedules.find((each) => each.workflow === 'ticks');
    assert.deepEqual(mine.spec, { every: 'PT1S' });
    const listed = await cli('workflow', 'schedule', 'list');
    assert.match(listed.stdout, /ticks/);
    assert.equal((await cli('workflow', 'schedule', 'pause', 'ticks')).code, 0);
    await sleep(300);
    const count = (await runsOf('ticks')).length;
    await sleep(1800);
    assert.equal((await runsOf('ticks')).length, count);
    assert.equal((await cli('workflow', 'schedule', 'resume', 'ticks')).code, 0);
    await eventually('a further run', async () => (await runsOf('ticks')).length > count);
    // A version without a schedule has none.
    await rest('POST', '/workflows', { source: ADD('ticks', 'version: 2.0.0') });
    assert.deepEqual((await rest('GET', '/schedules')).schedules, []);
  });

  test('a time that never comes is refused (M-NFR-005.3)', async () => {
    const source = ADD('never', 'schedule: { cron: "0 0 31 2 *" }');
    const { valid, problems } = await rest('POST', '/workflows:validate', { source });
    assert.equal(valid ?? false, false);
    assert.match(problems[0].message, /never|no time/);
  });
});

suite('signed events from outside', () => {
  let hook;
  let secret;
  const send = (body, { id = `m-${Math.random()}`, at = Math.floor(Date.now() / 1000), key } = {}) =>
    fetch(gateway.at(`/api/v1/workflows/hooks/${hook.id}`), {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(at),
        'webhook-signature': `v1,AAAA ${sign(key ?? secret, id, at, body)}`,
      },
      body,
    });

  before(async () => {
    await rest('POST', '/workflows', { source: ADD('handles') });
    await rest('POST', '/workflows', {
      source: ADD('hears', 'schedule: { on: { one: { with: { type: order.created } } } }'),
    });
    ({ hook, secret } = await rest('POST', '/hooks', {
      name: 'orders', workflow: 'handles', eventType: 'order.created',
    }));
  });

  test('start a run, and one that listens, once (M-FR-023)', async () => {
    const body = JSON.stringify({ order: 7 });
    const first = await send(body, { id: 'm-1' });
    assert.equal(first.status, 202);
    const { run: id } = await first.json();
    const done = await ended(id);
    assert.equal(done.state, 'completed');
    assert.deepEqual(done.input, { order: 7 });
    const again = await send(body, { id: 'm-1' });
    assert.deepEqual(await again.json(), { run: id, repeatedMessage: true });
    const [heard] = await eventually('the run that listens', async () => {
      const runs = await runsOf('hears');
      return runs.length > 0 && runs;
    });
    assert.deepEqual((await ended(heard.id)).input[0].data, { order: 7 });
    await sleep(1500);
    assert.equal((await runsOf('hears')).length, 1);
    assert.equal((await runsOf('handles')).length, 1);
  });

  test('are refused when forged, old, or no JSON (M-FR-007.4)', async () => {
    const before = (await runsOf('handles')).length;
    const body = '{}';
    const other = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
    assert.equal((await send(body, { key: other })).status, 401);
    const old = Math.floor(Date.now() / 1000) - 400;
    assert.equal((await send(body, { at: old })).status, 401);
    assert.equal((await send(body, { at: old + 800 })).status, 401, 'a clock that is ahead');
    // A message that was heard on its way, altered or at another time.
    const at = Math.floor(Date.now() / 1000);
    const signature = sign(secret, 'm-heard', at, body);
    const replayed = (more, altered = body) =>
      fetch(gateway.at(`/api/v1/workflows/hooks/${hook.id}`), {
        method: 'POST',
        headers: {
          'content-type': 'application/json', 'webhook-id': 'm-heard', 'webhook-timestamp': String(at),
          'webhook-signature': signature, ...more,
        },
        body: altered,
      });
    assert.equal((await replayed({}, '{"order":8}')).status, 401);
    assert.equal((await replayed({ 'webhook-timestamp': String(at + 1) })).status, 401);
    assert.equal((await replayed({ 'webhook-id': 'm-other' })).status, 401);
    assert.equal((await replayed({ 'webhook-signature': '' })).status, 401);
    assert.equal((await send('not json')).status, 400);
    const nobody = await fetch(gateway.at('/api/v1/workflows/hooks/none'), { method: 'POST' });
    assert.equal(nobody.status, 404);
    assert.equal((await runsOf('handles')).length, before);
  });
});

suite('webhooks', () => {
  test('tell the end of a run, signed, again until it is taken (M-FR-023)', async () => {
    const got = [];
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (piece) => (body += piece));
      request.on('end', () => {
        got.push({ headers: request.headers, body });
        response.writeHead(got.length === 1 ? 503 : 204).end();
      });
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${server.address().port}/runs`;
      const { webhook, secret } = await rest('POST', '/webhooks', { url, states: ['completed'] });
      assert.match(secret, /^whsec_/);
      await rest('POST', '/workflows', { source: ADD('told') });
      const { run: started } = await rest('POST', '/workflows/told/runs', {});
      await eventually('the second try', () => got.length === 2);
      const [{ headers, body }] = got;
      assert.equal(headers['webhook-signature'],
        sign(secret, headers['webhook-id'], headers['webhook-timestamp'], body));
      assert.equal(got[1].headers['webhook-id'], headers['webhook-id']);
      const { type, data } = JSON.parse(body);
      assert.equal(type, 'workflow.run.completed');
      assert.equal(data.run, started.id);
      assert.deepEqual(data.output, { sum: 3 });
      const delivered = await eventually('the delivery', async () => {
        const { deliveries } = await rest('GET', `/webhooks/${webhook.id}/deliveries`);
        return deliveries[0]?.status === 'delivered' && deliveries[0];
      });
      assert.equal(delivered.attempts, 2);
      const listed = await cli('workflow', 'webhook', 'list');
      assert.match(listed.stdout, new RegExp(webhook.id));
      assert.ok(!listed.stdout.includes(secret));
      assert.equal((await cli('workflow', 'webhook', 'remove', webhook.id)).code, 0);
    } finally {
      server.close();
    }
  });

  test('do not reach this machine unless that is allowed (M-FR-007.4)', async () => {
    const url = 'http://127.0.0.1:9/';
    const { webhook } = await rest('POST', '/webhooks', { url }, careful);
    await rest('POST', '/workflows', { source: ADD('told') }, careful);
    await rest('POST', '/workflows/told/runs', {}, careful);
    const refused = await eventually('the refusal', async () => {
      const { deliveries } = await rest(
        'GET', `/webhooks/${webhook.id}/deliveries`, undefined, careful);
      return deliveries[0]?.attempts > 0 && deliveries[0];
    });
    assert.match(refused.lastError, /address|allowed|reach/i);
  });
});

suite('templates', () => {
  test('make a workflow that runs (M-FR-013)', async () => {
    const { stdout } = await cli('workflow', 'template', 'list');
    assert.match(stdout, /approve-then-run/);
    assert.match((await cli('workflow', 'template', 'show', 'for-each')).stdout, /arguments/);
    const file = join(folder, 'each.json');
    const made = await cli('workflow', 'template', 'new', 'for-each', '--file', file,
      '--set', 'tool=fixture.test_structured_output',
      '--set', 'arguments={"a": "${item}", "b": 1}');
    assert.equal(made.code, 0, made.stderr);
    assert.equal(JSON.parse(readFileSync(file, 'utf8')).name, 'for-each');
    const ran = await cli('--output', 'json', 'workflow', 'run', file, '--input', '{"items":[1,2]}');
    assert.equal(ran.code, 0, ran.stderr);
    const { state, output } = JSON.parse(ran.stdout);
    assert.equal(state, 'completed');
    assert.deepEqual(output.results.map(({ sum }) => sum), [2, 3]);
    const missing = await cli('--non-interactive', 'workflow', 'template', 'new', 'for-each');
    assert.notEqual(missing.code, 0);
    assert.match(missing.stderr, /"tool" is needed/);
  });

  test('a workflow shows how its runs went (M-FR-006.5)', async () => {
    const { stdout } = await cli('workflow', 'show', 'for-each');
    assert.match(stdout, /1 of 1 completed \(100 %\)/);
  });
});
