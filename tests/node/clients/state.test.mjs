// Handles that the gateway gives to clients, abused: the state of an unfinished call, session ids,
// cursors, event ids. Another principal's, another method's, edited, truncated, too long, expired
// or replayed ones get the right error, burn nothing, and reach no upstream; and a key that joins
// the ring refuses nothing that is still valid.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { start } from '../../conformance/adapters/meta_mcp.mjs';
import { Client } from '../../conformance/client/client.mjs';
import { HANDLERS, clientCapabilities } from '../../conformance/features/questions.mjs';
import { eventually, pause } from '../../conformance/lib/wait.mjs';
import { startUpstreams } from '../../conformance/upstream/host.mjs';

const KEYS = { ada: 'key-of-ada-0123456789', eve: 'key-of-eve-0123456789' };
const LIFE_MS = 2500;
const SERVERS = [
  { name: 'modern', revision: '2026-07-28', transport: 'http' },
  { name: 'legacy', revision: '2025-11-25', transport: 'http' },
];
const settings = (questionTimeoutMs = 600000) => ({
  auth: {
    anonymousLoopback: false,
    keys: Object.entries(KEYS).map(([name, key]) => ({ name, key, roles: ['operator'] })),
  },
  gateway: { pageSize: 3 },
  connector: { questionTimeoutMs },
  virtualServers: { other: { servers: ['*'] } },
});

let upstreams;
let gateway;
let nonces = 0;

async function clientOf(who, revision, { path = '/mcp', of = gateway } = {}) {
  const client = new Client({
    revision,
    transport: 'http',
    capabilities: clientCapabilities(revision),
    handlers: HANDLERS,
    endpoint: {
      url: new URL(path, of.endpoint('http').url).href,
      headers: { authorization: `Bearer ${KEYS[who]}` },
    },
  });
  return client.open();
}

async function launch(options) {
  const started = await start({ upstreams: upstreams.describe(), ...options });
  const ada = await clientOf('ada', '2026-07-28', { of: started });
  const listed = async (server) => {
    const params = { name: `${server}__sum`, arguments: { a: 1, b: 1 } };
    return (await ada.request('tools/call', params)).result;
  };
  for (const { name } of SERVERS) await eventually(`${name} joins`, () => listed(name), 30000);
  return started;
}

before(async () => {
  upstreams = await startUpstreams(SERVERS);
  gateway = await launch({ settings: settings() });
});

after(async () => {
  await gateway?.stop();
  await upstreams?.stop();
});

// What an attacker does to an opaque text.
const middle = (text) => Math.floor(text.length / 2);
const flip = (text, at) => text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
const DAMAGES = {
  'edited at its start': (text) => flip(text, 0),
  'edited in the middle': (text) => flip(text, middle(text)),
  'edited at its end': (text) => flip(text, text.length - 2),
  'truncated by one': (text) => text.slice(0, -1),
  'truncated to half': (text) => text.slice(0, middle(text)),
  empty: () => '',
  'with more at its end': (text) => `${text}AAAA`,
  'over 8 KiB': (text) => text + 'A'.repeat(9000),
  'not of its alphabet': () => 'kein Zustand: ü',
};

// An unfinished call of `server`: what to send again, and its answers.
async function unfinished(client, server) {
  const nonce = `state-${(nonces += 1)}`;
  const params = { name: `${server}__asks`, arguments: { kind: 'form', nonce } };
  const { result } = await client.request('tools/call', params);
  assert.equal(result?.resultType, 'input_required', JSON.stringify(result));
  const [key] = Object.keys(result.inputRequests);
  const answers = (text) => ({ [key]: { action: 'accept', content: { answer: text } } });
  return { nonce, params, state: result.requestState, answers };
}

const refused = (reply, what) => {
  assert.equal(
    reply.error?.code, -32602, `${what}: ${JSON.stringify(reply.result ?? reply.error)}`);
  assert.equal(reply.error.data?.reason ?? 'STATE_INVALID', 'STATE_INVALID', what);
};

