// The audit of the whole program: what a call, a change, a refusal and a read leave behind, who may
// read it, that it can be proved, and that no content of a call is in it.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { WAIT_MS, pause } from '../../conformance/lib/wait.mjs';
import { gatewayBinary } from '../lib/paths.mjs';
import { Child, run } from '../lib/process.mjs';
import { fixtureStdio, modernRequest, startGateway } from '../lib/servers.mjs';

const KEYS = {
  ada: 'key-of-ada-0123456789',
  boss: 'key-of-boss-0123456789',
  otto: 'key-of-otto-0123456789',
};
const ROLES = { ada: ['operator'], boss: ['admin'], otto: ['auditor'] };
const SECRET = 'planted-9f27c1d0-argument';
const config = (audit) => ({
  auth: {
    anonymousLoopback: false,
    keys: Object.entries(KEYS).map(([name, key]) => ({ name, key, roles: ROLES[name] })),
  },
  audit,
  mcpServers: { fixture: fixtureStdio() },
});
const as = (who) => ({ authorization: `Bearer ${KEYS[who]}` });

// Slower than others wait: each look at the audit is a record, too.
async function eventually(check) {
  for (const end = Date.now() + 2 * WAIT_MS; ; await pause(50)) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not in time: ${check}`);
  }
}

let gateway;
before(async () => {
  gateway = await startGateway(config({ checkpointMs: 300 }));
  await eventually(async () => (await call('ada', 'test_x_mcp_header', { query: 'warm' })).result);
});
after(() => gateway?.stop());

const call = (who, tool, args) =>
  modernRequest(
    gateway.mcpUrl,
    'tools/call',
    { name: `fixture__${tool}`, arguments: args },
    { headers: as(who) },
  );

async function rest(who, path, { method = 'GET', body } = {}) {
  const response = await fetch(gateway.at(`/api/v1/${path}`), {
    method,
    headers: { ...as(who), ...(body ? { 'content-type': 'application/json' } : {}) },
    body: body && JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

// The newest record that fits, once it is there.
const recorded = (query, fits = () => true) =>
  eventually(async () => {
    const { body } = await rest('otto', `audit/records?${new URLSearchParams(query)}`);
    return body.records?.find(fits);
  });

const cli = (who, ...args) =>
  run(gateway.binary, [...args, '--url', gateway.at('/'), '--token', KEYS[who]]);

test('a call is recorded with who, what, how and its trace (M-FR-007.5)', async () => {
  const response = await call('ada', 'test_x_mcp_header', { query: SECRET });
  assert.ok(response.result, JSON.stringify(response));
  const found = await recorded({ subject: 'ada', outcome: 'ok' }, ({ personal }) =>
    personal.shape.includes('query'),
  );
  assert.equal(found.record.action, 'tools/call');
  assert.equal(found.record.upstream, 'fixture');
  assert.equal(found.record.outcome, 'ok');
  assert.equal(found.record.via, 'key');
  assert.deepEqual(found.record.policy, { effect: 'allow', rule: 'virtual-server:default' });
  assert.equal(found.personal.name, 'ada');
  assert.equal(found.personal.shape, '{"query":"string"}');
  assert.match(found.personal.digest, /^[0-9a-f]{64}$/);
  // As a word: digests have these letters, too.
  assert.doesNotMatch(JSON.stringify(found.record), /\bada\b/, 'the record itself names nobody');
});

test('a name that nobody knows is a denial (M-FR-007.5)', async () => {
  await call('ada', 'no_such_tool', {});
  const found = await recorded(
    { outcome: 'denied', subject: 'ada' },
    ({ personal }) => personal.target === 'fixture__no_such_tool',
  );
  assert.equal(found.record.reason, 'TOOL_NOT_FOUND');
  assert.equal(found.record.policy.effect, 'deny');
});

test('only an auditor reads, and reads nothing else (M-FR-007.5)', async () => {
  assert.equal((await rest('boss', 'audit/records')).status, 403);
  assert.equal((await rest('ada', 'audit/export')).status, 403);
  assert.equal((await rest('otto', 'servers')).status, 403);
  assert.equal((await rest('otto', 'audit/erase', { method: 'POST', body: { subject: 'ada' } })).status, 403);
  const refused = await call('otto', 'test_x_mcp_header', { query: 'no' });
  assert.match(JSON.stringify(refused), /auditor reads the audit and calls nothing/);
  const peeked = await recorded({ subject: 'boss', outcome: 'denied' });
  assert.equal(peeked.record.action, 'audit.read');
  assert.equal(peeked.record.code, 403);
  const read = await recorded({ subject: 'otto', action: 'audit.read', outcome: 'ok' });
  assert.match(read.record.item, /^GET \/api\/v1\/audit\//);
});

test('changes and refused keys are recorded (M-FR-007.5)', async () => {
  await rest('boss', 'config:reload', { method: 'POST' });
  const change = await recorded({ subject: 'boss', action: 'admin' });
  assert.equal(change.record.item, 'POST /api/v1/config:reload');
  const response = await fetch(gateway.at('/api/v1/servers'), {
    headers: { authorization: 'Bearer planted-9f27c1d0-wrong-key' },
  });
  assert.equal(response.status, 401);
  const refusal = await recorded({ action: 'auth.refused' });
  assert.equal(refusal.record.reason, 'AUTH_INVALID');
});

test('exports are proved offline; one altered byte is named (M-FR-007.5)', async () => {
  for (let i = 0; i < 5; ++i) await call('ada', 'test_x_mcp_header', { query: `${i}` });
  await recorded({ subject: 'ada' });
  const online = JSON.parse((await cli('otto', 'audit', 'verify', '-o', 'json')).stdout);
  assert.equal(online.valid, true, online.problem);
  assert.ok(online.records > 5);
  await eventually(async () => (await rest('otto', 'audit/checkpoints')).body.checkpoints?.[0]?.sinks?.length);

  const file = join(gateway.directory, 'audit.jsonl');
  const key = join(gateway.directory, 'audit-public.pem');
  assert.equal((await cli('otto', 'audit', 'export', '--file', file)).code, 0);
  writeFileSync(key, `${(await cli('otto', 'audit', 'key')).stdout}\n`);
  const verify = () => run(gateway.binary, ['audit', 'verify', file, '--key', key, '-o', 'json']);
  const fine = await verify();
  assert.equal(fine.code, 0, fine.stdout + fine.stderr);
  assert.equal(JSON.parse(fine.stdout).valid, true);
  assert.ok(JSON.parse(fine.stdout).checkpoints > 0);

  const text = readFileSync(file, 'utf8');
  const lines = text.split('\n');
  const at = lines.findIndex((line) => line.includes('"outcome":"ok"'));
  const { seq } = JSON.parse(lines[at]);
  lines[at] = lines[at].replace('"outcome":"ok"', '"outcome":"no"');
  writeFileSync(file, lines.join('\n'));
  const bad = await verify();
  assert.equal(bad.code, 1);
  assert.equal(JSON.parse(bad.stdout).badSeq, seq);
});

test('the tail follows what happens (M-FR-007.5)', { timeout: 20000 }, async () => {
  const cut = new AbortController();
  const response = await fetch(gateway.at('/api/v1/audit/tail?afterSeq=1'), {
    headers: as('otto'),
    signal: cut.signal,
  });
  assert.match(response.headers.get('content-type'), /event-stream/);
  const seen = [];
  let text = '';
  let called = false;
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    for (const line of text.split('\n').slice(0, -1)) {
      if (line.startsWith('data:')) seen.push(JSON.parse(line.slice(5)).record);
    }
    text = text.slice(text.lastIndexOf('\n') + 1);
    if (!called) {
      called = true;
      await call('ada', 'test_x_mcp_header', { query: 'x', tail: 1 });
    }
    if (seen.some(({ personal }) => personal?.shape === '{"query":"string","tail":"number"}')) break;
  }
  cut.abort();
  seen.forEach(({ seq }, i) => assert.equal(Number(seq), Number(seen[0].seq) + i));
});

test('usage counts by who and what (M-P4)', async () => {
  const { body } = await rest('otto', 'audit/usage?by=subject&by=item');
  const row = body.usage.find(({ subject, item }) => subject === 'ada' && item === 'fixture__test_x_mcp_header');
  assert.ok(Number(row.calls) >= 6, JSON.stringify(body));
});

test('an erased person is nobody, and the chain holds (P3-SOC-4)', async () => {
  const held = await rest('otto', 'audit/holds', { method: 'POST', body: { subject: 'ada', reason: 'case' } });
  assert.equal(held.status, 200, JSON.stringify(held.body));
  const erase = () => rest('boss', 'audit/erase', { method: 'POST', body: { subject: 'ada' } });
  assert.equal((await erase()).body.error.reason, 'LEGAL_HOLD');
  await rest('otto', `audit/holds/${held.body.hold.id}`, { method: 'DELETE' });
  const { status, body } = await erase();
  assert.equal(status, 200, JSON.stringify(body));
  const gone = await recorded({ subject: body.pseudonym });
  assert.equal(gone.erased, true);
  assert.equal((await rest('otto', 'audit/subject?subject=ada')).status, 404);
  assert.equal((await rest('otto', 'audit/verify')).body.valid, true);
});

// Every file below `folder`, as bytes.
function* filesOf(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const info = statSync(path);
    if (info.isDirectory()) yield* filesOf(path);
    else if (info.isFile() && !path.endsWith('.json')) yield [path, readFileSync(path)];
  }
}

test('nothing planted is in files, logs or exports (A15)', async () => {
  await call('ada', 'test_x_mcp_header', { query: SECRET, [`planted-9f27c1d0-name`]: 1 });
  await recorded({ subject: 'ada', action: 'tools/call' });
  const clear = await cli('otto', 'audit', 'export', '--personal');
  assert.ok(!clear.stdout.includes(SECRET));
  const closed = await cli('otto', 'audit', 'export');
  assert.ok(!closed.stdout.includes('planted-9f27c1d0'));
  assert.ok(!gateway.child.stderr.includes('planted-9f27c1d0'), gateway.child.stderr);
  let files = 0;
  for (const [path, bytes] of filesOf(gateway.directory)) {
    if (path.endsWith('audit.jsonl')) continue;
    ++files;
    assert.ok(!bytes.includes('planted-9f27c1d0-argument'), path);
    assert.ok(!bytes.includes('planted-9f27c1d0-wrong-key'), path);
    for (const key of Object.values(KEYS)) assert.ok(!bytes.includes(key), path);
  }
  assert.ok(files > 3);
});

for (const mode of ['buffered', 'strict']) {
  const skip = process.env.METAMCP_SHAPE && 'this is about one process';
  test(`${mode}: what was answered before kill -9 is recorded once (M-FR-007.5)`, { skip }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'metamcp-audit-'));
    const file = join(folder, 'config.json');
    writeFileSync(file, JSON.stringify({ version: 1, ...config({ mode }) }), { mode: 0o600 });
    const start = async () => {
      const child = new Child(gatewayBinary(), [
        ...['serve', '--listen', '127.0.0.1:0', '--config', file, '--data-dir', join(folder, 'data')],
      ]);
      const ready = await child.line((line) => line.match(/^ready mcp=(\S+)/));
      return { child, url: ready[1] };
    };
    let answered = 0;
    try {
      const first = await start();
      const echo = (i) =>
        modernRequest(
          first.url,
          'tools/call',
          { name: 'fixture__test_x_mcp_header', arguments: { query: `${i}` } },
          { headers: as('ada') },
        );
      await eventually(async () => (await echo(0)).result);
      let ends = false;
      const clients = Array.from({ length: 4 }, async () => {
        while (!ends) {
          const { result } = await echo(1).catch(() => ({}));
          if (!result) return;
          ++answered;
        }
      });
      await eventually(() => answered > 60);
      process.kill(first.child.pid, 'SIGKILL');
      ends = true;
      await Promise.all(clients);
      await first.child.exit;

      const second = await start();
      const at = (path) => new URL(`/api/v1/${path}`, second.url).href;
      const get = async (path) => (await fetch(at(path), { headers: as('otto') })).json();
      // Each of the recorded calls has an event of its own, so a record more would be one twice.
      await eventually(async () => {
        const { usage } = await get('audit/usage?by=item&item=fixture__test_x_mcp_header');
        return Number(usage?.[0]?.calls ?? 0) >= answered + 1;
      });
      const { records } = await get('audit/records?item=fixture__test_x_mcp_header&pageSize=1000');
      const ids = new Set(records.map(({ record }) => record.id));
      assert.equal(ids.size, records.length);
      assert.ok(records.length >= answered + 1, `${records.length} of ${answered}`);
      // At most what the four clients had in flight is more than what was answered.
      assert.ok(records.length <= answered + 1 + 4 + 20, `${records.length} of ${answered}`);
      const verified = await get('audit/verify');
      assert.equal(verified.valid, true, verified.problem);
      await second.child.stop();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
