// Several of each service on one machine, as scripts/cluster and METAMCP_SHAPE=cluster run them.
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, request as httpRequest } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './process.mjs';

export const SHAPE = { gateways: 3, connectors: 3, catalogs: 2, workflows: 2, audits: 2, ais: 1 };
const READY = /mcp=(\S+) admin=(\S+) /;

const claims = [];
process.on('exit', () => claims.forEach((claim) => rmSync(claim, { force: true })));

// Whether the port is this process's now. No other test process on this machine was given it: until
// somebody listens there it only looks free. A claim that its process left behind is taken over.
function mine(port) {
  const claim = join(tmpdir(), `metamcp-port-${port}`);
  for (let turn = 0; turn < 2; ++turn) {
    try {
      writeFileSync(claim, String(process.pid), { flag: 'wx' });
      claims.push(claim);
      return true;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    try {
      process.kill(Number(readFileSync(claim, 'utf8')), 0);
      return false;
    } catch {
      rmSync(claim, { force: true });
    }
  }
  return false;
}

// A port that is free now and that no outgoing connection takes in the meantime: below those that
// Linux gives out (net.ipv4.ip_local_port_range).
export async function freePort() {
  for (;;) {
    const port = 10240 + Math.floor(Math.random() * 22000);
    const probe = createServer();
    const free = await new Promise((resolve) => {
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => probe.close(resolve));
    if (mine(port)) return port;
  }
}

export const freeAddress = async () => `127.0.0.1:${await freePort()}`;

// What each process of `shape` is started with, in the order of their start: its name, its role,
// the arguments of meta-mcp and its settings as environment variables. Processes share a database,
// keys and, in `certificates`, what `meta-mcp cert init` made; null goes without TLS. Addresses are
// chosen here, so that a process can be started again where it was.
export async function planCluster({ shape = SHAPE, databaseUrl, directory, certificates }) {
  const catalogs = [];
  for (let i = 0; i < shape.catalogs; ++i) catalogs.push(await freeAddress());
  const audits = [];
  for (let i = 0; i < (shape.audits ?? 0); ++i) audits.push(await freeAddress());
  const auditKey = join(directory, 'audit-key.pem');
  if (audits.length > 0) makeSigningKey(auditKey);
  const settings = (role, listen) => ({
    META_MCP_SERVICES_LISTEN: listen,
    META_MCP_SERVICES_KEYS_FILE: join(directory, 'keys.json'),
    META_MCP_DATABASE_URL: databaseUrl,
    META_MCP_DATABASE_POOL_SIZE: '4',
    ...(['catalog', 'audit'].includes(role)
      ? {}
      : { META_MCP_SERVICES_CATALOG_ADDRESS: catalogs.join(',') }),
    ...(role === 'audit' ? { META_MCP_AUDIT_SIGNING_KEY_FILE: auditKey } : {}),
    ...(['gateway', 'ai'].includes(role) && audits.length > 0
      ? { META_MCP_SERVICES_AUDIT_ADDRESS: audits.join(',') }
      : {}),
    ...(certificates
      ? {
          META_MCP_SERVICES_TLS_CA: join(certificates, 'ca.pem'),
          META_MCP_SERVICES_TLS_CERTIFICATE: join(certificates, `${role}.pem`),
          META_MCP_SERVICES_TLS_KEY: join(certificates, `${role}-key.pem`),
        }
      : {}),
  });
  const plan = [];
  const add = (role, i, listen, ...args) =>
    plan.push({
      name: `${role}-${i + 1}`,
      role,
      listen,
      args: ['serve', '--services', role, ...args],
      env: settings(role, listen),
    });
  catalogs.forEach((listen, i) => add('catalog', i, listen));
  audits.forEach((listen, i) => add('audit', i, listen));
  for (let i = 0; i < shape.connectors; ++i) add('connector', i, await freeAddress());
  for (let i = 0; i < shape.gateways; ++i) {
    const http = await freeAddress();
    add('gateway', i, await freeAddress(), '--listen', http);
    plan.at(-1).http = http;
  }
  for (let i = 0; i < (shape.workflows ?? 0); ++i) add('workflow', i, await freeAddress());
  for (let i = 0; i < (shape.ais ?? 0); ++i) add('ai', i, await freeAddress());
  return plan;
}

// The key that all audit services sign with.
function makeSigningKey(file) {
  if (existsSync(file)) return;
  const { privateKey } = generateKeyPairSync('ed25519');
  writeFileSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
}

// An authority and certificates in `directory`.
export async function makeCertificates(binary, directory) {
  const { code, stderr } = await run(binary, ['cert', 'init', '--dir', directory]);
  if (code !== 0) throw new Error(`cert init: ${stderr}`);
  return directory;
}

// A balancer that knows nothing of HTTP: each connection goes to the next of `targets`
// ("host:port"), or to the one after that where nobody listens.
export async function startTcpBalancer(targets, listen = '127.0.0.1:0') {
  let next = 0;
  const open = new Set();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    open.add(client);
    client.on('close', () => open.delete(client));
    client.on('error', () => client.destroy());
    const attempt = (left) => {
      const [host, port] = targets[next++ % targets.length].split(':');
      const onward = connect({ host, port: Number(port), allowHalfOpen: true });
      let connected = false;
      onward.on('connect', () => {
        connected = true;
        onward.setNoDelay(true);
        client.setNoDelay(true);
        client.pipe(onward);
        onward.pipe(client);
        client.resume();
      });
      onward.on('error', () => {
        if (!connected && left > 1 && !client.destroyed) attempt(left - 1);
        else client.destroy();
      });
      client.on('close', () => onward.destroy());
    };
    attempt(targets.length);
  });
  const [host, port] = listen.split(':');
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(Number(port), host, resolve);
  });
  const stop = () => {
    for (const client of open) client.destroy();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://${host}:${server.address().port}`, stop };
}

