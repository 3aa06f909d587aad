// Credentials and browsers.
import { createServer } from 'node:http';
import { KEYS, assert, attack, bearer, hostOf, listing, modern, modernHeaders, post, raw, send, statuses }
  from './lib.mjs';

const denied = async (world, headers, status = 401) => {
  const answer = await modern(world.keyed.mcpUrl, 'tools/list', {}, { headers });
  assert.equal(answer.status, status, answer.text);
  return answer;
};
const b64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

export default [
  attack('credentials', 'no credential', '401 with a challenge', async (world) => {
    const answer = await denied(world, {});
    assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer/i);
  }),
  attack('credentials', 'a wrong key of the right length', '401', (world) =>
    denied(world, { authorization: `Bearer ${KEYS.admin.replace(/f$/, 'e')}` })),
  attack('credentials', 'the beginning of a key, and a key with something behind it', '401', async (world) => {
    await denied(world, { authorization: `Bearer ${KEYS.admin.slice(0, -1)}` });
    await denied(world, { authorization: `Bearer ${KEYS.admin}x` });
  }),
  attack('credentials', 'an empty key, and the word Bearer alone', '401', async (world) => {
    await denied(world, { authorization: 'Bearer ' });
    await denied(world, { authorization: 'Bearer' });
  }),
  attack('credentials', 'a key in the URL', '401', async (world) => {
    for (const name of ['token', 'access_token', 'key', 'authorization']) {
      const url = `${world.keyed.mcpUrl}?${name}=${KEYS.admin}`;
      const answer = await send(url, listing, { headers: modernHeaders('tools/list') });
      assert.equal(answer.status, 401);
    }
  }),
  attack('credentials', 'two Authorization fields, the second one good', 'refused', async (world) => {
    const fields = `Authorization: Bearer wrong-key-0123456789\r\nAuthorization: Bearer ${KEYS.admin}\r\n`;
    const { text } = await raw(world.keyed.mcpUrl, post(world.keyed.mcpUrl, listing, fields));
    assert.ok([400, 401].includes(statuses(text)[0]), text);
  }),
  attack('credentials', 'a JWT with alg none that names an admin', '401', (world) =>
    denied(world, {
      authorization: `Bearer ${b64({ alg: 'none' })}.${b64({ sub: 'root', roles: ['admin'] })}.`,
    })),
  attack('credentials', 'a JWT signed with an empty HMAC secret', '401', async (world) => {
    const { createHmac } = await import('node:crypto');
    const head = `${b64({ alg: 'HS256', typ: 'JWT' })}.${b64({ sub: 'root', roles: ['admin'], exp: 9e9 })}`;
    const signature = createHmac('sha256', '').update(head).digest('base64url');
    await denied(world, { authorization: `Bearer ${head}.${signature}` });
  }),
  attack('credentials', 'a bearer token of 30 KB', 'refused, the gateway lives', async (world) => {
    const answer = await modern(world.keyed.mcpUrl, 'tools/list', {}, {
      headers: { authorization: `Bearer ${'a'.repeat(30_000)}` },
    });
    assert.ok([401, 431].includes(answer.status), String(answer.status));
  }),
  attack('credentials', 'a wrong key where none is needed', '401: it is no anonymous request', async (world) => {
    const answer = await modern(world.open.mcpUrl, 'tools/list', {}, {
      headers: { authorization: 'Bearer wrong-key-0123456789' },
    });
    assert.equal(answer.status, 401);
  }),
  attack('credentials', 'fields that claim a proxied request is local', '401', async (world) => {
    for (const name of ['x-forwarded-for', 'x-real-ip', 'forwarded', 'x-forwarded-host']) {
      const answer = await modern(world.open.mcpUrl, 'tools/list', {}, {
        headers: { [name]: name === 'forwarded' ? 'for=127.0.0.1' : '127.0.0.1' },
      });
      assert.equal(answer.status, 401, name);
    }
  }),
  attack('roles', 'a viewer adds a server', '403, nothing is added', async (world) => {
    const url = world.keyed.at('/api/v1/servers');
    const body = JSON.stringify({
      upstream: { meta: { name: 'evil' }, spec: { type: 'stdio', command: '/bin/sh' } },
    });
    assert.equal((await send(url, body, { headers: bearer('viewer') })).status, 403);
    assert.equal((await send(url, body, { headers: bearer('operator') })).status, 403);
    const list = await send(url, '', { method: 'GET', headers: bearer('admin') });
    assert.doesNotMatch(list.text, /evil/);
  }),
  attack('roles', 'a viewer writes by a method in a header', 'no change', async (world) => {
    const url = world.keyed.at('/api/v1/servers/target');
    for (const name of ['x-http-method-override', 'x-method-override', 'x-http-method']) {
      await send(url, '', { method: 'GET', headers: { ...bearer('viewer'), [name]: 'DELETE' } });
    }
    const answer = await send(url, '', { method: 'GET', headers: bearer('viewer') });
    assert.equal(answer.status, 200, answer.text);
  }),
  attack('roles', 'an operator sets, lists and removes secrets', 'only the list, without values', async (world) => {
    const url = world.keyed.at('/api/v1/secrets/STOLEN');
    const body = JSON.stringify({ value: 'planted-value' });
    assert.equal((await send(url, body, { method: 'PUT', headers: bearer('operator') })).status, 403);
    const set = await send(url, body, { method: 'PUT', headers: bearer('admin') });
    assert.equal(set.status, 200, set.text);
    assert.doesNotMatch(set.text, /planted/);
    const list = await send(world.keyed.at('/api/v1/secrets'), '', {
      method: 'GET', headers: bearer('operator'),
    });
    assert.match(list.text, /STOLEN/);
    assert.doesNotMatch(list.text, /planted/);
    assert.equal((await send(url, '', { method: 'DELETE', headers: bearer('operator') })).status, 403);
    assert.equal((await send(url, '', { method: 'DELETE', headers: bearer('admin') })).status, 200);
  }),
  attack('roles', 'metrics, audit and API without a key', '401', async (world) => {
    for (const path of ['/metrics', '/api/v1/audit/events', '/api/v1/servers', '/api/v1/secrets', '/sse', '/ws']) {
      const answer = await send(world.keyed.at(path), '', { method: 'GET' });
      assert.equal(answer.status, 401, path);
    }
  }),
  attack('paths', 'dots, double slashes, semicolons, escapes and capitals around a guarded path',
    'never the guarded content', async (world) => {
      for (const path of [
        '/mcp/../api/v1/servers', '/mcp/..%2fapi/v1/servers', '/%2e%2e/api/v1/servers',
        '//api/v1/servers', '/api//v1/servers', '/api/v1/servers/', '/api/v1/servers;x=1',
        '/API/V1/SERVERS', '/api/v1/servers%00', '/api/v1/servers%20', '/api\\v1\\servers',
        '/health/../api/v1/servers', '/health/..;/api/v1/servers', '/./api/v1/servers',
      ]) {
        const { text } = await raw(world.keyed.mcpUrl,
          `GET ${path} HTTP/1.1\r\nHost: ${hostOf(world.keyed.mcpUrl)}\r\nConnection: close\r\n\r\n`);
        assert.ok([400, 401, 404].includes(statuses(text)[0]), `${path}: ${text.slice(0, 80)}`);
        assert.doesNotMatch(text, /"upstreams"/);
      }
    }),
  attack('paths', 'a virtual server named with a slash, a zero byte, a star, 3,000 letters', '404 or 400', async (world) => {
    for (const name of ['a%2fb', '%00', '*', '__proto__', 'x'.repeat(3000)]) {
      const answer = await send(world.open.at(`/servers/${name}/mcp`), listing, {
        headers: modernHeaders('tools/list'),
      });
      assert.ok([400, 404, 414].includes(answer.status), `${name}: ${answer.status}`);
    }
  }),
  attack('browsers', 'DNS rebinding: the Host of another site', '403', async (world) => {
    for (const host of ['evil.example', 'evil.example:80', '127.0.0.1.evil.example', 'localhost.evil.example']) {
      const { text } = await raw(world.open.mcpUrl, post(world.open.mcpUrl, listing, '', { host }));
      assert.equal(statuses(text)[0], 403, `${host}: ${text.slice(0, 60)}`);
    }
  }),
  attack('browsers', 'no Host, and two of them', '400', async (world) => {
    const once = `Host: ${hostOf(world.open.mcpUrl)}\r\n`;
    for (const fields of ['', once + once, `${once}Host: evil.example\r\n`]) {
      const { text } = await raw(world.open.mcpUrl, `GET /health HTTP/1.1\r\n${fields}\r\n`);
      assert.ok([400, 403].includes(statuses(text)[0]), text.slice(0, 60));
    }
  }),
  attack('browsers', 'a page of another origin calls /mcp', '403, without CORS fields', async (world) => {
    for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1.evil.example', 'file://']) {
      const answer = await modern(world.open.mcpUrl, 'tools/list', {}, { headers: { origin } });
      assert.equal(answer.status, 403, origin);
      assert.equal(answer.headers.get('access-control-allow-origin'), null);
    }
  }),
  attack('browsers', 'a preflight of another origin', 'no permission', async (world) => {
    const answer = await send(world.open.mcpUrl, '', {
      method: 'OPTIONS',
      headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' },
    });
    assert.equal(answer.headers.get('access-control-allow-origin'), null);
  }),
  attack('browsers', 'a form of another site (text/plain, no preflight)', 'refused, nothing runs', async (world) => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      const answer = await send(world.open.mcpUrl, listing, {
        headers: { ...modernHeaders('tools/list'), 'content-type': type },
      });
      assert.ok([400, 403, 415].includes(answer.status), `${type}: ${answer.status}`);
    }
  }),
  attack('browsers', 'a form of another site against REST', '403 or 415', async (world) => {
    const answer = await send(world.open.at('/api/v1/servers'), '{}', {
      headers: { 'content-type': 'text/plain', origin: 'https://evil.example' },
    });
    assert.ok([403, 415].includes(answer.status), String(answer.status));
  }),
  attack('browsers', 'a stream and a WebSocket of another origin', '403', async (world) => {
    const origin = { origin: 'https://evil.example' };
    assert.equal((await send(world.open.at('/sse'), '', { method: 'GET', headers: origin })).status, 403);
    const { text } = await raw(world.open.mcpUrl,
      `GET /ws HTTP/1.1\r\nHost: ${hostOf(world.open.mcpUrl)}\r\nOrigin: https://evil.example\r\n` +
      'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
    assert.equal(statuses(text)[0], 403, text.slice(0, 60));
  }),
  attack('server-side requests', 'a server that redirects to the metadata address', 'not followed', async (world) => {
    const asked = [];
    const server = createServer((request, response) => {
      asked.push(request.url);
      response.writeHead(302, { location: `http://127.0.0.1:${server.address().port}/stolen` }).end();
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${server.address().port}/mcp`;
      const answer = await send(world.open.at('/api/v1/servers/x/diagnose'), JSON.stringify({
        spec: { type: 'http', url },
      }));
      assert.equal(answer.status, 200, answer.text);
      assert.ok(asked.length > 0);
      assert.ok(!asked.includes('/stolen'), asked.join(' '));
    } finally {
      server.close();
    }
  }),
];
