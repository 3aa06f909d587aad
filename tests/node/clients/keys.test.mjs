// A key that the configuration loses, or that changes, is worth nothing at once: new requests are
// refused, and what its holder has open ends. Everybody else's goes on.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Client } from '../../conformance/client/client.mjs';
import { eventually, within } from '../../conformance/lib/wait.mjs';
import { startGateway } from '../lib/servers.mjs';

const KEYS = { ada: 'key-of-ada-0123456789', eve: 'key-of-eve-0123456789' };
const META = 'io.modelcontextprotocol/';
const keysOf = (names, changes = {}) =>
  names.map((name) => ({ name, key: KEYS[name], roles: ['operator'], ...changes[name] }));
const authorization = (who) => ({ authorization: `Bearer ${KEYS[who]}` });

let gateway;

before(async () => {
  const auth = { anonymousLoopback: false, keys: keysOf(['ada', 'eve']) };
  gateway = await startGateway({ auth });
});
after(() => gateway?.stop());

function setKeys(keys) {
  const file = join(gateway.directory, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8'));
  config.auth.keys = keys;
  writeFileSync(file, JSON.stringify(config));
}

const body = (message) => JSON.stringify({ jsonrpc: '2.0', ...message });

// Resolves when the body has ended, however it ends.
async function ended(response) {
  try {
    for await (const _ of response.body) continue;
  } catch {
    // A connection that is cut is an end, too.
  }
}

const urlOf = (transport) => {
  if (transport === 'http') return gateway.mcpUrl;
  return gateway.at(`/${transport}`).replace(/^http/, transport === 'ws' ? 'ws' : 'http');
};

async function connect(who, transport, revision) {
  const endpoint = { url: urlOf(transport), headers: authorization(who) };
  return new Client({ revision, transport, capabilities: {}, handlers: {}, endpoint }).open();
}

// What one principal holds open: by name, a promise of its end, and whether it came.
async function holdAll(who) {
  const url = urlOf('http');
  const held = {};
  const hold = (name, end) => {
    held[name] = { over: false };
    held[name].end = end.then(() => (held[name].over = true));
  };
  // The proxy in front of two gateways passes no WebSockets on.
  if (process.env.METAMCP_SHAPE !== 'replicas') {
    const { socket } = (await connect(who, 'ws', '2025-11-25')).wire;
    hold('WebSocket', new Promise((resolve) => socket.addEventListener('close', resolve)));
  }

  const sse = await fetch(urlOf('sse'), {
    headers: { accept: 'text/event-stream', ...authorization(who) },
  });
  assert.equal(sse.status, 200);
  hold('HTTP+SSE', ended(sse));

  const get = await fetch(url, {
    headers: {
      accept: 'text/event-stream',
      'mcp-protocol-version': '2025-06-18',
      'mcp-session-id': await plainSession(who),
      ...authorization(who),
    },
  });
  assert.equal(get.status, 200);
  hold('GET stream', ended(get));

  const listen = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': 'subscriptions/listen',
      ...authorization(who),
    },
    body: body({
      id: 1,
      method: 'subscriptions/listen',
      params: {
        notifications: { toolsListChanged: true },
        _meta: { [`${META}protocolVersion`]: '2026-07-28', [`${META}clientCapabilities`]: {} },
      },
    }),
  });
  assert.equal(listen.status, 200);
  hold('listen', ended(listen));

  const events = await fetch(gateway.at('/api/v1/events'), { headers: authorization(who) });
  assert.equal(events.status, 200);
  hold('operators\' events', ended(events));
  return held;
}

// A session whose GET stream nobody has opened yet.
async function plainSession(who) {
  const params = {
    protocolVersion: '2025-06-18',
    capabilities: {},
    clientInfo: { name: 'keys', version: '1' },
  };
  const response = await fetch(urlOf('http'), {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...authorization(who),
    },
    body: body({ id: 1, method: 'initialize', params }),
  });
  await response.text();
  return response.headers.get('mcp-session-id');
}

const statusOf = async (who) => {
  const response = await fetch(gateway.at('/api/v1/status'), {
    headers: authorization(who),
  });
  await response.text();
  return response.status;
};

const CHANGES = {
  'is taken away': () => keysOf(['eve']),
  'has other rights': () => keysOf(['ada', 'eve'], { ada: { roles: ['viewer'] } }),
};

for (const [how, keys] of Object.entries(CHANGES)) {
  test(`a key that ${how} ends what its holder has open (M-FR-003.2)`, async () => {
    setKeys(keysOf(['ada', 'eve']));
    await eventually('both keys hold', async () => (await statusOf('ada')) === 200);
    const ada = await holdAll('ada');
    const eve = await holdAll('eve');
    setKeys(keys());
    for (const [name, { end }] of Object.entries(ada)) await within(end, `the end of ${name}`);
    assert.equal(await statusOf('ada'), how === 'is taken away' ? 401 : 200);
    assert.equal(await statusOf('eve'), 200);
    const lost = Object.entries(eve).filter(([, { over }]) => over);
    assert.deepEqual(lost, [], 'what another has open ended, too');
  });
}

test('a file with a mistake takes no key away (M-FR-003.2)', async () => {
  setKeys(keysOf(['ada', 'eve']));
  await eventually('both keys hold', async () => (await statusOf('ada')) === 200);
  setKeys([{ name: 'ada', key: 'short' }]);
  await eventually(
    'the mistake is said', () => gateway.child.stderr.includes('config.reload_failed'));
  assert.equal(await statusOf('ada'), 200);
  assert.equal(await statusOf('eve'), 200);
});
