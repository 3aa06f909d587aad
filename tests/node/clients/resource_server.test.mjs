// The gateway as a resource server of OAuth 2.1: a real authorization server, the official SDK's
// whole login, and what a client is told when its token is not good enough.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import { AuthServer } from '../lib/protected_server.mjs';
import { Login, callbackOf } from '../lib/oauth_login.mjs';
import { NODE } from '../lib/paths.mjs';
import { EVERYTHING, startGateway } from '../lib/servers.mjs';

const HEADERS = {
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
};
const META = 'io.modelcontextprotocol/';
const body = (method, params = {}) =>
  JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method,
    params: {
      ...params,
      _meta: { [`${META}protocolVersion`]: '2026-07-28', [`${META}clientCapabilities`]: {} },
    },
  });

describe('the gateway behind an authorization server', () => {
  const auth = new AuthServer();
  auth.format = 'jwt';
  auth.scopes = ['openid', 'offline_access', 'mcp:tools'];
  let gateway;

  const call = (token, { path = '/mcp', method = 'tools/list', params, name } = {}) =>
    fetch(gateway.at(path), {
      method: 'POST',
      headers: {
        ...HEADERS,
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': method,
        ...(name ? { 'mcp-name': name } : {}),
        ...(token ? { authorization: `Bearer ${token}` } : {}),
      },
      body: body(method, params),
    });

  before(async () => {
    await auth.start();
    gateway = await startGateway({
      auth: {
        anonymousLoopback: false,
        issuers: { idp: { issuer: auth.issuer, algorithms: ['RS256'] } },
        scopes: { default: 'mcp:tools' },
        toolScopes: { 'everything.echo': 'echo:use' },
      },
      mcpServers: { everything: { command: NODE, args: [EVERYTHING, 'stdio'] } },
      virtualServers: { docs: {} },
    });
    for (let i = 0; i < 400; i += 1, await sleep(50)) {
      const answer = await (await call(await signed())).json();
      if (answer.result?.tools?.length > 0) return;
    }
    assert.fail('no tools');
  });
  after(async () => {
    await gateway?.stop();
    await auth.stop?.();
  });

  // A token as the authorization server signs them, with any claims.
  const signed = async (claims = {}, header = {}) => {
    const [jwk] = auth.keys;
    const { importJWK } = await import('jose');
    const key = await importJWK(jwk, 'RS256');
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({
      iss: auth.issuer,
      sub: 'somebody',
      aud: gateway.mcpUrl,
      scope: 'mcp:tools',
      iat: now,
      exp: now + 300,
      ...claims,
    })
      .setProtectedHeader({ alg: 'RS256', kid: jwk.kid, ...header })
      .sign(key);
  };

  test('tells where tokens come from and the SDK logs in (M-NFR-004.2)', async () => {
    const refused = await call();
    assert.equal(refused.status, 401);
    const challenge = refused.headers.get('www-authenticate');
    const metadata = challenge.match(/resource_metadata="([^"]+)"/)[1];
    assert.equal(metadata, gateway.at('/.well-known/oauth-protected-resource/mcp'));
    assert.match(challenge, /scope="mcp:tools"/);
    const described = await (await fetch(metadata)).json();
    assert.equal(described.resource, gateway.mcpUrl);
    assert.deepEqual(described.authorization_servers, [auth.issuer]);
    assert.deepEqual(described.scopes_supported, ['mcp:tools']);

    const login = new Login();
    const url = new URL(gateway.mcpUrl);
    const first = new StreamableHTTPClientTransport(url, { authProvider: login });
    const client = new Client({ name: 'editor', version: '1' });
    await assert.rejects(client.connect(first), UnauthorizedError);
    assert.equal(login.asked.length, 1);
    assert.equal(login.asked[0].searchParams.get('resource'), gateway.mcpUrl);
    await first.finishAuth((await callbackOf(login.asked[0])).get('code'));
    const second = new StreamableHTTPClientTransport(url, { authProvider: login });
    const again = new Client({ name: 'editor', version: '1' });
    await again.connect(second);
    assert.ok((await again.listTools()).tools.length > 0);
    await again.close();
  });

  test('each virtual server takes tokens for itself only', async () => {
    assert.equal((await call(await signed())).status, 200);
    const docs = gateway.at('/servers/docs/mcp');
    assert.equal((await call(await signed({ aud: docs }), { path: '/servers/docs/mcp' })).status, 200);
    for (const aud of [docs, 'https://elsewhere.example/mcp', undefined, gateway.at('/')]) {
      const refused = await call(await signed({ aud }));
      assert.equal(refused.status, 401, String(aud));
      assert.match(refused.headers.get('www-authenticate'), /error="invalid_token"/);
    }
    const metadata = await fetch(gateway.at('/.well-known/oauth-protected-resource/servers/docs/mcp'));
    assert.equal((await metadata.json()).resource, docs);
    const none = await fetch(gateway.at('/.well-known/oauth-protected-resource/servers/nope/mcp'));
    assert.equal(none.status, 404);
  });

  test('refuses what is wrong with a token, everywhere', async () => {
    const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
    const own = await exportJWK(publicKey);
    const now = Math.floor(Date.now() / 1000);
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(
      JSON.stringify({ iss: auth.issuer, sub: 'x', aud: gateway.mcpUrl, exp: now + 60 }),
    ).toString('base64url')}.`;
    const forged = await new SignJWT({ iss: auth.issuer, sub: 'x', aud: gateway.mcpUrl })
      .setProtectedHeader({ alg: 'RS256', kid: auth.keys[0].kid, jwk: own })
      .setExpirationTime('5m')
      .sign(privateKey);
    const bad = {
      none,
      forged,
      expired: await signed({ exp: now - 120 }),
      early: await signed({ nbf: now + 120 }),
      issuer: await signed({ iss: 'https://other.example' }),
      crit: `${(await signed()).slice(0, -4)}AAAA`,
      oversize: `eyJ${'a'.repeat(17_000)}.b.c`,
      word: 'nonsense',
    };
    for (const [what, token] of Object.entries(bad)) {
      for (const path of ['/mcp', '/sse', '/servers/docs/mcp']) {
        const response = await call(token, { path });
        if (what === 'oversize' && response.status === 431) continue; // of a balancer
        assert.equal(response.status, 401, `${what} at ${path}`);
        const challenge = response.headers.get('www-authenticate');
        assert.match(challenge, /error="invalid_token"/, what);
        assert.match(challenge, /resource_metadata="/, what);
      }
      const rest = await fetch(`${gateway.adminUrl}/servers`, {
        headers: { authorization: `Bearer ${token}` },
      });
      assert.ok([401, 431].includes(rest.status), `${what} at the API: ${rest.status}`);
    }
    const query = await fetch(`${gateway.mcpUrl}?access_token=${await signed()}`, { method: 'POST' });
    assert.equal(query.status, 401, 'a token in the URL is none');
  });

  test('asks for a step up by 403, for the server and for one tool', async () => {
    const poor = await call(await signed({ scope: 'other' }));
    assert.equal(poor.status, 403);
    const challenge = poor.headers.get('www-authenticate');
    assert.match(challenge, /error="insufficient_scope"/);
    assert.match(challenge, /scope="mcp:tools"/);
    const echo = { method: 'tools/call', name: 'everything__echo' };
    const params = { name: 'everything__echo', arguments: { message: 'hi' } };
    const first = await call(await signed(), { ...echo, params });
    assert.equal(first.status, 403);
    assert.match(first.headers.get('www-authenticate'), /scope="mcp:tools echo:use"/);
    const second = await call(await signed({ scope: 'mcp:tools echo:use' }), { ...echo, params });
    assert.equal(second.status, 200);
  });

  test('takes a new signing key at once and drops the old one (P3-Sec-3)', async () => {
    const before = await signed();
    assert.equal((await call(before)).status, 200);
    await sleep(10_100); // issuers are asked this often at most
    await auth.rotateKeys();
    // Behind a balancer each gateway must have met the new key.
    let refused = 0;
    for (let i = 0; i < 200 && refused < 8; i += 1, await sleep(20)) {
      assert.equal((await call(await signed())).status, 200);
      refused = (await call(before)).status === 401 ? refused + 1 : 0;
    }
    assert.equal(refused, 8);
  });
});

describe('a token of a client', () => {
  let gateway;
  after(async () => {
    await gateway?.stop();
  });

  test('never reaches an upstream', async () => {
    const seen = [];
    const { createServer } = await import('node:http');
    const spy = createServer((request, response) => {
      seen.push(JSON.stringify(request.headers));
      request.resume();
      response.writeHead(404).end();
    });
    await new Promise((resolve) => spy.listen(0, '127.0.0.1', resolve));
    const key = 'a key of the gateway, not of the server';
    gateway = await startGateway({
      auth: { anonymousLoopback: false, keys: [{ name: 'ci', key, roles: ['admin'] }] },
      mcpServers: { spy: { type: 'http', url: `http://127.0.0.1:${spy.address().port}/mcp` } },
    });
    for (let i = 0; i < 100 && seen.length === 0; i += 1) await sleep(50);
    await fetch(`${gateway.adminUrl}/servers/spy/probe`, {
      headers: { authorization: `Bearer ${key}` },
    });
    spy.closeAllConnections();
    spy.close();
    assert.ok(seen.length > 0);
    for (const headers of seen) assert.ok(!headers.includes(key), headers);
  });
});
