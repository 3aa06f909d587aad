// What an operator sees of a running installation: errors, perf, slow, map, logs, log-level, profile.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gatewayBinary } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';
import { modernRequest, startGateway, waitForTools } from '../lib/servers.mjs';

const ADMIN = 'admin-key-of-the-insight-test';
const VIEWER = 'viewer-key-of-the-insight-test';
let gateway, folder;
const headers = { authorization: `Bearer ${ADMIN}` };
const call = (name, args = {}) =>
  modernRequest(gateway.mcpUrl, 'tools/call', { name, arguments: args }, { headers });

async function cli(...args) {
  const env = { ...process.env, META_MCP_TOKEN: ADMIN };
  const { code, stdout, stderr } = await run(
    gateway.binary, ['--output', 'json', '--url', gateway.adminOrigin, ...args], { env });
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout);
}

async function until(what, condition) {
  for (const end = Date.now() + 20000; Date.now() < end; await sleep(100)) {
    const value = await condition();
    if (value) return value;
  }
  throw new Error(`in vain waited for: ${what}`);
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'metamcp-insight-'));
  gateway = await startGateway({
    auth: {
      anonymousLoopback: false,
      keys: [
        { name: 'admin', key: ADMIN, roles: ['admin'] },
        { name: 'viewer', key: VIEWER, roles: ['viewer'] },
      ],
    },
    telemetry: {
      traces: { keep: 5000 },
      counters: ['echoes item=fix__echo outcome=ok', 'none item=nothing*'],
    },
    mcpServers: { fix: { command: join(dirname(gatewayBinary()), 'metamcp-fixture-stdio'), toolTimeoutsMs: { silence: 100 } } },
  });
  gateway.adminOrigin = new URL(gateway.mcpUrl).origin;
  await waitForTools(gateway.mcpUrl, ['fix__echo', 'fix__silence'], { headers });
  for (let i = 0; i < 5; ++i) await call('fix__echo');
  await call('fix__slow', { ms: 60 });
  await call('fix__silence');
});
after(async () => {
  await gateway?.stop();
  await rm(folder, { recursive: true, force: true });
});

test('errors are grouped, with an example and what to do (W-4.2.4 P3-Trc-4)', async () => {
  const failure = await until('the failure in the audit', async () =>
    (await cli('errors', '--by-item')).failures?.find((one) => one.item === 'fix__silence'));
  assert.equal(failure.reason, 'UPSTREAM_TIMEOUT');
  assert.equal(failure.upstream, 'fix');
  assert.equal(Number(failure.count), 1);
  assert.match(failure.trace, /^[0-9a-f]{32}$/);
  assert.ok(failure.hint.length > 10);
  assert.deepEqual((await cli('errors', '--reason', 'NOBODY')).failures ?? [], []);
});

test('perf says where the time goes, slow and map who was it (W-4.2.2 M-MIT-4)', async () => {
  const perf = await until('spans', async () => {
    const found = await cli('perf', 'fix__slow');
    return Number(found.calls ?? 0) >= 1 && found.stages.some((one) => one.name === 'server fix') && found;
  });
  assert.equal(perf.stages[0].name, 'server fix');
  assert.ok(Number(perf.stages[0].meanUs) >= 60000, JSON.stringify(perf.stages));
  assert.ok(Number(perf.stages[0].share) > 5000);
  const slow = await cli('slow', '--name', 'tools/call*', '--limit', '3');
  assert.equal(slow.spans.length, 3);
  const one = await cli('slow', '--trace', perf.slowestTrace);
  assert.ok(one.spans.length >= 3, JSON.stringify(one.spans));
  assert.ok(one.spans.every((span) => span.trace === perf.slowestTrace));
  const { edges } = await cli('map');
  const last = edges.find((edge) => edge.to === 'server fix');
  assert.ok(Number(last.calls) >= 7, JSON.stringify(edges));
  assert.ok(Number(last.failures) >= 1);
  if (process.env.METAMCP_SHAPE === 'cluster') {
    assert.ok(edges.some((edge) => edge.from === 'gateway' && edge.to === 'connector'));
  }
});

