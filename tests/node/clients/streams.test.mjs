// Legacy clients that break their connections in the middle of calls and come back with the last
// event id they saw: every call must still be answered, once, and to its own caller.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startFixture, startGateway, waitForTools } from '../lib/servers.mjs';
import { ERAS, direct } from '../lib/world.mjs';

const CLIENTS = 20;
const CALLS = 9;
const TOOLS = ['test_tool_with_progress', 'test_reconnection', 'test_simple_text'];
const idsIn = (text) => [...text.matchAll(/^id: ?(.*)$/gm)].map((match) => match[1]);
const answersIn = (text, id) => text.split(`"id":${id},"result"`).length - 1;

async function open(url) {
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
  };
  const params = {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'leaver', version: '1' },
  };
  const body = JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'initialize', params });
  const response = await fetch(url, { method: 'POST', headers, body });
  await response.text();
  return { ...headers, 'mcp-session-id': response.headers.get('mcp-session-id') };
}

// Reads the answer's text; `leaves` breaks the connection once an event id was seen.
async function begin(url, headers, id, leaves) {
  const params = { name: TOOLS[id % 3], arguments: {}, _meta: { progressToken: `p${id}` } };
  const response = await fetch(url, {
    method: 'POST',
    headers,
    body: JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params }),
  });
  const decoder = new TextDecoder();
  let text = '';
  for await (const piece of response.body) {
    text += decoder.decode(piece, { stream: true });
    // Leaving the body unread closes the connection.
    if (leaves && idsIn(text).length > 0 && answersIn(text, id) === 0) break;
  }
  return text;
}

async function call(url, headers, id, leaves) {
  let text = await begin(url, headers, id, leaves);
  for (let round = 0; answersIn(text, id) === 0; ++round) {
    const last = idsIn(text).at(-1);
    assert.ok(last && round < 50, `call ${id} got no answer: ${text}`);
    const response = await fetch(url, { headers: { ...headers, 'last-event-id': last } });
    assert.equal(response.status, 200);
    text += await response.text();
  }
  assert.equal(answersIn(text, id), 1, text);
}

async function client(url, number) {
  const headers = await open(url);
  for (let id = 1; id <= CALLS; ++id) {
    if (TOOLS[id % 3] !== 'test_simple_text') await call(url, headers, id, (id + number) % 2 === 0);
    else assert.equal(answersIn(await begin(url, headers, id, false), id), 1);
  }
  await (await fetch(url, { method: 'DELETE', headers })).text();
}

describe('broken connections of legacy clients', { skip: direct }, () => {
  for (const era of ERAS) {
    describe(`${era} upstream`, () => {
      let fixture;
      let gateway;
      before(async () => {
        fixture = await startFixture('--era', era);
        const mcpServers = { fixture: { type: 'http', url: fixture.url, era } };
        const virtualServers = { plain: { servers: ['fixture'], prefix: 'none' } };
        gateway = await startGateway({ mcpServers, virtualServers });
        await waitForTools(gateway.virtualUrl('plain'), TOOLS);
      });
      after(async () => {
        await gateway?.stop();
        await fixture?.stop();
      });
      test('every call is answered once', { timeout: 120000 }, async () => {
        const url = gateway.virtualUrl('plain');
        await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(url, number)));
      });
    });
  }
});
