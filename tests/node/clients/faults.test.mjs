// Twelve faults that are made here, one after the other: from the symptom to the cause in at most three
// commands, by what an operator has: doctor, errors, perf, logs, server logs, config validate.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../lib/cluster.mjs';
import { gatewayBinary } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';
import { modernRequest, startGateway, waitForTools } from '../lib/servers.mjs';

const SKIP = process.env.METAMCP_SHAPE && 'commands of this machine are for one process';
const FIXTURE = join(dirname(gatewayBinary() ?? '.'), 'metamcp-fixture-stdio');
let gateway, folder, sockets;
const slow = {};
const stops = [];

function certificate(days) {
  const key = join(folder, 'key.pem'), cert = join(folder, 'cert.pem');
  const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', String(days), '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-not_before', '20200101000000Z', '-not_after', '20200201000000Z', '-keyout', key, '-out', cert], { encoding: 'utf8' });
  if (made.status === 0) return { key: readFileSync(key), cert: readFileSync(cert) };
  // OpenSSL before 3.4 cannot date a request itself; its authority can.
  const config = join(folder, 'ca.cnf');
  writeFileSync(config, `[ca]\ndefault_ca=d\n[d]\ndatabase=${folder}/index\nserial=${folder}/serial\nnew_certs_dir=${folder}\ndefault_md=sha256\npolicy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n[x]\nsubjectAltName=DNS:localhost\n`);
  writeFileSync(join(folder, 'index'), '');
  writeFileSync(join(folder, 'serial'), '01');
  const request = join(folder, 'request.pem');
  for (const args of [
    ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost', '-keyout', key, '-out', request],
    ['ca', '-batch', '-selfsign', '-config', config, '-keyfile', key, '-in', request, '-out', cert, '-startdate', '20200101000000Z', '-enddate', '20200201000000Z', '-notext'],
  ]) {
    const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  }
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

const listen = (server) =>
  new Promise((resolve) => server.listen(0, '127.0.0.1', () => {
    stops.push(() => { server.closeAllConnections(); return new Promise((done) => server.close(done)); });
    resolve(server.address().port);
  }));

// Runs a command; what it says, as one text. Exit codes are not looked at: doctor's is 1 when it finds.
async function ask(...args) {
  const { stdout, stderr } = await run(gateway.binary, [...args, '--data-dir', sockets, '--config', join(gateway.directory, 'config.json')]);
  return stdout + stderr;
}
async function until(what, condition) {
  let last;
  for (const end = Date.now() + 60000; Date.now() < end; await sleep(200)) {
    last = await condition();
    if (last.done) return last.text;
  }
  throw new Error(`in vain waited for ${what}: ${last.text}`);
}
// The command says all of `words`.
const says = (args, ...words) =>
  until(`${args.join(' ')} to say ${words}`, async () => {
    const text = await ask(...args);
    return { done: words.every((word) => text.includes(word)), text };
  });
const call = (name, args = {}, headers = {}) =>
  modernRequest(gateway.mcpUrl, 'tools/call', { name, arguments: args }, { headers });

before(async () => {
  if (SKIP) return;
  folder = await mkdtemp(join(tmpdir(), 'metamcp-faults-'));
  const protectedPort = await listen(createHttp((request, response) => {
    response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end();
  }));
  const silentPort = await listen(createHttp(() => {}));
  const expiredPort = await listen(createHttps(certificate(1), (request, response) => response.end()));
  const script = join(folder, 'talks.sh');
  writeFileSync(script, '#!/bin/sh\nwhile :; do echo "Welcome to my server"; sleep 1; done\n');
  chmodSync(script, 0o755);
  gateway = await startGateway({
    telemetry: { traces: { keep: 5000 } },
    connector: { callTimeoutMs: 4000 },
    mcpServers: {
      good: { command: FIXTURE, toolTimeoutsMs: { silence: 100 } },
      token: { url: `http://127.0.0.1:${protectedPort}/mcp`, headers: { Authorization: 'Bearer wrong' } },
      expired: { url: `https://localhost:${expiredPort}/mcp` },
      name: { url: 'http://no-such-host.invalid/mcp', allowPlainHttp: true },
      closed: { url: `http://127.0.0.1:${await freePort()}/mcp` },
      silent: { url: `http://127.0.0.1:${silentPort}/mcp`, timeoutMs: 2000 },
      missing: { command: 'no-such-program-of-ours' },
      talks: { command: script },
    },
    auth: { keys: [{ name: 'ci', key: 'right-key-of-the-fault-test', roles: ['operator'] }] },
  });
  sockets = join(gateway.directory, 'data1');
  await waitForTools(gateway.mcpUrl, ['good__echo']);
  // These take 20 s each; the others do not wait for them.
  const early = (...args) => {
    const asked = says(...args);
    asked.catch(() => {}); // its own test says so
    return asked;
  };
  slow.silent = early(['doctor', 'silent'], 'failed', 'docs/playbooks/handshake.md');
  slow.talks = early(['doctor', 'talks'], 'failed', 'Welcome to my server', 'docs/playbooks/handshake.md');
});
after(async () => {
  await gateway?.stop();
  for (const stop of stops) await stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

const fault = (name, options, body) => test(`${name} (W-4.2.1 W-4.2.4 W-4.2.5)`, { skip: SKIP, timeout: 120000, ...(body ? options : {}) }, body ?? options);

fault('a wrong token', async () => {
  await says(['doctor', 'token'], 'failed', '401', 'docs/playbooks/auth.md');
});
fault('an expired certificate', async () => {
  await says(['doctor', 'expired'], 'failed', 'expired', 'docs/playbooks/tls.md');
});
fault('a name that does not resolve', async () => {
  await says(['doctor', 'name'], 'no-such-host.invalid', 'docs/playbooks/dns.md');
});
fault('nobody listens', async () => {
  await says(['doctor', 'closed'], 'refused', 'docs/playbooks/tcp.md');
});
fault('a server that takes connections and says nothing', { timeout: 90000 }, async () => {
  await slow.silent;
});
fault('a program that is not there', async () => {
  await says(['doctor', 'missing'], 'no-such-program-of-ours', 'docs/playbooks/spawn.md');
});
fault('a program that speaks no MCP', { timeout: 90000 }, async () => {
  await slow.talks;
  await says(['server', 'logs', 'talks'], 'Welcome to my server');
});
fault('a slow server', async () => {
  for (let i = 0; i < 3; ++i) await call('good__slow', { ms: 150 });
  const text = await says(['perf', 'good__slow'], 'server good', 'slowest');
  const first = text.split('\n').find((line) => line.includes('server good'));
  assert.match(first, /9\d\.\d %/, text);
});
fault('a tool that hangs', async () => {
  await call('good__silence');
  await says(['errors', '--by-item'], 'UPSTREAM_TIMEOUT', 'good__silence');
  await says(['logs', '--event', 'call.failed'], 'upstream_timeout', 'trace=');
});
fault('a server that dies', async () => {
  await call('good__crash').catch(() => {});
  await says(['errors'], 'UPSTREAM_LOST', 'good');
  await says(['server', 'logs', 'good'], 'process', 'connected');
});
fault('a client with a wrong key', async () => {
  const response = await fetch(gateway.mcpUrl, { method: 'POST', headers: { authorization: 'Bearer wrong-key-of-a-client' } });
  assert.equal(response.status, 401);
  await says(['errors'], 'AUTH_INVALID');
});
fault('a client that knows a name of yesterday', async () => {
  await call('good__gone');
  await says(['errors', '--by-client'], 'TOOL_NOT_FOUND', 'tool why');
});
fault('a configuration with a slip', async () => {
  const file = join(folder, 'slip.json');
  writeFileSync(file, '{\n "version": 1,\n "gatway": {}\n}\n', { mode: 0o600 });
  const { code, stderr } = await run(gateway.binary, ['config', 'validate', file]);
  assert.equal(code, 2);
  assert.match(stderr, /slip\.json:3:\d+: .*gatway/);
  assert.match(stderr, /gateway/);
});
fault('a full disk', { skip: SKIP || process.getuid() !== 0 }, async () => {
  // Below: a file system of 1 MiB, in namespaces of its own.
  const script = `
    mount -t tmpfs -o size=1m tmpfs ${folder}/disk
    ${gateway.binary} serve --listen 127.0.0.1:0 --data-dir ${folder}/disk/data --config ${folder}/full.json >${folder}/full.out 2>${folder}/full.err &
    pid=$!
    for i in $(seq 100); do grep -q ^ready ${folder}/full.out && break; sleep 0.1; done
    dd if=/dev/zero of=${folder}/disk/filler bs=4k 2>/dev/null
    for i in 1 2 3 4 5 6 7 8 9 10; do ${gateway.binary} --data-dir ${folder}/disk/data --config ${folder}/full.json tool call good__echo >/dev/null 2>&1; done
    ${gateway.binary} --data-dir ${folder}/disk/data --config ${folder}/full.json logs --level warning 2>&1
    ${gateway.binary} --data-dir ${folder}/disk/data --config ${folder}/full.json doctor 2>&1
    kill $pid; wait $pid`;
  spawnSync('mkdir', ['-p', join(folder, 'disk')]);
  writeFileSync(join(folder, 'full.json'), JSON.stringify({ version: 1, mcpServers: { good: { command: FIXTURE } } }), { mode: 0o600 });
  const { stdout, stderr } = await run('unshare', ['--mount', 'sh', '-c', script]);
  assert.match(stdout + stderr, /disk is full|No space left|full/, stdout + stderr);
});
