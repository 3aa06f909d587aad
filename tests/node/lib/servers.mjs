// Starts what tests talk to: the fixture, the reference servers, and the gateway.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SHAPE, freePort, startClusterShape } from './cluster.mjs';
import { FIXTURE, LOOPBACK_PRELOAD, NODE, gatewayBinary, packageFile } from './paths.mjs';
import { Child, run } from './process.mjs';

export async function startFixture(...args) {
  const child = new Child(NODE, [FIXTURE, '--with-parent', ...args]);
  const url = await child.line((line) => line.startsWith('{') && JSON.parse(line).url);
  return { url, child, stop: () => child.stop() };
}

export const fixtureStdio = (...args) => ({ command: NODE, args: [FIXTURE, '--stdio', ...args] });

export const EVERYTHING = packageFile('@modelcontextprotocol/server-everything', 'dist/index.js');
export const FILESYSTEM = packageFile('@modelcontextprotocol/server-filesystem', 'dist/index.js');
export const MEMORY = packageFile('@modelcontextprotocol/server-memory', 'dist/index.js');

// The reference server over Streamable HTTP, or over HTTP+SSE for 'sse', held to loopback by the
// preload script.
export async function startEverythingHttp(transport = 'streamableHttp') {
  const port = await freePort();
  const child = new Child(NODE, ['--require', LOOPBACK_PRELOAD, EVERYTHING, transport], {
    env: { PORT: String(port) },
  });
  const url = `http://127.0.0.1:${port}${transport === 'sse' ? '/sse' : '/mcp'}`;
  await reachable(url, child);
  return { url, child, stop: () => child.stop() };
}

async function reachable(url, child, timeoutMs = 20000) {
  for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(50)) {
    if (child.ended) break;
    const answered = await fetch(url, { method: 'OPTIONS' }).catch(() => undefined);
    if (answered) return;
  }
  await child.stop();
  throw new Error(`${child.command} does not answer at ${url}\n${child.stderr}`);
}

const META = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': { name: 'meta-mcp-tests', version: '1.0.0' },
};

// What a header cannot carry is sent as Base64 (MCP 2026-07-28, transports).
const headerText = (text) =>
  /^[!-~]([ -~]*[!-~])?$/.test(text) ? text : `=?base64?${Buffer.from(text).toString('base64')}?=`;

// One stateless request on the modern wire. Returns the JSON-RPC answer.
export async function modernRequest(url, method, params = {}, { headers = {}, signal } = {}) {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(params.name ?? params.uri ? { 'mcp-name': headerText(params.name ?? params.uri) } : {}),
      ...headers,
    },
    body: JSON.stringify({
      jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: { ...META, ...params._meta } },
    }),
    signal,
  });
  const body = await response.text();
  if (!response.headers.get('content-type')?.includes('event-stream')) return JSON.parse(body);
  const messages = body.split('\n').filter((line) => line.startsWith('data:') && line.length > 6);
  return JSON.parse(messages.at(-1).slice(5));
}

// How many gateways take turns behind one URL.
const gateways = process.env.METAMCP_SHAPE === 'cluster' ? SHAPE.gateways : 1;

// Waits until `names` are all in tools/list at `url`, whichever gateway is asked: an upstream may
// join after the ready line, and gateways hear of it one after the other.
export const waitForTools = (url, names, options) =>
  waitForItems(url, 'tools/list', names, options);

// The same for any list: tools and prompts by name, resources by URI, templates by theirs.
export async function waitForItems(url, method, names, { timeoutMs = 30000, headers } = {}) {
  let seen = [];
  let last;
  let knowing = 0;
  for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(100)) {
    try {
      seen = [];
      let cursor;
      do {
        last = await modernRequest(url, method, cursor === undefined ? {} : { cursor }, { headers });
        const { tools, prompts, resources, resourceTemplates } = last.result;
        const items = tools ?? prompts ?? resources ?? resourceTemplates;
        seen.push(...items.map((item) => item.uriTemplate ?? item.uri ?? item.name));
        cursor = last.result.nextCursor;
      } while (cursor !== undefined);
    } catch (error) {
      last = last ?? String(error);
    }
    knowing = names.every((name) => seen.includes(name)) ? knowing + 1 : 0;
    if (knowing >= gateways) return seen;
  }
  const missing = names.filter((name) => !seen.includes(name));
  throw new Error(
    `${method} does not show ${missing} at ${url}; listed: ${seen}; last answer: ${JSON.stringify(last)}`,
  );
}

