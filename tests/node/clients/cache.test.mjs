// Resources that are read again: by whom, for how long, and who is asked.
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { gatewayBinary } from '../lib/paths.mjs';
import { modernRequest, startGateway, waitForItems } from '../lib/servers.mjs';
import { eventually } from '../../conformance/lib/wait.mjs';

const KEYS = { ada: 'key-of-ada-0123456789', bob: 'key-of-bob-0123456789' };
const fixture = (name, ...args) => ({
  command: join(dirname(gatewayBinary()), 'metamcp-fixture-stdio'),
  args: ['--name', name, '--resource-ttl', '600000', ...args],
});
const uriOf = (name) => `test://${name}/count`;

let gateway;
before(async () => {
  gateway = await startGateway({
    auth: {
      anonymousLoopback: false,
      keys: Object.entries(KEYS).map(([name, key]) => ({ name, key, roles: ['operator'] })),
    },
    cache: { backend: 'database', resources: ['old 60'] },
    mcpServers: {
      open: fixture('open', '--era', 'modern', '--resource-scope', 'public'),
      own: fixture('own', '--era', 'modern'),
      old: fixture('old', '--era', 'legacy'),
    },
  });
  const uris = ['open', 'own', 'old'].map(uriOf);
  await waitForItems(gateway.mcpUrl, 'resources/list', uris, { headers: as('ada') });
});
after(() => gateway?.stop());

const as = (who) => ({ authorization: `Bearer ${KEYS[who]}` });
const ask = (who, method, params) => modernRequest(gateway.mcpUrl, method, params, { headers: as(who) });

async function read(who, name) {
  const { result, error } = await ask(who, 'resources/read', { uri: uriOf(name) });
  assert.ok(result, JSON.stringify(error));
  return { count: Number(result.contents[0].text), ttlMs: result.ttlMs };
}

test('what a server calls public is given again to everybody (P1-Res-4)', async () => {
  const first = await read('ada', 'open');
  assert.deepEqual(first, { count: 1, ttlMs: 600000 });
  // It is stored beside the answer.
  await eventually('it is kept', async () => (await read('bob', 'open')).ttlMs < 600000);
  const { count } = await read('bob', 'open');
  for (const who of ['ada', 'bob', 'ada']) assert.equal((await read(who, 'open')).count, count);
});

test('what it calls private is given again to who asked (P1-Res-4)', async () => {
  const kept = {};
  for (const who of ['ada', 'bob']) {
    await eventually('it is kept', async () => {
      const { count, ttlMs } = await read(who, 'own');
      kept[who] = count;
      return ttlMs < 600000;
    });
  }
  assert.notEqual(kept.ada, kept.bob);
  for (const who of ['ada', 'bob', 'ada']) assert.equal((await read(who, 'own')).count, kept[who]);
});

test('for a server that says nothing the operator decides; an update ends it (P1-Res-4)', async () => {
  const settled = () =>
    eventually('it is kept', async () => {
      const { count } = await read('ada', 'old');
      return (await read('ada', 'old')).count === count && count;
    });
  const before = await settled();
  assert.notEqual((await read('bob', 'old')).count, before);
  const { result } = await ask('ada', 'tools/call', { name: 'old__update', arguments: {} });
  assert.ok(result);
  await eventually('it is read anew', async () => (await read('ada', 'old')).count > before);
});
