// The OAuth of official clients against our protected endpoint, to its end: both SDKs, also over the
// gateway's own TLS, and the official conformance suite with a token that it logged in for.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as v2 from '@modelcontextprotocol/client';
import { NODE, NODE_TESTS, packageFile } from '../lib/paths.mjs';
import { Login, callbackOf } from '../lib/oauth_login.mjs';
import { run } from '../lib/process.mjs';
import { AuthServer } from '../lib/protected_server.mjs';
import { startFixture, startGateway, waitForTools } from '../lib/servers.mjs';
import { Authority, tlsFetch } from '../lib/tls.mjs';

const KEY = 'a-key-that-is-long-enough';
const SUITE = packageFile('@modelcontextprotocol/conformance', 'dist/index.js');

describe('official clients log in at the authorization server of the gateway', () => {
  const auth = new AuthServer();
  auth.format = 'jwt';
  auth.scopes = ['openid', 'offline_access', 'mcp:tools'];
  const authority = new Authority();
  const own = authority.issue('gateway', 'IP:127.0.0.1');
  const gateways = [];
  let fixture;

  const start = async (gatewaySettings) => {
    const gateway = await startGateway({
      gateway: gatewaySettings,
      auth: {
        anonymousLoopback: false,
        keys: [{ name: 'first', key: KEY, roles: ['admin'] }],
        issuers: { idp: { issuer: auth.issuer, algorithms: ['RS256'] } },
        scopes: { default: 'mcp:tools' },
      },
      mcpServers: { fixture: { type: 'http', url: fixture.url, era: 'legacy' } },
      virtualServers: { default: { prefix: 'none' } },
    });
    gateways.push(gateway);
    return gateway;
  };

  before(async () => {
    await auth.start();
    fixture = await startFixture('--era', 'legacy');
  });
  after(async () => {
    for (const gateway of gateways) await gateway.stop();
    await fixture?.stop();
    await auth.stop?.();
    authority.remove();
  });

  const logIn = async (url, send) => {
    const login = new Login();
    const connect = async () => {
      const transport = new v2.StreamableHTTPClientTransport(new URL(url), { authProvider: login, fetch: send });
      const client = new v2.Client({ name: 'v2', version: '1' });
      await client.connect(transport).catch((error) => {
        if (!(error instanceof v2.UnauthorizedError)) throw error;
        return transport;
      });
      return { client, transport };
    };
    const first = await connect();
    assert.equal(login.asked.length, 1);
    await first.transport.finishAuth(await callbackOf(login.asked[0]));
    const { client } = await connect();
    assert.ok((await client.listTools()).tools.length > 0);
    await client.close();
    return login;
  };

  test('the SDK of 2026-07-28, over HTTP (M-NFR-004.2)', async () => {
    const gateway = await start({});
    await waitForTools(gateway.mcpUrl, ['test_simple_text'], { headers: { authorization: `Bearer ${KEY}` } });
    await logIn(gateway.mcpUrl);
  });

  test('the same over the gateway\'s TLS, for a resource that is https (M-NFR-004.1)', {
    skip: process.env.METAMCP_SHAPE === 'cluster' && 'the balancer speaks plain HTTP',
  }, async () => {
    const gateway = await start({ tls: { certificate: own.cert, key: own.key } });
    assert.match(gateway.mcpUrl, /^https:/);
    const send = tlsFetch({ ca: authority.ca });
    const login = await logIn(gateway.mcpUrl, send);
    assert.equal(login.asked[0].searchParams.get('resource'), gateway.mcpUrl);
    send.close();
  });

  test('the official conformance suite, with the token that it logged in for (M-NFR-004.2)', async () => {
    const gateway = await start({});
    await waitForTools(gateway.mcpUrl, ['test_simple_text'], { headers: { authorization: `Bearer ${KEY}` } });
    const directory = await mkdtemp(join(tmpdir(), 'metamcp-oauth-conformance-'));
    try {
      const args = ['--import', join(NODE_TESTS, 'conformance', 'oauth_preload.mjs'), SUITE, 'server',
        '--url', gateway.mcpUrl, '--requirements', '2025-11-25', '-o', directory];
      const { stdout, stderr } = await run(NODE, args, {
        timeoutMs: 300000, cwd: directory, env: { METAMCP_PROTECTED: gateway.mcpUrl },
      });
      const lines = [...stdout.matchAll(/^[✓✗] (\S+): (\d+) passed, (\d+) failed/gmu)];
      const failed = lines.filter(([, name, , count]) => Number(count) > 0 && !name.startsWith('tasks-'));
      const passed = lines.reduce((sum, [, , count]) => sum + Number(count), 0);
      assert.match(stderr, /oauth: logged in/);
      // It sends by another HTTP client, which the login does not reach, and wants 2xx of a request
      // without a token.
      assert.deepEqual(failed.map(([, name]) => name), ['dns-rebinding-protection'], stdout.slice(-3000));
      assert.ok(passed >= 70, `${passed} checks passed\n${stdout.slice(-3000)}\n${stderr.slice(-2000)}`);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});