// A balancer of requests: each goes to the next of `origins` on a connection of its own, which no
// client can hold on to; a WebSocket is one request.
export async function startRequestBalancer(origins) {
  let next = 0;
  const upgraded = new Set();
  const server = createHttpServer();
  const forward = (incoming) => {
    const { hostname, port, host } = new URL(origins[next++ % origins.length]);
    const { method, url: path, headers } = incoming;
    return httpRequest({
      ...{ hostname, port, method, path, agent: false },
      headers: { ...headers, host },
    });
  };
  server.on('request', (incoming, answer) => {
    const onward = forward(incoming);
    onward.on('response', (reply) => {
      answer.writeHead(reply.statusCode, reply.headers);
      answer.flushHeaders();
      reply.on('error', () => answer.destroy());
      reply.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    answer.on('close', () => onward.destroy());
    incoming.pipe(onward);
  });
  server.on('upgrade', (incoming, socket) => {
    const onward = forward(incoming);
    onward.on('upgrade', (reply, other, head) => {
      const lines = Object.entries(reply.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`);
      socket.write(head);
      socket.pipe(other).pipe(socket);
      upgraded.add(socket);
      for (const [one, its] of [[socket, other], [other, socket]]) {
        one.on('error', () => its.destroy());
        one.on('close', () => its.destroy());
      }
    });
    onward.on('response', () => socket.destroy());
    onward.on('error', () => socket.destroy());
    onward.end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = () => {
    server.closeAllConnections();
    for (const socket of upgraded) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${server.address().port}`, stop };
}

// For startGateway: the cluster with mutual TLS behind a proxy that sends each request to the next
// gateway. Resolves with one gateway's child and a ready line that names the proxy.
export async function startClusterShape({ binary, directory, start, stops, database }) {
  const { url: databaseUrl, drop } = await database();
  stops.push(drop);
  const certificates = await makeCertificates(binary, join(directory, 'certs'));
  const plan = await planCluster({ databaseUrl, directory, certificates });
  const urls = [];
  const proxy = await startRequestBalancer(urls);
  stops.push(proxy.stop);
  const gateways = [];
  for (const { role, args, env } of plan) {
    const started = await start(binary, ...args, { ...env, META_MCP_GATEWAY_PUBLIC_URL: proxy.url });
    if (role !== 'gateway') continue;
    gateways.push(started);
    urls.push(started.ready[0].match(READY)[1]);
  }
  const line = gateways[0].ready[0].replace(/ grpc=\S+/, '');
  const ready = [line.replaceAll(new URL(urls[0]).origin, proxy.url)];
  return { child: gateways[0].child, ready, databaseUrl };
}
