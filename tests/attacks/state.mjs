// Handles, sessions, floods of them, the log, and addresses that others name.
import { KEYS, assert, attack, bearer, hostOf, inSession, modern, raw, send, session, sleep, statuses } from './lib.mjs';

const ping = JSON.stringify({ jsonrpc: '2.0', id: 5, method: 'ping' });
const list = (cursor) => JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'tools/list', params: { cursor } });
const flip = (text) => text.slice(0, -2) + (text.at(-2) === 'A' ? 'B' : 'A') + text.at(-1);

const add = (world, spec) => send(world.open.at('/api/v1/servers'), JSON.stringify({
  upstream: { meta: { name: `evil-${Math.random().toString(36).slice(2, 8)}` }, enabled: true, spec },
}));

export default [
  attack('handles', 'session ids that are made up, changed, cut and huge', '404 or 400', async (world) => {
    const id = await session(world.open.mcpUrl);
    for (const other of ['x', flip(id), id.slice(0, 10), `${id}A`, 'A'.repeat(10_000), '../../x']) {
      const answer = await send(world.open.mcpUrl, ping, { headers: inSession(other) });
      assert.ok([400, 404].includes(answer.status), `${other.slice(0, 20)}: ${answer.status}`);
    }
  }),
  attack('handles', 'the session of another principal', '404: it is bound', async (world) => {
    const id = await session(world.keyed.mcpUrl, bearer('operator'));
    const answer = await send(world.keyed.mcpUrl, ping, { headers: inSession(id, bearer('other')) });
    assert.ok([401, 403, 404].includes(answer.status), String(answer.status));
    const end = await send(world.keyed.mcpUrl, '', { method: 'DELETE', headers: inSession(id, bearer('other')) });
    assert.ok(end.status >= 400, String(end.status));
    const own = await send(world.keyed.mcpUrl, ping, { headers: inSession(id, bearer('operator')) });
    assert.equal(own.status, 200);
  }),
  attack('handles', 'a session of one virtual server at another', '404', async (world) => {
    const id = await session(world.open.mcpUrl);
    const answer = await send(world.open.at('/servers/few/mcp'), ping, { headers: inSession(id) });
    assert.ok([400, 404].includes(answer.status), String(answer.status));
  }),
  attack('handles', 'a session of another gateway', '404', async (world) => {
    const id = await session(world.keyed.mcpUrl, bearer('operator'));
    const answer = await send(world.open.mcpUrl, ping, { headers: inSession(id) });
    assert.ok([400, 404].includes(answer.status));
  }),
  attack('handles', 'cursors that are made up, changed, or of another list', '-32602', async (world) => {
    const headers = inSession(await session(world.open.mcpUrl));
    for (const cursor of ['x', 'AAAA', '0', '{"offset":-1}', 'A'.repeat(5000)]) {
      const answer = await send(world.open.mcpUrl, list(cursor), { headers });
      assert.equal(answer.json?.error?.code, -32602, answer.text.slice(0, 200));
    }
  }),
  attack('handles', 'a state of an unfinished call that is made up', 'refused', async (world) => {
    const answer = await modern(world.open.mcpUrl, 'tools/call', {
      name: 'target__echo', arguments: {}, requestState: 'AQhlZWVlZWVlZQ', inputResponses: {},
    });
    assert.ok(answer.json?.error, answer.text.slice(0, 200));
  }),
  attack('handles', 'event ids that are made up, with and without a session', 'refused or a fresh stream', async (world) => {
    for (const event of ['x', '999999', '../..', 'A'.repeat(3000)]) {
      const { text } = await raw(world.open.mcpUrl,
        `GET /mcp HTTP/1.1\r\nHost: ${hostOf(world.open.mcpUrl)}\r\nAccept: text/event-stream\r\nLast-Event-ID: ${event}\r\n\r\n`);
      assert.ok(statuses(text)[0] >= 400, text.slice(0, 60));
    }
  }),
  attack('handles', 'messages to another principal\'s HTTP+SSE stream', 'refused', async (world) => {
    const controller = new AbortController();
    const stream = await fetch(world.keyed.at('/sse'), {
      headers: { accept: 'text/event-stream', ...bearer('operator') }, signal: controller.signal,
    });
    const first = new TextDecoder().decode((await stream.body.getReader().read()).value);
    const path = first.match(/data: ?(\S+)/)[1];
    const answer = await send(world.keyed.at(path), ping, { headers: bearer('other') });
    assert.ok([401, 403, 404].includes(answer.status), String(answer.status));
    controller.abort();
  }),
  attack('handles', 'cancelling the call of another session', 'it goes on', async (world) => {
    const [mine, theirs] = [await session(world.open.mcpUrl), await session(world.open.mcpUrl)];
    const call = send(world.open.mcpUrl, JSON.stringify({
      jsonrpc: '2.0', id: 77, method: 'tools/call', params: { name: 'target__echo', arguments: { text: 'mine' } },
    }), { headers: inSession(mine) });
    await send(world.open.mcpUrl, JSON.stringify({
      jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 77 },
    }), { headers: inSession(theirs) });
    assert.match((await call).text, /mine/);
  }),
  attack('floods', 'more sessions than the limit', 'refused beyond it; those there live', async (world) => {
    const first = await session(world.keyed.mcpUrl, bearer('operator'));
    let refused = 0;
    for (let i = 0; i < 60; ++i) {
      const answer = await send(world.keyed.mcpUrl, JSON.stringify({
        jsonrpc: '2.0', id: 0, method: 'initialize',
        params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'x', version: '1' } },
      }), { headers: bearer('other') });
      refused += answer.status >= 400 || answer.json?.error ? 1 : 0;
    }
    assert.ok(refused > 0, 'sixty sessions where fifty are allowed');
    const answer = await send(world.keyed.mcpUrl, ping, { headers: inSession(first, bearer('operator')) });
    assert.ok([200, 404].includes(answer.status));
  }),
  attack('floods', '200 calls at once of a tool that sleeps, all abandoned', 'the next call is answered', async (world) => {
    const controller = new AbortController();
    const calls = Array.from({ length: 200 }, () => fetch(world.open.mcpUrl, {
      method: 'POST', signal: controller.signal,
      headers: {
        'content-type': 'application/json', accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'target__slow',
      },
      body: JSON.stringify({
        jsonrpc: '2.0', id: 1, method: 'tools/call',
        params: {
          name: 'target__slow', arguments: {},
          _meta: {
            'io.modelcontextprotocol/protocolVersion': '2026-07-28',
            'io.modelcontextprotocol/clientCapabilities': {},
          },
        },
      }),
    }).catch(() => {}));
    await sleep(500);
    controller.abort();
    await Promise.all(calls);
    const began = Date.now();
    const answer = await modern(world.open.mcpUrl, 'tools/call', { name: 'target__echo', arguments: { text: 'next' } });
    assert.match(answer.text, /next/);
    assert.ok(Date.now() - began < 5000, `${Date.now() - began} ms`);
  }),
  attack('server-side requests', 'servers with other schemes, users and line breaks in the URL', '400', async (world) => {
    for (const url of ['file:///etc/passwd', 'gopher://127.0.0.1:6379/', 'ftp://127.0.0.1/', 'http://a\r\nX: y/',
      'javascript:alert(1)', 'http://', '//127.0.0.1/', 'http:/127.0.0.1/', 'unix:/run/docker.sock']) {
      const answer = await add(world, { type: 'http', url });
      assert.ok(answer.status >= 400 && answer.status < 500, `${url}: ${answer.status} ${answer.text}`);
    }
  }),
  attack('server-side requests', 'a server at the metadata address, in all its spellings', 'never connected', async (world) => {
    for (const host of ['169.254.169.254', '[::ffff:169.254.169.254]', '[fd00:ec2::254]', '0xa9fea9fe', '2852039166', '169.254.43518']) {
      const answer = await send(world.open.at('/api/v1/servers/x/diagnose'), JSON.stringify({
        spec: { type: 'http', url: `http://${host}/mcp`, allowPlainHttp: true },
      }));
      assert.equal(answer.json?.ok ?? false, false, `${host}: ${answer.text}`);
      const connected = (answer.json?.steps ?? []).some((s) => s.step === 'connect' && s.outcome === 'ok');
      assert.ok(!connected, `${host}: ${answer.text}`);
    }
  }),
  attack('server-side requests', 'a login whose metadata is at a private address', 'refused', async (world) => {
    const { createServer } = await import('node:http');
    const server = createServer((_, response) => {
      response.writeHead(401, {
        'www-authenticate': 'Bearer resource_metadata="http://169.254.169.254/.well-known/oauth-protected-resource"',
      }).end();
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const answer = await send(world.open.at('/api/v1/servers/x/diagnose'), JSON.stringify({
        spec: { type: 'http', url: `http://127.0.0.1:${server.address().port}/mcp` },
      }));
      assert.ok(!(answer.json?.ok), answer.text);
    } finally {
      server.close();
    }
  }),
  attack('commands', 'a server by REST whose command has shell characters', 'no shell: the name is not found', async (world) => {
    for (const command of ['sh -c id', '$(id)', '`id`', 'a;id', '../../bin/sh\0']) {
      const answer = await send(world.open.at('/api/v1/servers/x/diagnose'), JSON.stringify({
        spec: { type: 'stdio', command },
      }));
      assert.ok(!answer.json?.ok, answer.text);
      assert.doesNotMatch(answer.text, /uid=/);
    }
  }),
  attack('commands', 'an unpinned package, and no sandbox, in production', 'refused with the mend', async (world) => {
    const answer = (spec) => send(world.keyed.at('/api/v1/servers/x/diagnose'), JSON.stringify({ spec }), {
      headers: bearer('admin'),
    });
    const unpinned = await answer({ type: 'stdio', command: 'npx', args: ['-y', 'some-server@latest'], sandbox: { profile: 'strict' } });
    assert.match(unpinned.text, /exact version/);
    const free = await answer({ type: 'stdio', command: '/usr/bin/true', sandbox: { profile: 'none' } });
    assert.match(free.text, /without a sandbox/);
  }),
  attack('commands', 'rules of a sandbox that open the whole machine', 'refused', async (world) => {
    for (const sandbox of [{ profile: 'strict', write: ['/'] }, { profile: 'strict', write: ['/srv/../'] },
      { profile: 'none', write: ['/srv'] }, { profile: 'made-up' }]) {
      const answer = await send(world.open.at('/api/v1/servers/x/diagnose'), JSON.stringify({
        spec: { type: 'stdio', command: '/usr/bin/true', sandbox },
      }));
      assert.match(answer.text, /sandbox/);
      assert.ok(!answer.json?.ok, answer.text);
    }
  }),
  attack('log', 'line breaks and control characters in names that are logged', 'every line is one JSON object', async (world) => {
    const evil = 'x"}\n{"level":"error","event":"forged"}\r\u001b[31m';
    await send(world.open.mcpUrl, JSON.stringify({
      jsonrpc: '2.0', id: 0, method: 'initialize',
      params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: evil, version: evil } },
    }));
    await modern(world.open.mcpUrl, 'tools/call', { name: evil, arguments: {} });
    await raw(world.open.mcpUrl, `GET /x%0a%7b HTTP/1.1\r\nHost: ${hostOf(world.open.mcpUrl)}\r\nUser-Agent: a\x1bb\r\n\r\n`);
    await sleep(200);
    for (const line of world.open.child.stderr.split('\n').slice(1).filter(Boolean)) {
      const entry = JSON.parse(line);
      assert.notEqual(entry.event, 'forged');
    }
  }),
  attack('log', 'keys, secrets and arguments', 'none of them is in the log', async (world) => {
    await modern(world.open.mcpUrl, 'tools/call', { name: 'target__echo', arguments: { text: 'argument-to-hide' } });
    await sleep(200);
    for (const gateway of [world.open, world.keyed]) {
      for (const secret of [...Object.values(KEYS), 'argument-to-hide', 'planted-secret', 'planted-value']) {
        assert.ok(!gateway.child.stderr.includes(secret), secret);
      }
    }
  }),
];
