// Keys that the gateway keeps, people and teams: what is taken away is gone everywhere within a second,
// with what its holder had open.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../../conformance/client/client.mjs';
import { within } from '../../conformance/lib/wait.mjs';
import { startGateway } from '../lib/servers.mjs';

const ROOT = 'the-first-key-of-all-0123456789';
const SECRET = 'a secret for tokens of thirty-two bytes';

let gateway;
before(async () => {
  gateway = await startGateway({
    auth: {
      anonymousLoopback: false,
      keys: [{ name: 'root', key: ROOT, roles: ['admin'] }],
      jwt: { secret: SECRET },
    },
  });
});
after(() => gateway?.stop());

async function api(method, path, body, key = ROOT) {
  const response = await fetch(`${gateway.adminUrl}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body ? { 'content-type': 'application/json' } : {}),
    },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text ? JSON.parse(text) : {} };
}

const createKey = async (name, more = {}) => {
  const { status, body } = await api('POST', '/keys', { name, roles: ['viewer'], ...more });
  assert.equal(status, 200, JSON.stringify(body));
  return body;
};

// The status that a key gets; a change may take a second to arrive.
const statusOf = async (key) => (await api('GET', '/servers', undefined, key)).status;
async function becomes(key, status) {
  const end = Date.now() + 1500;
  let seen;
  // Several times: behind a balancer each gateway must have heard of it.
  for (let times = 0; times < 10 && Date.now() < end; await sleep(20)) {
    seen = await statusOf(key);
    times = seen === status ? times + 1 : 0;
  }
  assert.equal(seen, status);
}

test('a key works where it is shown, and not when it is revoked (W-4.4.1)', async () => {
  const { key, secret } = await createKey('ci', { owner: 'robot' });
  assert.match(secret, /^mmk_[A-Za-z0-9_-]{32}$/);
  await becomes(secret, 200);
  const shown = await fetch(`${gateway.adminUrl}/servers`, { headers: { 'x-api-key': secret } });
  assert.equal(shown.status, 200);
  const twice = await fetch(`${gateway.adminUrl}/servers`, {
    headers: { 'x-api-key': secret, authorization: `Bearer ${ROOT}` },
  });
  assert.equal(twice.status, 401, 'two credentials at once');
  assert.equal(await statusOf(`${secret}x`), 401);
  assert.equal((await api('POST', '/keys', { name: 'more' }, secret)).status, 403);
  const listed = (await api('GET', '/keys')).body.keys.find(({ id }) => id === key.id);
  assert.equal(listed.prefix, secret.slice(0, 10));
  assert.equal(listed.owner, 'robot');
  assert.ok(!JSON.stringify((await api('GET', '/keys?all=true')).body).includes(secret));

  const endpoint = {
    url: gateway.at('/ws').replace(/^http/, 'ws'),
    headers: { authorization: `Bearer ${secret}` },
  };
  const open = await new Client({
    revision: '2025-06-18',
    transport: 'ws',
    capabilities: {},
    handlers: {},
    endpoint,
  }).open();
  const stream = await fetch(`${gateway.adminUrl}/events`, {
    headers: { authorization: `Bearer ${secret}` },
  });
  assert.equal(stream.status, 200);
  assert.equal((await api('DELETE', `/keys/${key.id}`)).status, 200);
  await becomes(secret, 401);
  const ended = (async () => {
    try {
      for await (const _ of stream.body) continue;
    } catch {
      // A connection that is cut is an end, too.
    }
  })();
  await within(ended, 'the stream of a revoked key ends', 3000);
  await open.close?.();
  assert.equal((await api('DELETE', '/keys/nope')).status, 404);
});

test('a rotated key overlaps with its old secret (P2-Sec-3)', async () => {
  const { key, secret } = await createKey('turning');
  await becomes(secret, 200);
  const next = await api('POST', `/keys/${key.id}/rotate`, { overlapS: '2' });
  assert.equal(next.status, 200);
  await becomes(next.body.secret, 200);
  assert.equal(await statusOf(secret), 200);
  await sleep(2100);
  assert.equal(await statusOf(secret), 401);
  assert.equal(await statusOf(next.body.secret), 200);
  const last = await api('POST', `/keys/${key.id}/rotate`, {});
  await becomes(next.body.secret, 401);
  await becomes(last.body.secret, 200);
});

test('its use is seen', async () => {
  const { key, secret } = await createKey('used');
  await becomes(secret, 200);
  for (let i = 0; i < 100; i += 1, await sleep(50)) {
    const { body } = await api('GET', '/keys');
    const { lastUsedUs } = body.keys.find(({ id }) => id === key.id);
    if (Number(lastUsedUs ?? 0) > 0) return;
  }
  assert.fail('no use was noted');
});

test('somebody who is kept out stays out, with keys and tokens (P2-Usr-1)', async () => {
  const { SignJWT } = await import('jose');
  const token = await new SignJWT({ roles: ['viewer'] })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer('meta-mcp')
    .setAudience('meta-mcp')
    .setSubject('eve')
    .setExpirationTime('5m')
    .sign(new TextEncoder().encode(SECRET));
  const { secret } = await createKey('of-eve', { owner: 'eve' });
  await becomes(secret, 200);
  assert.equal(await statusOf(token), 200);
  assert.equal((await api('POST', '/users', { subject: 'eve', disabled: true })).status, 200);
  await becomes(token, 401);
  await becomes(secret, 401);
  const users = (await api('GET', '/users')).body.users;
  assert.equal(users.find(({ subject }) => subject === 'eve').disabled, true);
  await api('POST', '/users', { subject: 'eve', disabled: false });
  await becomes(token, 200);
});

test('teams are made, filled and deleted', async () => {
  assert.equal((await api('POST', '/teams', { name: 'blue' })).status, 200);
  assert.equal((await api('POST', '/teams', { name: 'blue' })).status, 409);
  await api('POST', '/teams/blue/members', { subject: 'eve' });
  assert.deepEqual((await api('GET', '/teams')).body.teams[0].members, ['eve']);
  await api('POST', '/teams/blue/members', { subject: 'eve', absent: true });
  assert.equal((await api('DELETE', '/teams/blue')).status, 200);
  assert.equal((await api('DELETE', '/teams/blue')).status, 404);
});

// Every operation of the API as it describes itself, so that a new one is tried here too.
test('no operation answers to nobody, to a wrong credential or to a lesser role (P3-Sec-4)', async () => {
  const rank = { viewer: 1, developer: 1, operator: 2, admin: 3 };
  const secrets = {};
  for (const role of ['viewer', 'developer', 'operator', 'admin', 'auditor']) {
    secrets[role] = (await createKey(`matrix-${role}`, { roles: [role] })).secret;
  }
  secrets.none = (await createKey('matrix-none', { roles: [] })).secret;
  const reply = await fetch(gateway.at('/openapi.json'), { headers: { authorization: `Bearer ${ROOT}` } });
  const document = await reply.json();
  for (const [name, secret] of Object.entries(secrets)) await becomes(secret, rank[name] ? 200 : 403);
  let tried = 0;
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const role = operation['x-required-role'];
      assert.ok(role, `${method} ${path} names no role`);
      if (role === 'none') {
        // Its credential is the signature of what it is sent.
        assert.equal(`${method} ${path}`, 'post /api/v1/workflows/hooks/{id}');
        continue;
      }
      const url = gateway.at(path.replace(/\{[^}]+\}/g, 'nothing'));
      const send = async (headers) => {
        const response = await fetch(url, { method: method.toUpperCase(), headers });
        await response.body?.cancel();
        return response.status;
      };
      const what = `${method} ${path}`;
      assert.equal(await send({}), 401, `${what} without a credential`);
      for (const wrong of ['Bearer nonsense', 'Basic cm9vdDpyb290', 'Bearer eyJhbGciOiJub25lIn0.e30.']) {
        assert.equal(await send({ authorization: wrong }), 401, `${what} with ${wrong}`);
      }
      for (const [name, secret] of Object.entries(secrets)) {
        const may = role === 'auditor' ? name === 'auditor' : (rank[name] ?? 0) >= rank[role];
        if (may) continue;
        const status = await send({ authorization: `Bearer ${secret}` });
        assert.equal(status, 403, `${what} (${role}) as ${name}`);
        tried += 1;
      }
    }
  }
  assert.ok(tried > 200, `${tried} refusals`);
});
