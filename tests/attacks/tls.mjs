// Attacks on the gateway's own TLS, on client certificates and on passwords.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { gatewayBinary } from '../node/lib/paths.mjs';
import { startGateway } from '../node/lib/servers.mjs';
import { Authority, tlsFetch } from '../node/lib/tls.mjs';
import { KEYS, bearer } from './lib.mjs';

const CI = 'URI:spiffe://example.com/ci';
const PASSWORD = 'correct horse battery';

// A gateway with TLS, an authority of clients, and a user with a password.
export async function startTlsGateway() {
  const authority = new Authority();
  const own = authority.issue('gateway', 'IP:127.0.0.1');
  const made = spawnSync(gatewayBinary(), ['token', 'password'], { input: PASSWORD, encoding: 'utf8' });
  const gateway = await startGateway({
    gateway: { headerTimeoutMs: 2000, tls: { certificate: own.cert, key: own.key, clientCa: authority.ca } },
    auth: {
      anonymousLoopback: false,
      keys: [{ name: 'admin', key: KEYS.admin, roles: ['admin'] }],
      certificates: { ci: { uri: 'spiffe://example.com/ci', roles: ['operator'] } },
      basic: { enabled: true, users: { root: { hash: made.stdout.trim(), roles: ['admin'] } } },
    },
  });
  const ask = async (shown = {}, headers = {}, path = '/api/v1/version') => {
    const send = tlsFetch({ ca: authority.ca, ...shown });
    const response = await send(gateway.at(path), { headers });
    await response.body?.cancel();
    return response;
  };
  const stop = async () => {
    await gateway.stop();
    authority.remove();
  };
  return { ...gateway, authority, ask, stop, port: Number(new URL(gateway.mcpUrl).port) };
}

const basic = (name, password) => ({
  authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`,
});
const closed = (socket) => new Promise((resolve) => socket.once('close', resolve));

async function refusedWith401({ tls }, shown, headers) {
  assert.equal((await tls.ask(shown, headers)).status, 401);
  const good = tls.authority.issue('ci', CI);
  assert.equal((await tls.ask(good)).status, 200);
}

export default [
  {
    area: 'certificates',
    what: "an operator's name in a certificate of the attacker's own authority",
    expect: '401, audited',
    run: async (world) => {
      const own = new Authority('Test CA'); // the same name
      try {
        await refusedWith401(world, own.issue('ci', CI));
      } finally {
        own.remove();
      }
    },
  },
  {
    area: 'certificates',
    what: 'one that has ended, one for servers only, one that is nobody\'s',
    expect: '401',
    run: async (world) => {
      const { authority } = world.tls;
      await refusedWith401(world, authority.issue('ci', CI, { days: -1 }));
      await refusedWith401(world, authority.issue('ci', CI, { usage: 'serverAuth' }));
      await refusedWith401(world, authority.issue('ci', `${CI}2`));
      await refusedWith401(world, authority.issue('ci', 'DNS:spiffe.example.com'));
    },
  },
  {
    area: 'certificates',
    what: 'a good certificate beside a good key',
    expect: '401: one credential',
    run: (world) => refusedWith401(world, world.tls.authority.issue('ci', CI), bearer('admin')),
  },
  {
    area: 'certificates',
    what: 'fields that claim a proxy has seen a certificate',
    expect: '401',
    run: async (world) => {
      const pem = encodeURIComponent(readFileSync(world.tls.authority.issue('ci', CI).cert, 'utf8'));
      for (const headers of [
        { 'x-forwarded-client-cert': `Cert="${pem}";URI=spiffe://example.com/ci` },
        { 'x-ssl-client-verify': 'SUCCESS', 'x-ssl-client-cert': pem },
        { 'client-cert': `:${Buffer.from('x').toString('base64')}:` },
      ]) {
        await refusedWith401(world, {}, headers);
      }
    },
  },
  {
    area: 'certificates',
    what: 'a chain of 200 certificates',
    expect: 'no connection, others are served',
    run: async (world) => {
      const { authority } = world.tls;
      const huge = authority.issue('ci', CI);
      appendFileSync(huge.cert, readFileSync(authority.ca, 'utf8').repeat(200));
      await assert.rejects(world.tls.ask(huge));
      assert.equal((await world.tls.ask({}, bearer('admin'))).status, 200);
    },
  },
  {
    area: 'TLS',
    what: 'TLS 1.2 and older',
    expect: 'no connection',
    run: async ({ tls }) => {
      for (const maxVersion of ['TLSv1.2', 'TLSv1.1']) {
        const socket = connectTls({ port: tls.port, host: '127.0.0.1', maxVersion, minVersion: 'TLSv1', rejectUnauthorized: false, ciphers: 'ALL:@SECLEVEL=0' });
        const [outcome] = await Promise.race([
          new Promise((resolve) => socket.once('error', () => resolve(['refused']))),
          new Promise((resolve) => socket.once('secureConnect', () => resolve(['open']))),
        ]);
        socket.destroy();
        assert.equal(outcome, 'refused', maxVersion);
      }
    },
  },
  {
    area: 'TLS',
    what: 'plain HTTP, garbage, half a ClientHello, and 300 connections that say nothing',
    expect: '400 for HTTP, the rest closed in time, others are served meanwhile',
    run: async ({ tls }) => {
      const plain = connectTcp(tls.port, '127.0.0.1');
      plain.end('GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n');
      let answer = '';
      plain.on('data', (data) => (answer += data));
      await closed(plain);
      assert.match(answer, /^HTTP\/1.1 400/);
      const sockets = Array.from({ length: 300 }, () => connectTcp(tls.port, '127.0.0.1'));
      sockets.forEach((socket) => socket.on('error', () => {}).resume());
      sockets[0].write(Buffer.alloc(4096, 0xff));
      sockets[1].write(Buffer.from([0x16, 3, 1, 2, 0, 1]));
      assert.equal((await tls.ask({}, bearer('admin'))).status, 200);
      await Promise.all(sockets.map(closed));
    },
  },
  {
    area: 'passwords',
    what: 'a right password at MCP, and over plain HTTP',
    expect: '401',
    run: async ({ tls, keyed }) => {
      for (const path of ['/mcp', '/sse', '/servers/default/mcp']) {
        assert.equal((await tls.ask({}, basic('root', PASSWORD), path)).status, 401, path);
      }
      const plain = await fetch(keyed.at('/api/v1/version'), { headers: basic('root', PASSWORD) });
      assert.equal(plain.status, 401);
    },
  },
  {
    area: 'passwords',
    what: 'guessing: 30 in a row, 20 at once, names that are nobody\'s, and broken base64',
    expect: '401, then 429 with Retry-After; other credentials work meanwhile',
    run: async ({ tls }) => {
      for (const value of ['Basic', 'Basic ', 'Basic ====', 'Basic cm9vdA==', `Basic ${'A'.repeat(9000)}`]) {
        assert.equal((await tls.ask({}, { authorization: value })).status, 401, value.slice(0, 20));
      }
      const seen = [];
      for (let i = 0; i < 30; i += 1) seen.push((await tls.ask({}, basic('root', `guess ${i}`))).status);
      assert.ok(seen.includes(429) && !seen.includes(200), seen.join());
      const many = await Promise.all(Array.from({ length: 20 }, (_, i) => tls.ask({}, basic(`user${i}`, 'x'))));
      assert.ok(many.every(({ status }) => [401, 429].includes(status)));
      assert.equal((await tls.ask({}, bearer('admin'))).status, 200);
    },
  },
];