test('logs of all processes are found by trace, and a level goes back (W-4.2.3 P1-Obs-1)', async () => {
  const { lines } = await cli('logs', '--event', 'call.failed');
  const failed = lines.map(({ line }) => line).find((line) => line.upstream === 'fix');
  assert.equal(failed.reason, 'upstream_timeout');
  assert.match(failed.trace, /^[0-9a-f]{32}$/);
  const same = await cli('logs', '--trace', failed.trace);
  assert.ok(same.lines.length >= 1);
  const connected = await cli('logs', 'upstream.connected');
  assert.ok(connected.lines.length >= 1, 'of whichever process runs the server');

  const set = await cli('log-level', 'debug', '--for', '2s');
  assert.ok(set.sources.every((source) => !source.error), JSON.stringify(set));
  if (process.env.METAMCP_SHAPE === 'cluster') assert.ok(set.sources.length >= 9);
  await call('fix__nothing');
  await until('a line of level debug', async () =>
    (await cli('logs', '--event', 'call.failed')).lines?.some(({ line }) => line.level === 'debug'));
});

test('profiles are taken of the process that is named (P1-Obs-2)', async () => {
  const file = join(folder, 'heap.xml');
  const env = { ...process.env, META_MCP_TOKEN: ADMIN };
  const { code, stderr } = await run(gateway.binary,
    ['--url', gateway.adminOrigin, 'profile', 'heap', '--file', file], { env });
  assert.equal(code, 0, stderr);
  assert.match(await readFile(file, 'utf8'), /^<malloc/);
});

test("counters of one's own count what fits (P1-Obs-2)", { skip: process.env.METAMCP_SHAPE === 'cluster' && 'each gateway counts its own' }, async () => {
  const response = await fetch(new URL('/metrics', gateway.mcpUrl), { headers });
  const text = await response.text();
  assert.match(text, /^metamcp_user_echoes_total 5$/m);
  assert.match(text, /^metamcp_user_none_total 0$/m);
});

test('lesser roles get none of it (A15)', async () => {
  for (const path of ['logs', 'spans', 'map', 'performance']) {
    const url = new URL(`/api/v1/telemetry/${path}`, gateway.mcpUrl);
    const other = await fetch(url, { headers: { authorization: `Bearer ${VIEWER}` } });
    assert.equal(other.status, 403, path);
    assert.equal((await fetch(url)).status, 401, path);
  }
});

const TCMALLOC = ['/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4', '/usr/lib/aarch64-linux-gnu/libtcmalloc.so.4']
  .find((path) => existsSync(path));
test('of a process with tcmalloc, where its memory was allocated (P1-Obs-2)',
  { skip: !TCMALLOC && 'libgoogle-perftools4 is not here' }, async () => {
    const sampled = await startGateway(
      { mcpServers: {} }, { env: { LD_PRELOAD: TCMALLOC, TCMALLOC_SAMPLE_PARAMETER: '4096' } });
    try {
      const file = join(folder, 'heap.prof');
      const { code, stdout, stderr } = await run(sampled.binary,
        ['--url', new URL(sampled.mcpUrl).origin, 'profile', 'heap', '--file', file]);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /google-pprof/);
      const text = await readFile(file, 'utf8');
      // Of the format: a head with totals, then objects and bytes in use by the addresses of callers.
      assert.match(text, /^heap profile: +\d+: +\d+ \[ *\d+: +\d+\] @ heap_v2\/4096/);
      const sites = text.match(/^ *\d+: +\d+ \[ *\d+: +\d+\] @( 0x[0-9a-f]+)+$/gm);
      assert.ok(sites.length > 10, text.slice(0, 500));
      assert.match(text, /MAPPED_LIBRARIES:/);
    } finally {
      await sampled.stop();
    }
  });