for (const { name: server, revision } of SERVERS) {
  describe(`requestState of a call to a ${revision} server`, { timeout: 60000 }, () => {
    test('is refused when abused, and still good for its owner', async () => {
      const ada = await clientOf('ada', '2026-07-28');
      const eve = await clientOf('eve', '2026-07-28');
      const elsewhere = await clientOf('ada', '2026-07-28', { path: '/servers/other/mcp' });
      const { nonce, params, state, answers } = await unfinished(ada, server);
      const up = upstreams.servers.get(server);
      const seen = up.received.length;
      const retry = (client, changes = {}) =>
        client.request('tools/call', {
          ...params,
          inputResponses: answers('mine'),
          requestState: state,
          ...changes,
        });
      refused(await retry(eve), 'of another principal');
      refused(await retry(elsewhere), 'of another virtual server');
      refused(await retry(ada, { name: `${server}__echo` }), 'of another tool');
      const more = { ...params.arguments, more: 1 };
      refused(await retry(ada, { arguments: more }), 'of other arguments');
      const prompt = { name: `${server}__greets`, arguments: { who: 'x' }, requestState: state };
      refused(await ada.request('prompts/get', prompt), 'of another method');
      for (const [what, damage] of Object.entries(DAMAGES))
        refused(await retry(ada, { requestState: damage(state) }), what);
      const { error } = await retry(ada, { requestState: 7 });
      assert.equal(error?.code, -32602, 'not a string');
      const reached = up.received.entries.slice(seen).map(({ message }) => message.method);
      assert.deepEqual(reached, [], 'an abused state reached the upstream');
      const done = await retry(ada);
      assert.match(done.result?.content[0].text ?? '', new RegExp(`${nonce}.*mine`));
    });

    test('works once, and what was lost on the way is given again', async () => {
      const ada = await clientOf('ada', '2026-07-28');
      const { nonce, params, state, answers } = await unfinished(ada, server);
      const up = upstreams.servers.get(server);
      const retry = (text) => ada.request(
        'tools/call', { ...params, inputResponses: answers(text), requestState: state });
      const first = await retry('mine');
      assert.match(first.result.content[0].text, /mine/);
      const again = await retry('mine');
      assert.deepEqual(again.result.content, first.result.content, 'the same answers');
      if (up.modern) return; // such a server keeps its own account of its states
      refused(await retry('other'), 'other answers');
      const executed = up.answers.entries.filter((each) => each.nonce === nonce);
      assert.equal(executed.length, 1, 'executed once');
    });
  });
}

test('requestState expires', { timeout: 60000 }, async () => {
  const brief = await launch({ settings: settings(LIFE_MS) });
  try {
    const ada = await clientOf('ada', '2026-07-28', { of: brief });
    const calls = {};
    for (const { name } of SERVERS) calls[name] = await unfinished(ada, name);
    await pause(LIFE_MS + 200);
    for (const [name, { params, state, answers }] of Object.entries(calls)) {
      const late = { ...params, inputResponses: answers('late'), requestState: state };
      refused(await ada.request('tools/call', late), `an expired state of ${name}`);
    }
    const { nonce } = calls.legacy;
    const up = upstreams.servers.get('legacy');
    const ended = await up.answers.wait('the end of the question', (each) => each.nonce === nonce);
    assert.equal(ended.result?.action, 'cancel', 'the server does not wait for ever');
  } finally {
    await brief.stop();
  }
});

