// `meta-mcp translate` between the official clients and servers, and the variables of wrappers.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gatewayBinary, NODE } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';
import { SDKS } from '../lib/sdk.mjs';
import {
  EVERYTHING,
  FILESYSTEM,
  fixtureStdio,
  startFixture,
  startTranslate,
} from '../lib/servers.mjs';

const skip = process.env.METAMCP_TARGET === 'fixture';
const [v1] = SDKS;
const modern = SDKS.find((each) => each.era === 'modern');
const quoted = ({ command, args }) => [command, ...args].map((word) => `'${word}'`).join(' ');

// Connects, lists and calls. Resolves with how many tools there are.
async function works(sdk, endpoint) {
  const session = await sdk.connect(endpoint, {});
  try {
    const { tools } = await session.client.listTools();
    assert.ok(tools.some((each) => each.name === 'test_simple_text'));
    const { content } = await session.callTool({ name: 'test_simple_text', arguments: {} });
    assert.ok(content[0].text.length > 0);
    return tools.length;
  } finally {
    await session.close();
  }
}

describe('translate (P1-Bridge-1)', { skip }, () => {
  test('serves a program over every transport', { timeout: 120000 }, async () => {
    const flags = ['--expose-sse', '--expose-streamable-http', '--expose-ws'];
    const carried = await startTranslate(['--stdio', quoted(fixtureStdio()), ...flags]);
    try {
      await works(v1, { sse: carried.sse });
      await works(v1, { url: carried.mcp });
      await works(v1, { ws: carried.ws });
      await works(modern, { url: carried.mcp });
      await works(modern, { sse: carried.sse });
      const rest = await fetch(new URL('/api/v1/servers', carried.mcp));
      assert.equal(rest.status, 404);
    } finally {
      await carried.stop();
    }
  });

  test('serves at chosen paths, with a key, without sessions', { timeout: 120000 }, async () => {
    const key = 'a-key-of-this-test-only';
    const program = quoted({ command: NODE, args: [EVERYTHING, 'stdio'] });
    const paths = ['--ssePath', '/events', '--messagePath', '/in', '--expose-sse'];
    const http = ['--expose-streamable-http', '--stateless', '--jsonResponse', '--token', key];
    process.env.META_MCP_TOKEN = 'of-another-gateway';
    process.env.OF_THE_PROGRAM = 'kept';
    const carried = await startTranslate(['--stdio', program, ...paths, ...http]);
    try {
      assert.match(carried.sse, /\/events$/);
      assert.equal((await fetch(carried.sse)).status, 401);
      const headers = {
        authorization: `Bearer ${key}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      };
      const call = (params) => {
        const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });
        return fetch(carried.mcp, { method: 'POST', headers, body });
      };
      const response = await call({ name: 'echo', arguments: { message: 'hello' } });
      assert.equal(response.headers.get('content-type'), 'application/json');
      assert.equal(response.headers.get('mcp-session-id'), null);
      assert.match(await response.text(), /Echo: hello/);
      const environment = await (await call({ name: 'get-env', arguments: {} })).text();
      assert.match(environment, /OF_THE_PROGRAM/);
      assert.doesNotMatch(environment, /META_MCP_TOKEN/);
    } finally {
      delete process.env.META_MCP_TOKEN;
      delete process.env.OF_THE_PROGRAM;
      await carried.stop();
    }
  });

  test('makes a program of a URL, as stdio does', { timeout: 180000 }, async () => {
    const fixture = await startFixture('--era', 'legacy');
    const flags = ['--expose-sse', '--expose-ws'];
    const carried = await startTranslate(['--connect-streamable-http', fixture.url, ...flags]);
    const files = await startTranslate(['--stdio', quoted({ command: NODE, args: [FILESYSTEM, '.'] })]);
    const command = gatewayBinary();
    const wrapper = (variables) => {
      const env = { PATH: process.env.PATH, HOME: process.env.HOME, ...variables };
      return { command, args: ['stdio'], env };
    };
    try {
      const translated = { command, args: ['translate', '--connect-sse', carried.sse] };
      await works(v1, translated);
      await works(modern, translated);
      await works(v1, { command, args: ['translate', '--connect-ws', carried.ws] });
      await works(v1, wrapper({ MCP_SERVER_URL: carried.sse, CONCURRENCY: '4' }));
      await works(v1, wrapper({ MCP_SERVER_URL: carried.ws, MCP_TOOL_CALL_TIMEOUT: '20' }));
      const alone = await works(v1, { command, args: ['stdio', '--url', carried.sse] });
      const urls = `${carried.sse}, ${files.sse}`;
      const both = wrapper({ MCP_SERVER_CATALOG_URLS: urls });
      assert.ok((await works(v1, both)) > alone);
    } finally {
      await files.stop();
      await carried.stop();
      await fixture.stop();
    }
  });

  test('speaks with a client that is a program', { timeout: 60000 }, async () => {
    const carried = await startTranslate(['--stdio', quoted(fixtureStdio())]);
    const list =
      `const say = (m) => console.log(JSON.stringify({ jsonrpc: '2.0', ...m }));` +
      `const { stdin, stderr } = process; stdin.setEncoding('utf8');` +
      `stdin.on('data', (text) => text.includes('test_simple_text') && (stderr.write(text), process.exit()));` +
      `const clientInfo = { name: 'c', version: '1' };` +
      `const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo };` +
      `say({ id: 1, method: 'initialize', params });` +
      `say({ id: 2, method: 'tools/list' });`;
    try {
      const client = quoted({ command: NODE, args: ['-e', list.replaceAll("'", '"')] });
      const args = ['translate', '--connect-sse', carried.sse, '--stdioCommand', client];
      const { code, stderr } = await run(gatewayBinary(), args, { timeoutMs: 30000 });
      assert.equal(code, 0, stderr);
      assert.match(stderr, /test_simple_text/);
    } finally {
      await carried.stop();
    }
  });

  test('refuses by name what it has not', { timeout: 60000 }, async () => {
    const refused = [
      [['--grpc', 'h:1'], /--grpc is not supported/],
      [['--stdio', 'x', '--enable-dynamic-env'], /--enable-dynamic-env is not supported/],
      [['--stdio', 'x', '--header-to-env', 'A=B'], /--header-to-env is not supported/],
      [[], /name the server/],
      [['--stdio', 'x', '--host', '0.0.0.0'], /nobody needs a key/],
    ];
    for (const [args, why] of refused) {
      const program = ['translate', '--port', '0', ...args];
      const { code, stderr } = await run(gatewayBinary(), program, { timeoutMs: 20000 });
      assert.equal(code, 2, stderr);
      assert.match(stderr, why);
    }
  });
});
