// /metrics of processes without a gateway. Under scripts/with_postgres.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { freeAddress } from '../lib/cluster.mjs';
import { gatewayBinary } from '../lib/paths.mjs';
import { waitForTools } from '../lib/servers.mjs';
import { eventually } from '../../conformance/lib/wait.mjs';
import { http, rpc, textOf } from './client.mjs';
import { Fleet } from './fleet.mjs';

const KEYS = { scraper: 'key-of-the-scraper-0123', other: 'key-of-another-0123456' };
const keysOf = (...names) => names.map((name) => ({ name, key: KEYS[name], roles: ['viewer'] }));
const mcpServers = {
  io: {
    command: join(dirname(gatewayBinary()), 'metamcp-fixture-echo'),
    args: ['--stdio', '--name', 'io'],
  },
};

let fleet;
before(async () => {
  const auth = { anonymousLoopback: false, keys: keysOf('scraper', 'other') };
  const shape = { gateways: 1, connectors: 1, catalogs: 1 };
  fleet = await Fleet.create({ shape, config: { mcpServers, auth } });
  for (const member of fleet.members.values()) {
    member.metrics = await freeAddress();
    member.env.META_MCP_SERVICES_METRICS_LISTEN = member.metrics;
  }
  await fleet.startAll();
  const headers = { authorization: `Bearer ${KEYS.scraper}` };
  await waitForTools(fleet.of('gateway')[0].url, ['io__echo'], { headers });
});
after(() => fleet?.stop());

const get = (role, path = '/metrics', key = KEYS.scraper, method = 'GET') =>
  http(`http://${fleet.of(role)[0].metrics}${path}`, {
    method,
    headers: key ? { authorization: `Bearer ${key}` } : {},
  });

// The value of a metric whose line begins with `name`.
const valueIn = (text, name) => {
  const line = text.split('\n').find((each) => each.startsWith(name));
  return line && Number(line.slice(line.lastIndexOf(' ') + 1));
};
const value = async (role, name) => valueIn((await get(role)).body, name);

test('every process shows itself and the calls that reach it (P1-Obs-2)', async () => {
  const call = 'metamcp_rpc_calls_total{code="OK",method="metamcp.provider.v1.ProviderService/Call"}';
  const before = (await value('connector', call)) ?? 0;
  for (let i = 0; i < 5; ++i) {
    const params = { name: 'io__echo', arguments: { text: 'x' } };
    const outcome = await rpc(fleet.of('gateway')[0].url, 'tools/call', params, { key: KEYS.scraper });
    assert.equal(textOf(outcome), 'x');
  }
  assert.equal(await value('connector', call), before + 5);
  for (const role of ['gateway', 'connector', 'catalog']) {
    const { status, headers, body } = await get(role);
    assert.equal(status, 200);
    assert.match(headers['content-type'], /^text\/plain; version=0\.0\.4/);
    const rss = Number(
      readFileSync(`/proc/${fleet.of(role)[0].pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1],
    );
    const seen = valueIn(body, 'process_resident_memory_bytes ') / 1024;
    assert.ok(seen > rss / 2 && seen < rss * 2, `${role}: ${seen} KiB of ${rss}`);
    assert.match(body, /^metamcp_build_info\{version="/m);
    assert.ok(!body.includes(KEYS.scraper));
  }
});

test('a connector shows what it runs, a catalog what it has stored (P1-Obs-2)', async () => {
  const { body } = await get('connector');
  for (const [name, expected] of [
    ['metamcp_connector_upstreams', 1],
    ['metamcp_connector_connected', 1],
    ['metamcp_connector_processes', 1],
    ['metamcp_connector_calls', 0],
    ['metamcp_connector_parked', 0],
  ]) {
    assert.equal(valueIn(body, `${name} `), expected, name);
  }
  assert.ok((await value('catalog', 'metamcp_rpc_streams ')) >= 2, 'a gateway and a connector watch');
  assert.ok((await value('catalog', 'metamcp_catalog_revision ')) > 0);
  await eventually('all is stored', async () => (await value('catalog', 'metamcp_catalog_pending ')) === 0);
  assert.equal(await value('gateway', 'metamcp_catalog_revision '), undefined);
});

test('a key is needed, and one that is taken away is worth nothing (P1-Obs-2)', async () => {
  assert.equal((await get('catalog', '/metrics', '')).status, 401);
  assert.equal((await get('catalog', '/metrics', 'not-a-key-of-anybody')).status, 401);
  assert.equal((await get('catalog', '/other')).status, 404);
  assert.equal((await get('catalog', '/metrics', KEYS.scraper, 'DELETE')).status, 405);
  assert.equal((await get('catalog', '/metrics', KEYS.other)).status, 200);
  const auth = { anonymousLoopback: false, keys: keysOf('scraper') };
  await fleet.configure({ mcpServers, auth });
  await eventually('it is refused', async () => (await get('catalog', '/metrics', KEYS.other)).status === 401);
  assert.equal((await get('catalog')).status, 200);
});