// Starts `meta-mcp translate` with `args` and resolves with the URLs of its ready line.
export async function startTranslate(args) {
  const binary = gatewayBinary();
  if (!binary) throw new Error('no gateway binary: build it or set METAMCP_BIN');
  const child = new Child(binary, ['translate', '--port', '0', ...args]);
  const stop = () => child.stop(15000);
  try {
    const ready = await child.line((line) => line.startsWith('ready ') && line);
    const words = ready.split(' ').slice(1);
    return { ...Object.fromEntries(words.map((word) => word.split(/=(.*)/s))), child, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

// Starts the gateway with `config` in a directory of its own, removed on stop: `meta-mcp serve`, or
// with METAMCP_SHAPE=processes gateway, connector, catalog and audit over gRPC and PostgreSQL, or with
// METAMCP_SHAPE=cluster several of each with mutual TLS behind a proxy that takes turns.
export async function startGateway(config, { env } = {}) {
  const binary = gatewayBinary();
  if (!binary) throw new Error('no gateway binary: build it or set METAMCP_BIN');
  const directory = await mkdtemp(join(tmpdir(), 'metamcp-test-'));
  const stops = [() => rm(directory, { recursive: true, force: true })];
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) await each();
  };
  const file = join(directory, 'config.json');
  await writeFile(file, JSON.stringify({ version: 1, ...config }, null, 2), { mode: 0o600 });
  const children = [];
  const start = async (program, ...args) => {
    const data = join(directory, `data${stops.length}`);
    const more = typeof args.at(-1) === 'object' ? args.pop() : {};
    const child = new Child(program, [...args, '--config', file, '--data-dir', data], {
      env: { ...env, ...more },
    });
    stops.push(() => child.stop(15000));
    children.push({ child, ready: await child.line((line) => line.match(/^ready .*/)) });
    return children.at(-1);
  };
  try {
    const begin = { processes: startProcesses, cluster: startCluster }[process.env.METAMCP_SHAPE];
    const { child, ready, databaseUrl } = await (begin
      ? begin(binary, start, stops, directory)
      : start(binary, 'serve', '--listen', '127.0.0.1:0'));
    const [, mcpUrl, adminUrl, pid] = ready[0].match(READY);
    const at = (path) => new URL(path, mcpUrl).href;
    const virtualUrl = (name) => at(`/servers/${name}/mcp`);
    return {
      ...{ binary, mcpUrl, adminUrl, pid: Number(pid), at, virtualUrl, directory, child, stop },
      ...{ children, databaseUrl },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

const READY = /mcp=(\S+) admin=(\S+)(?: grpc=\S+)?(?: metrics=\S+)? pid=(\d+)/;
const address = async () => `127.0.0.1:${await freePort()}`;

// The same, in four programs. Resolves with the gateway's {child, ready}.
async function startProcesses(binary, start, stops) {
  const [catalog, connector, audit] = [await address(), await address(), await address()];
  const database = await scratchDatabase();
  stops.push(database.drop);
  await start(`${binary}-catalog`, '--listen', catalog, '--database-url', database.url);
  await start(`${binary}-connector`, '--listen', connector, '--catalog', catalog);
  await start(`${binary}-audit`, '--listen', audit, '--database-url', database.url);
  const peers = ['--catalog', catalog, '--connector', connector, '--audit', audit];
  const gateway = await start(`${binary}-gateway`, '--listen', '127.0.0.1:0', ...peers);
  return { ...gateway, databaseUrl: database.url };
}

const startCluster = (binary, start, stops, directory) =>
  startClusterShape({ binary, directory, start, stops, database: scratchDatabase });

// An empty database on the test's PostgreSQL server (scripts/with_postgres).
async function scratchDatabase() {
  const server = process.env.METAMCP_TEST_POSTGRES_URL;
  if (!server) {
    throw new Error(`METAMCP_SHAPE=${process.env.METAMCP_SHAPE} needs METAMCP_TEST_POSTGRES_URL`);
  }
  const name = `client_test_${process.pid}_${++databases}`;
  const sql = async (command) => {
    const { code, stderr } = await run('psql', [server, '-qc', command]);
    if (code !== 0) throw new Error(`${command}: ${stderr}`);
  };
  await sql(`CREATE DATABASE ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => sql(`DROP DATABASE ${name} WITH (FORCE)`) };
}
let databases = 0;
