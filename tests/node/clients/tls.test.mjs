// The gateway's own TLS: official clients over https, client certificates as principals, passwords
// for REST, and certificates that change while it runs.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as HttpV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { gatewayBinary } from '../lib/paths.mjs';
import { fixtureStdio, startGateway } from '../lib/servers.mjs';
import { Authority, tlsFetch } from '../lib/tls.mjs';

const KEY = 'a-key-that-is-long-enough';
const BALANCED = process.env.METAMCP_SHAPE === 'cluster';
const PASSWORD = 'correct horse battery';

const hashOf = (password) => {
  const made = spawnSync(gatewayBinary(), ['token', 'password'], { input: password, encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr);
  return made.stdout.trim();
};

describe('a gateway with TLS of its own', { skip: BALANCED && 'the balancer speaks plain HTTP' }, () => {
  const authority = new Authority();
  const other = new Authority('Other CA');
  const ci = authority.issue('ci', 'URI:spiffe://example.com/ci');
  const viewer = authority.issue('ada', 'email:ada@example.com');
  // What the gateway reads: copies, which tests replace.
  const files = {
    cert: join(authority.folder, 'server.pem'),
    key: join(authority.folder, 'server.key'),
    ca: join(authority.folder, 'clients.pem'),
  };
  const use = (pair) => {
    copyFileSync(pair.cert, files.cert);
    copyFileSync(pair.key, files.key);
  };
  const serverPair = () => authority.issue('gateway', 'IP:127.0.0.1,DNS:localhost');
  let gateway;

  const ask = (credentials, path = '/api/v1/version', init = {}) =>
    tlsFetch({ ca: authority.ca, ...credentials })(gateway.at(path), init);
  const bearer = { headers: { authorization: `Bearer ${KEY}` } };
  const basic = (name, password) => ({
    headers: { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` },
  });
  // Which certificate a new connection is shown.
  const serial = async () => {
    const { port } = new URL(gateway.mcpUrl);
    const socket = connectTls({ port: Number(port), host: '127.0.0.1', ca: readFileSync(authority.ca) });
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    const { serialNumber } = socket.getPeerCertificate();
    const { alpnProtocol } = socket;
    socket.destroy();
    return { serialNumber, alpnProtocol };
  };
  const until = async (what, check) => {
    for (const end = Date.now() + 15000; Date.now() < end; await sleep(50)) {
      if (await check()) return;
    }
    assert.fail(`${what} did not come`);
  };

  before(async () => {
    use(serverPair());
    copyFileSync(authority.ca, files.ca);
    gateway = await startGateway({
      gateway: { tls: { certificate: files.cert, key: files.key, clientCa: files.ca } },
      auth: {
        anonymousLoopback: false,
        keys: [{ name: 'first', key: KEY, roles: ['admin'] }],
        certificates: {
          ci: { uri: 'spiffe://example.com/ci', roles: ['operator', 'auditor'] },
          ada: { email: 'ada@example.com', roles: ['viewer'] },
        },
        basic: {
          enabled: true,
          users: { root: { hash: hashOf(PASSWORD), roles: ['admin'] } },
        },
      },
      audit: { mode: 'strict' },
      mcpServers: { fixture: fixtureStdio() },
    });
    const send = tlsFetch({ ca: authority.ca });
    await until('tools', async () => {
      const answer = await send(gateway.at('/api/v1/items'), bearer);
      return answer.ok && (await answer.json()).items?.length > 0;
    });
  });
  after(async () => {
    await gateway?.stop();
    authority.remove();
    other.remove();
  });

  test('says https and speaks HTTP/1.1 by ALPN over TLS 1.3 only (M-NFR-004.1 M-FR-007.3)', async () => {
    assert.match(gateway.mcpUrl, /^https:/);
    assert.match(gateway.adminUrl, /^https:/);
    const { port } = new URL(gateway.mcpUrl);
    const old = connectTls({
      port: Number(port), host: '127.0.0.1', ca: readFileSync(authority.ca), maxVersion: 'TLSv1.2',
    });
    const failure = await new Promise((resolve) => old.once('error', resolve));
    assert.match(String(failure), /alert|protocol/i);
    const socket = connectTls({
      port: Number(port), host: '127.0.0.1', ca: readFileSync(authority.ca), ALPNProtocols: ['h2', 'http/1.1'],
    });
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    assert.equal(socket.alpnProtocol, 'http/1.1');
    assert.equal(socket.getProtocol(), 'TLSv1.3');
    socket.destroy();
    assert.equal((await ask({}, '/health')).status, 200);
  });

  test('official clients work by key and by certificate on the same port', async () => {
    for (const [shown, requestInit] of [[{}, bearer], [ci, {}]]) {
      const send = tlsFetch({ ca: authority.ca, ...shown });
      const v2 = new Client({ name: 'v2', version: '1' });
      await v2.connect(new StreamableHTTPClientTransport(new URL(gateway.mcpUrl), { fetch: send, requestInit }));
      assert.ok((await v2.listTools()).tools.length > 0);
      await v2.close();
      const v1 = new ClientV1({ name: 'v1', version: '1' });
      await v1.connect(new HttpV1(new URL(gateway.mcpUrl), { fetch: send, requestInit }));
      assert.ok((await v1.listTools()).tools.length > 0);
      await v1.close();
      send.close();
    }
  });

  test('a certificate has the roles of its entry and is audited as what it is (M-NFR-004.2)', async () => {
    assert.equal((await ask(ci)).status, 200);
    assert.equal((await ask(viewer)).status, 200);
    const restart = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' };
    assert.equal((await ask(viewer, '/api/v1/servers/fixture/restart', restart)).status, 403);
    assert.equal((await ask(ci, '/api/v1/servers/fixture/restart', restart)).status, 200);
    await until('the record', async () => {
      const records = await (await ask(ci, '/api/v1/audit/records?pageSize=200')).text();
      return records.includes('mtls:ci');
    });
  });

  test('what proves nothing, is nobody or is not alone is 401, and recorded', async () => {
    const nobody = authority.issue('eve', 'URI:spiffe://example.com/eve');
    const ended = authority.issue('ci', 'URI:spiffe://example.com/ci', { days: -1 });
    const server = authority.issue('ci', 'URI:spiffe://example.com/ci', { usage: 'serverAuth' });
    const foreign = other.issue('ci', 'URI:spiffe://example.com/ci');
    const reasons = [
      [nobody, {}, /nobody's here/],
      [ended, {}, /expired/],
      [server, {}, /purpose/],
      [foreign, {}, /issuer certificate/],
      [ci, bearer, /two different credentials/],
    ];
    for (const [shown, init, reason] of reasons) {
      for (const path of ['/api/v1/version', '/mcp']) {
        const post = path === '/mcp' ? { method: 'POST', body: '{}' } : {};
        const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...init.headers };
        const refused = await ask(shown, path, { ...post, headers });
        assert.equal(refused.status, 401, String(reason));
        assert.match(await refused.text(), reason);
      }
    }
    const none = await ask({});
    assert.equal(none.status, 401);
    await until('the refusals', async () => {
      const records = await (await ask(ci, '/api/v1/audit/records?pageSize=500')).text();
      return records.includes('via:mtls');
    });
  });

  test('passwords open REST and nothing else (P1-Auth-2)', async () => {
    assert.equal((await ask({}, '/api/v1/version', basic('root', PASSWORD))).status, 200);
    const mcp = { method: 'POST', body: '{}' };
    for (const path of ['/mcp', '/sse', '/servers/default/mcp']) {
      const headers = { ...basic('root', PASSWORD).headers, 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
      assert.equal((await ask({}, path, { ...(path === '/sse' ? {} : mcp), headers })).status, 401, path);
    }
    assert.equal((await ask(ci, '/api/v1/version', basic('root', PASSWORD))).status, 401);
    const tries = [];
    for (let i = 0; i < 8; i += 1) {
      tries.push(await ask({}, '/api/v1/version', basic('root', `guess number ${i}`)));
    }
    assert.deepEqual(tries.map((one) => one.status).slice(0, 5), Array(5).fill(401));
    const slowed = tries.find((one) => one.status === 429);
    assert.ok(slowed, tries.map((one) => one.status).join());
    assert.ok(Number(slowed.headers.get('retry-after')) >= 1);
  });

  test('the command line takes an authority and a certificate', () => {
    const run = (...args) =>
      spawnSync(gatewayBinary(), ['--url', new URL('/', gateway.mcpUrl).origin, ...args], { encoding: 'utf8' });
    const key = run('--ca', authority.ca, '--token', KEY, 'server', 'list');
    assert.equal(key.status, 0, key.stderr);
    assert.match(key.stdout, /fixture/);
    const certificate = run('--ca', authority.ca, '--client-cert', ci.cert, '--client-key', ci.key, 'server', 'list');
    assert.equal(certificate.status, 0, certificate.stderr);
    const unknown = run('--token', KEY, 'server', 'list');
    assert.equal(unknown.status, 3);
    assert.match(unknown.stderr, /certificate/);
  });

  test('garbage, silence and plain HTTP hold nothing', async () => {
    const port = Number(new URL(gateway.mcpUrl).port);
    const plain = connectTcp(port, '127.0.0.1');
    plain.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    let answer = '';
    plain.on('data', (data) => (answer += data));
    await new Promise((resolve) => plain.once('close', resolve));
    assert.match(answer, /^HTTP\/1.1 400/);
    const silent = Array.from({ length: 50 }, () => connectTcp(port, '127.0.0.1'));
    silent.forEach((socket) => socket.on('error', () => {}));
    silent[0].write(Buffer.alloc(2000, 0xff));
    silent[1].write(Buffer.from([0x16, 3, 1, 2, 0]));
    assert.equal((await ask(ci)).status, 200);
    silent.forEach((socket) => socket.destroy());
  });

  test('new certificates serve new connections; rubbish changes nothing', async () => {
    const first = await serial();
    const stream = await ask(ci, '/api/v1/events', { headers: { accept: 'text/event-stream' } });
    assert.equal(stream.status, 200);
    writeFileSync(files.cert, 'rubbish');
    await until('the remark', () => gateway.child.stderr.includes('listener.reload_failed'));
    assert.deepEqual(await serial(), first);
    // Two at once, the second before the first is looked at.
    use(serverPair());
    use(serverPair());
    await until('the new certificate', async () => (await serial()).serialNumber !== first.serialNumber);
    // What was open still is.
    const reader = stream.body.getReader();
    const open = await Promise.race([reader.read().then(({ done }) => !done), sleep(300).then(() => true)]);
    assert.ok(open);
    await reader.cancel();
  });

  test('other authorities end what was opened by a certificate of the old ones', async () => {
    const send = tlsFetch({ ca: authority.ca, ...ci, keepAlive: true });
    assert.equal((await send(gateway.at('/api/v1/version'))).status, 200);
    const stream = await ask(ci, '/api/v1/events', { headers: { accept: 'text/event-stream' } });
    assert.equal(stream.status, 200);
    copyFileSync(other.ca, files.ca);
    const reader = stream.body.getReader();
    await until('the end of the stream', async () => {
      const got = await Promise.race([reader.read().catch(() => ({ done: true })), sleep(200)]);
      return got?.done;
    });
    await until('the refusal', async () => {
      const answer = await send(gateway.at('/api/v1/version')).catch(() => undefined);
      return answer?.status === 401;
    });
    assert.equal((await ask({}, '/api/v1/version', bearer)).status, 200);
    copyFileSync(authority.ca, files.ca);
    await until('the old authority', async () => (await ask(ci)).status === 200);
    send.close();
  });
});

test('files that cannot be used end the start with their place and status 2', { skip: BALANCED }, async () => {
  const authority = new Authority();
  const folder = authority.folder;
  const pair = authority.issue('gateway', 'IP:127.0.0.1');
  const start = (tls) => {
    const config = join(folder, 'config.json');
    writeFileSync(config, JSON.stringify({ version: 1, gateway: { listen: '127.0.0.1:0', tls } }));
    return spawnSync(gatewayBinary(), ['serve', '--config', config, '--data-dir', join(folder, 'data')], {
      encoding: 'utf8', timeout: 20000,
    });
  };
  try {
    const cases = [
      [{ certificate: pair.cert }, /config.json:1:\d+: found gateway.tls.certificate without gateway.tls.key/],
      [{ certificate: '/no/such', key: pair.key }, /config.json:1:\d+: gateway.tls.certificate: .*No such file/],
      [{ certificate: pair.cert, key: authority.caKey }, /config.json:1:\d+: gateway.tls.key: .*not the key of/],
      [{ certificate: pair.cert, key: pair.key, clientCa: pair.key }, /gateway.tls.clientCa: .*no PEM certificate/],
      [{ ...((old) => ({ certificate: old.cert, key: old.key }))(authority.issue('g', 'IP:127.0.0.1', { days: -1 })) }, /its time is over/],
    ];
    for (const [tls, message] of cases) {
      const { status, stderr } = start(tls);
      assert.match(stderr, message);
      assert.equal(status, 2, stderr);
    }
  } finally {
    authority.remove();
  }
});