describe('session ids', { timeout: 60000 }, () => {
  const use = async (who, session, path = '/mcp') => {
    const response = await fetch(new URL(path, gateway.endpoint('http').url), {
      method: 'POST',
      headers: {
        authorization: `Bearer ${KEYS[who]}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2025-11-25',
        'mcp-session-id': session,
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' }),
    });
    await response.text();
    return response.status;
  };

  test('are good for their owner and their endpoint, until they end', async () => {
    const ada = await clientOf('ada', '2025-11-25');
    const session = ada.wire.headers['mcp-session-id'];
    assert.match(session, /^[\x21-\x7e]+$/);
    assert.equal(await use('eve', session), 404, 'of another principal');
    assert.equal(await use('ada', session, '/servers/other/mcp'), 404, 'of another endpoint');
    for (const [what, damage] of Object.entries(DAMAGES)) {
      if (what === 'empty' || what === 'not of its alphabet') continue; // no header value
      assert.equal(await use('ada', damage(session)), 404, what);
    }
    assert.equal(await use('ada', 'x'.repeat(60000)).catch(() => 431), 431, 'a huge header');
    assert.equal(await use('ada', session), 200, 'still good');
    await ada.close();
    assert.equal(await use('ada', session), 404, 'ended');
  });

  test('event ids tell nobody what another was told', async () => {
    const ada = await clientOf('ada', '2025-11-25');
    const eve = await clientOf('eve', '2025-11-25');
    const listen = (client, who, lastEventId) =>
      fetch(gateway.endpoint('http').url, {
        headers: {
          authorization: `Bearer ${KEYS[who]}`,
          accept: 'text/event-stream',
          'mcp-protocol-version': '2025-11-25',
          'mcp-session-id': client.wire.headers['mcp-session-id'],
          'last-event-id': lastEventId,
        },
        signal: AbortSignal.timeout(300),
      });
    // The id of an event on the stream of a call.
    const response = await fetch(gateway.endpoint('http').url, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${KEYS.ada}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2025-11-25',
        'mcp-session-id': ada.wire.headers['mcp-session-id'],
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 'secret-call',
        method: 'tools/call',
        params: {
          name: 'legacy__counts',
          arguments: { label: 'secret-label' },
          _meta: { progressToken: 'secret-token' },
        },
      }),
    });
    const stream = await response.text();
    const id = /^id: ?(.+)$/m.exec(stream)?.[1];
    assert.ok(id, `no event id in ${stream}`);
    const attempts = [
      [eve, 'eve', id],
      [ada, 'ada', flip(id, 0)],
      [ada, 'ada', id.slice(0, 3)],
      [ada, 'ada', `${id}${'1'.repeat(9000)}`],
    ];
    for (const [client, who, given] of attempts) {
      const answered = await listen(client, who, given);
      assert.ok([200, 400, 404].includes(answered.status), `${answered.status} for ${given}`);
      const text = await answered.text().catch(() => '');
      assert.ok(!text.includes('secret'), `${who} was told ${text}`);
    }
    const stolen = await listen(ada, 'eve', id);
    assert.equal(stolen.status, 404, "with another's session, too");
    await stolen.text();
  });
});

test('cursors are of one list and one principal', { timeout: 60000 }, async () => {
  const ada = await clientOf('ada', '2026-07-28');
  const eve = await clientOf('eve', '2026-07-28');
  const elsewhere = await clientOf('ada', '2026-07-28', { path: '/servers/other/mcp' });
  const { result } = await ada.request('tools/list', {});
  const cursor = result.nextCursor;
  assert.ok(cursor, 'there is a second page');
  const bad = async (client, given, what, method = 'tools/list') => {
    const { error } = await client.request(method, { cursor: given });
    assert.equal(error?.code, -32602, what);
  };
  await bad(eve, cursor, 'of another principal');
  await bad(elsewhere, cursor, 'of another virtual server');
  await bad(ada, cursor, 'of another method', 'prompts/list');
  for (const [what, damage] of Object.entries(DAMAGES)) await bad(ada, damage(cursor), what);
  const second = await ada.request('tools/list', { cursor });
  assert.ok(second.result.tools.length > 0, 'still good');
});

// Puts a new key at the head of the ring of the gateway in `directory`.
function addKey(directory, kid) {
  const file = join(directory, 'data', 'keys.json');
  const ring = JSON.parse(readFileSync(file, 'utf8'));
  ring.keys.unshift({ kid, key: randomBytes(32).toString('base64') });
  writeFileSync(file, JSON.stringify(ring));
}

test('a key that comes while it runs refuses nothing', { timeout: 60000 }, async () => {
  const ada = await clientOf('ada', '2026-07-28');
  const calls = [];
  for (const { name } of SERVERS) calls.push(await unfinished(ada, name));
  const legacy = await clientOf('ada', '2025-11-25');
  const cursor = (await ada.request('tools/list', {})).result.nextCursor;
  addKey(gateway.directory, 'live');
  await eventually('the key is read', () => gateway.child.stderr.includes('keys.reloaded'));
  for (const { nonce, params, state, answers } of calls) {
    const retry = { ...params, inputResponses: answers('after'), requestState: state };
    const { result, error } = await ada.request('tools/call', retry);
    assert.match(result?.content[0].text ?? JSON.stringify(error), new RegExp(`${nonce}.*after`));
  }
  assert.ok((await legacy.request('tools/list', {})).result?.tools.length > 0, 'the session');
  assert.ok((await ada.request('tools/list', { cursor })).result?.tools.length > 0, 'the cursor');
  const fresh = await unfinished(ada, 'legacy');
  assert.notEqual(fresh.state.slice(0, 12), calls[1].state.slice(0, 12), 'the new key seals');
});

test('a new key refuses nothing that is still valid', { timeout: 90000 }, async () => {
  const legacy = await clientOf('ada', '2025-11-25');
  const session = legacy.wire.headers['mcp-session-id'];
  let ada = await clientOf('ada', '2026-07-28');
  const { nonce, params, state, answers } = await unfinished(ada, 'modern');
  const cursor = (await ada.request('tools/list', {})).result.nextCursor;
  const { directory } = gateway;
  await gateway.stop({ keep: true });
  addKey(directory, 'next');
  gateway = await launch({ settings: settings(), directory });

  ada = await clientOf('ada', '2026-07-28');
  const retry = { ...params, inputResponses: answers('after'), requestState: state };
  const done = await ada.request('tools/call', retry);
  assert.match(
    done.result?.content[0].text ?? JSON.stringify(done.error), new RegExp(`${nonce}.*after`));
  const second = await ada.request('tools/list', { cursor });
  assert.ok(second.result?.tools.length > 0, 'the cursor');
  legacy.wire.url = gateway.endpoint('http').url;
  const listed = await legacy.request('tools/list', {});
  assert.ok(listed.result?.tools.length > 0, `the session ${session.slice(0, 8)}…`);
  const fresh = await unfinished(ada, 'modern');
  assert.notEqual(fresh.state.slice(0, 12), state.slice(0, 12), 'the new key seals');
});
