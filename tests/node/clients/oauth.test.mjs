// An upstream behind OAuth, with a real authorization server: everything that happens to a login in
// its life, seen by a client of the gateway.
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { followLogin, logIn, openLoginPage } from '../lib/login.mjs';
import { AuthServer, ProtectedServer } from '../lib/protected_server.mjs';
import { SDKS } from '../lib/sdk.mjs';
import { startGateway, waitForTools } from '../lib/servers.mjs';

const [legacy, , modern] = SDKS;
const LEGACY_POLLS = 200;

describe('an upstream behind OAuth (M02-US-002.3)', () => {
  const auth = new AuthServer();
  const upstream = new ProtectedServer(auth);
  let gateway;
  let client;

  const connection = async () => {
    const { connections } = await (await fetch(`${gateway.adminUrl}/connections`)).json();
    return connections[0];
  };
  const until = async (what, condition) => {
    for (let i = 0; i < LEGACY_POLLS; i += 1, await sleep(50)) {
      const now = await connection();
      if (now && condition(now)) return now;
    }
    return assert.fail(`never ${what}: ${JSON.stringify(await connection())}`);
  };
  const needsLogin = () => until('needs-login', ({ login }) => login === 'needed');
  const logInAgain = async () => {
    assert.ok(await logIn(gateway, 'docs'));
    await until('ready', ({ status }) => status.state === 'ready');
  };
  const call = async (n) => {
    const result = await client.callTool({ name: 'docs__whoami', arguments: { n } });
    const { text } = result.content[0];
    return result.isError ? { error: text } : JSON.parse(text);
  };
  const refreshes = () => auth.grants.filter((grant) => grant === 'refresh_token').length;

  before(async () => {
    await auth.start();
    await upstream.start();
    gateway = await startGateway({
      mcpServers: { docs: { type: 'http', url: upstream.url } },
      connector: { backoff: { minMs: 50, maxMs: 500 } },
    });
    client = await legacy.connect({ url: gateway.mcpUrl });
  });
  after(async () => {
    await client?.close();
    await gateway?.stop();
    await upstream.stop?.();
    await auth.stop?.();
  });

  test('asks for a login and is usable after it', async () => {
    const { status } = await needsLogin();
    assert.equal(status.state, 'needs-login');
    assert.match(status.detail, /needs login/);
    await logInAgain();
    await waitForTools(gateway.mcpUrl, ['docs__whoami']);
    assert.equal((await call(1)).n, 1);
    assert.deepEqual(auth.grants, ['authorization_code']);
    const probe = await (await fetch(`${gateway.adminUrl}/servers/docs/probe`)).json();
    assert.equal(probe.answers, true);
  });

  test('refreshes once for fifty calls at the moment of expiry', async () => {
    auth.lifetimes.access = 2;
    await auth.revokeAll((await call(0)).token);
    await call(0);
    await needsLogin();
    await logInAgain();
    const before = (await call(0)).token;
    const count = refreshes();
    await sleep(2100);
    auth.lifetimes.access = 300;
    const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => call(n)));
    assert.deepEqual(
      answers.map(({ n }) => n),
      Array.from({ length: 50 }, (_, n) => n),
    );
    assert.equal(refreshes() - count, 1);
    assert.equal(new Set(answers.map(({ token }) => token)).size, 1);
    assert.notEqual(answers[0].token, before);
  });

  test('takes one refresh for fifty calls that find the token revoked', async () => {
    const { token } = await call(0);
    const found = await auth.provider.AccessToken.find(token);
    await found.destroy();
    const count = refreshes();
    const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => call(n)));
    assert.deepEqual(
      answers.map(({ n }) => n),
      Array.from({ length: 50 }, (_, n) => n),
    );
    assert.equal(refreshes() - count, 1);
  });

  test('wants a new login when the refresh token has expired, too', async () => {
    const { token } = await call(0);
    await auth.revokeAll(token);
    auth.lifetimes = { access: 2, refresh: 2 };
    await call(0);
    await needsLogin();
    await logInAgain();
    assert.equal((await call(3)).n, 3);
    auth.lifetimes = { access: 300, refresh: 3600 };
    await sleep(2100);
    assert.match((await call(4)).error, /needs login/);
    await needsLogin();
    await logInAgain();
    assert.equal((await call(5)).n, 5);
  });

  test('wants a new login after revocation', async () => {
    await auth.revokeAll((await call(0)).token);
    assert.match((await call(1)).error, /needs login.*http/s);
    assert.match((await call(1)).error, /needs login.*http/s);
    await logInAgain();
    assert.equal((await call(2)).n, 2);
    assert.equal(auth.registrations, 1);
  });

  test('survives new signing keys', async () => {
    auth.format = 'jwt';
    const { token } = await call(1);
    assert.match(token, /^ey/);
    const count = refreshes();
    await auth.rotateKeys();
    const after = await call(2);
    assert.equal(after.n, 2);
    assert.notEqual(after.token, token);
    assert.equal(refreshes() - count, 1);
  });

  test('stores and logs no token in clear', async () => {
    const { token } = await call(0);
    for (const name of await readdir(gateway.directory, { recursive: true })) {
      if (!name.includes('storage.db')) continue;
      const text = await readFile(join(gateway.directory, name));
      assert.ok(!text.includes(token), `${name} holds the token`);
    }
    assert.ok(!gateway.child.stderr.includes(token), 'the log holds the token');
  });

  test('asks for the login inside the chat and goes on', async () => {
    for (const sdk of [legacy, modern]) {
      const logout = await fetch(`${gateway.adminUrl}/servers/docs/logout`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      });
      assert.equal(logout.status, 200);
      const asked = [];
      const handlers = {
        'elicitation/create': async (params) => {
          asked.push(params);
          const { url, cookie } = await openLoginPage(params.url);
          // The client says yes at once; the user takes a while.
          sleep(300).then(() => followLogin(url, cookie));
          return { action: 'accept' };
        },
      };
      const chat = await sdk.connect({ url: gateway.mcpUrl }, handlers, { urls: true });
      const result = await chat.callTool({ name: 'docs__whoami', arguments: { n: 7 } });
      assert.ok(!result.isError, JSON.stringify(result));
      assert.equal(JSON.parse(result.content[0].text).n, 7);
      assert.equal(asked.length, 1);
      assert.equal(asked[0].mode, 'url');
      assert.ok(asked[0].url.startsWith(new URL('/oauth/login', gateway.mcpUrl).href));
      await chat.close();
    }
  });

  test('goes to another issuer only by another login', async () => {
    const second = new AuthServer();
    await second.start();
    try {
      await call(0);
      const tokens = new Set(upstream.seen);
      upstream.auth = second;
      assert.match((await call(1)).error, /needs login/);
      assert.deepEqual(second.grants, []);
      await needsLogin();
      await logInAgain();
      const { token } = await call(2);
      assert.ok(!tokens.has(token));
      assert.deepEqual(second.grants, ['authorization_code']);
      assert.equal(second.registrations, 1);
    } finally {
      await second.stop();
    }
  });
});
