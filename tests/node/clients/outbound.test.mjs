// How the gateway shows who it is to servers: by exchanging callers' tokens, and by a certificate.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { after, before, describe, test } from 'node:test';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';
import { decodeJwt } from 'jose';
import { freePort } from '../lib/cluster.mjs';
import { ExchangeServer } from '../lib/exchange_server.mjs';
import { ProtectedServer } from '../lib/protected_server.mjs';
import { modernRequest, startGateway, waitForTools } from '../lib/servers.mjs';
import { Authority } from '../lib/tls.mjs';

const KEY = 'a-key-that-is-long-enough';

describe('a server that is reached with exchanged tokens', () => {
  const auth = new ExchangeServer();
  const upstream = new ProtectedServer(auth);
  let gateway;

  const exchanges = () => auth.asked.filter((one) => one.grant_type.endsWith('token-exchange'));
  const whoami = (token) =>
    modernRequest(gateway.mcpUrl, 'tools/call', { name: 'docs__whoami', arguments: {} }, {
      headers: { authorization: `Bearer ${token}` },
    });
  const tokenOf = (answer) => JSON.parse(answer.result.content[0].text).token;
  const user = (subject, scope = 'mcp:use') => auth.sign(subject, gateway.mcpUrl, scope);

  before(async () => {
    await auth.start();
    await upstream.start();
    gateway = await startGateway({
      auth: {
        anonymousLoopback: false,
        keys: [{ name: 'machine', key: KEY, roles: ['admin'] }],
        issuers: { idp: { issuer: auth.issuer, algorithms: ['ES256'] } },
      },
      mcpServers: {
        docs: {
          url: upstream.url,
          auth: {
            grant: 'token_exchange', authorizationServer: auth.issuer,
            clientId: auth.client.id, clientSecret: auth.client.secret,
          },
        },
      },
    });
    await waitForTools(gateway.mcpUrl, ['docs__whoami'], { headers: { authorization: `Bearer ${KEY}` } });
  });
  after(async () => {
    await gateway?.stop();
    await upstream.stop?.();
    await auth.stop?.();
  });

  test('everybody is themselves there, and their own tokens stay here (M-B4)', async () => {
    const [alice, bob] = [await user('alice'), await user('bob')];
    for (const [token, subject] of [[alice, 'alice'], [bob, 'bob'], [alice, 'alice'], [bob, 'bob']]) {
      const seen = decodeJwt(tokenOf(await whoami(token)));
      assert.equal(seen.sub, subject);
      assert.equal(seen.aud, upstream.url);
    }
    assert.equal(exchanges().length, 2);
    assert.ok(upstream.seen.length > 4);
    assert.ok(!upstream.seen.includes(alice) && !upstream.seen.includes(bob));
    // Lists are read as the gateway itself.
    assert.ok(upstream.seen.some((token) => decodeJwt(token).sub === auth.client.id));
  });

  test('one exchange for many calls at once; a person\'s next token needs none', async () => {
    const before = exchanges().length;
    auth.delayMs = 200;
    const carol = await user('carol');
    const answers = await Promise.all(Array.from({ length: 20 }, () => whoami(carol)));
    auth.delayMs = 0;
    for (const answer of answers) assert.equal(decodeJwt(tokenOf(answer)).sub, 'carol');
    assert.equal(decodeJwt(tokenOf(await whoami(await user('carol')))).sub, 'carol');
    assert.equal(exchanges().length, before + 1);
  });

  test('a token of other scopes does not use what a wider one got', async () => {
    const before = exchanges().length;
    const narrow = await user('carol', 'mcp:read');
    assert.equal(decodeJwt(tokenOf(await whoami(narrow))).sub, 'carol');
    assert.equal(exchanges().length, before + 1);
    assert.equal(exchanges().at(-1).subject_token, narrow);
  });

  test('a call without a token, and one that the authorization server refuses, fail clearly', async () => {
    const text = JSON.stringify(await whoami(KEY));
    assert.match(text, /callers' tokens are exchanged/);
    auth.refused.add('mallory');
    const mallory = await user('mallory');
    const refused = JSON.stringify(await whoami(mallory));
    assert.match(refused, /UPSTREAM_AUTH|invalid_grant/);
    assert.ok(!refused.includes(mallory));
    const asked = auth.asked.length;
    await Promise.all(Array.from({ length: 10 }, () => whoami(mallory)));
    assert.ok(auth.asked.length - asked <= 1, 'a storm of exchanges');
    // Others are served meanwhile.
    assert.equal(decodeJwt(tokenOf(await whoami(await user('alice')))).sub, 'alice');
  });
});

describe('a server that asks for a certificate', () => {
  const authority = new Authority();
  let server;
  let gateway;
  after(async () => {
    await gateway?.stop();
    server?.closeAllConnections();
    server?.close();
    authority.remove();
  });

  test('gets the configured one (M-NFR-004.2)', async () => {
    const own = authority.issue('upstream', 'IP:127.0.0.1');
    const shown = authority.issue('gateway', 'URI:spiffe://example.com/gateway');
    const app = express();
    app.use(express.json());
    app.all('/mcp', async (request, response) => {
      const { subject } = request.socket.getPeerCertificate();
      const mcp = new McpServer({ name: 'guarded', version: '1.0.0' });
      mcp.registerTool('whoami', { description: 'Says who called' }, () => ({
        content: [{ type: 'text', text: subject.CN }],
      }));
      const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
      response.on('close', () => mcp.close());
      await mcp.connect(transport);
      await transport.handleRequest(request, response, request.body);
    });
    server = createServer({
      cert: readFileSync(own.cert), key: readFileSync(own.key), ca: readFileSync(authority.ca),
      requestCert: true, rejectUnauthorized: true,
    }, app);
    const port = await freePort();
    await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
    const url = `https://127.0.0.1:${port}/mcp`;
    gateway = await startGateway({
      mcpServers: {
        with: { url, tls: { ca: authority.ca, certificate: shown.cert, key: shown.key } },
        without: { url, tls: { ca: authority.ca } },
      },
    });
    const names = await waitForTools(gateway.mcpUrl, ['with__whoami']);
    assert.ok(!names.includes('without__whoami'));
    const answer = await modernRequest(gateway.mcpUrl, 'tools/call', { name: 'with__whoami', arguments: {} });
    assert.equal(answer.result.content[0].text, 'gateway');
  });
});
