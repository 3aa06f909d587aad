// Batches, which only clients of 2025-03-26 may send: calls to servers of both eras run at once,
// what happens meanwhile comes on the batch's stream, and the results come together.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from '../../conformance/adapters/meta_mcp.mjs';
import { Client } from '../../conformance/client/client.mjs';
import { HANDLERS, clientCapabilities } from '../../conformance/features/questions.mjs';
import { readEvents } from '../../conformance/lib/sse.mjs';
import { eventually } from '../../conformance/lib/wait.mjs';
import { startUpstreams } from '../../conformance/upstream/host.mjs';

const SERVERS = [
  { name: 'modern', revision: '2026-07-28', transport: 'http' },
  { name: 'legacy', revision: '2025-03-26', transport: 'stdio' },
];
const call = (id, name, args, meta) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, arguments: args, ...(meta && { _meta: meta }) },
});
const textOf = ({ result }) => result.content[0].text;

let upstreams;
let gateway;
let client;

function post(body, revision = '2025-03-26', session = client.wire.headers['mcp-session-id']) {
  return fetch(gateway.endpoint('http').url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-session-id': session,
      ...(revision > '2025-03-26' && { 'mcp-protocol-version': revision }),
    },
    body: JSON.stringify(body),
  });
}

const open = (revision) =>
  new Client({
    revision,
    transport: 'http',
    capabilities: clientCapabilities(revision),
    handlers: HANDLERS,
    endpoint: gateway.endpoint('http'),
  }).open();

before(async () => {
  upstreams = await startUpstreams(SERVERS);
  gateway = await start({ upstreams: upstreams.describe() });
  client = await open('2025-03-26');
  for (const { name } of SERVERS) {
    const params = { name: `${name}__sum`, arguments: { a: 1, b: 1 } };
    const joined = async () => (await client.request('tools/call', params)).result;
    await eventually(`${name} joins`, joined, 30000);
  }
});

after(async () => {
  await client?.close();
  await gateway?.stop();
  await upstreams?.stop();
});

test('results of a batch come together, each under its id (A-L2.P2)', async () => {
  const response = await post([
    call(1, 'modern__sum', { a: 1, b: 2 }),
    call('two', 'legacy__sum', { a: 3, b: 4 }),
    { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 99 } },
    17,
  ]);
  assert.equal(response.status, 200);
  const answers = await response.json();
  assert.equal(answers.length, 3);
  assert.equal(textOf(answers.find(({ id }) => id === 1)), '{"sum":3}');
  assert.equal(textOf(answers.find(({ id }) => id === 'two')), '{"sum":7}');
  assert.equal(answers.find(({ id }) => id === null).error.code, -32600);
});

test('progress and questions come before them on its stream (A-L2.P2)', async () => {
  const response = await post([
    call(3, 'legacy__counts', { label: 'batch' }, { progressToken: 'token' }),
    call(4, 'modern__asks', { kind: 'sampling', nonce: 'batch' }),
  ]);
  assert.match(response.headers.get('content-type'), /event-stream/);
  const seen = { progress: 0, asked: 0 };
  for await (const { data } of readEvents(response.body)) {
    const message = JSON.parse(data);
    if (Array.isArray(message)) {
      assert.equal(textOf(message.find(({ id }) => id === 3)), 'counted batch');
      assert.match(textOf(message.find(({ id }) => id === 4)), /re batch/);
      assert.deepEqual(seen, { progress: 3, asked: 1 });
      return;
    }
    if (message.method === 'notifications/progress') {
      assert.equal(message.params.progressToken, 'token');
      seen.progress += 1;
    } else {
      seen.asked += 1;
      const result = HANDLERS[message.method](message.params);
      const { status } = await post([{ jsonrpc: '2.0', id: message.id, result }]);
      assert.equal(status, 202);
    }
  }
  assert.fail('the stream ended without the results');
});

test('what is no batch of 2025-03-26 is refused (A-L2.P2)', async () => {
  const ping = { jsonrpc: '2.0', id: 1, method: 'ping' };
  const newer = await open('2025-06-18');
  const of = newer.wire.headers['mcp-session-id'];
  assert.equal((await post([ping], '2025-06-18', of)).status, 400, 'of another revision');
  await newer.close();
  assert.equal((await post([])).status, 400, 'an empty one');
  const huge = Array.from({ length: 500 }, (_, id) => ({ ...ping, id }));
  assert.equal((await post(huge)).status, 400, 'a huge one');
});
